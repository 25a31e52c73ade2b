package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine/store"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t *testing.T, fs vfs.FS) *store.Store {
	t.Helper()
	s, err := store.Open("state", store.Options{FS: fs, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// put writes all keys of a small run.
func put(t *testing.T, s *store.Store, arn string, start time.Time) store.Entry {
	t.Helper()
	e := store.Entry{ID: s.NewID(), Group: "g", Status: "RUNNING", Start: start, Summary: []byte(arn)}
	b := s.NewBatch()
	b.Name(arn, e.ID)
	b.Meta(e.ID, []byte("meta"))
	b.Head(e.ID, []byte("head"))
	b.Frame(e.ID, 1, []byte("one"))
	b.Frame(e.ID, 300, []byte("three hundred"))
	b.Events(e.ID, 1, []byte("1..2"))
	b.Events(e.ID, 3, []byte("3..9"))
	b.Open(e.ID, []byte("open"))
	b.List(e)
	if err := s.Commit(b); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRun(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	e := put(t, s, "arn", time.UnixMilli(5))
	closeStore(t, s)
	s = open(t, fs)
	defer closeStore(t, s)
	id, err := s.Find("arn")
	if err != nil || id != e.ID {
		t.Fatalf("found %d, %v", id, err)
	}
	got, err := s.Load(id)
	want := store.Run{Meta: []byte("meta"), Head: []byte("head"), Frames: []store.Frame{
		{Number: 1, Data: []byte("one")}, {Number: 300, Data: []byte("three hundred")}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if next := s.NewID(); next <= id {
		t.Errorf("the next run is %d after %d", next, id)
	}
	if _, err := s.Load(id + 1); !errors.Is(err, store.ErrNoRun) {
		t.Errorf("a missing run: %v", err)
	}
	if _, err := s.Find("ar"); !errors.Is(err, store.ErrNoRun) {
		t.Errorf("a missing name: %v", err)
	}
}

func TestBatches(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	put(t, s, "before", time.UnixMilli(1))
	e := put(t, s, "arn", time.UnixMilli(5))
	put(t, s, "after", time.UnixMilli(1))
	for _, c := range []struct {
		from    int64
		reverse bool
		want    []int64
	}{
		{0, false, []int64{1, 3}}, {1, false, []int64{1, 3}}, {2, false, []int64{1, 3}}, {3, false, []int64{3}},
		{99, false, []int64{3}}, {1 << 40, true, []int64{3, 1}}, {3, true, []int64{3, 1}}, {2, true, []int64{1}}, {0, true, nil},
	} {
		var got []int64
		err := s.Batches(e.ID, c.from, c.reverse, func(first int64, _ []byte) bool {
			got = append(got, first)
			return true
		})
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("from %d, reverse %t: %v %s", c.from, c.reverse, err, diff)
		}
	}
}

func TestListIsNewestFirst(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	for i := range 5 {
		put(t, s, fmt.Sprint("x", i), time.UnixMilli(int64(100+i/2)))
	}
	var got []string
	for token := ""; ; {
		n, last := 0, token
		err := s.Merge([]string{"g"}, "RUNNING", token, store.Span{}, func(at string, e store.Entry) bool {
			got, last = append(got, string(e.Summary)), at
			n++
			return n < 2
		})
		if err != nil {
			t.Fatal(err)
		}
		if token = last; n < 2 {
			break
		}
	}
	if diff := cmp.Diff([]string{"x4", "x3", "x2", "x1", "x0"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDocs(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	for _, name := range []string{"b", "a/2", "a/1", "a"} {
		if err := s.PutDocs("kind", store.Doc{Name: name, Value: []byte(name)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutDocs("kind2", store.Doc{Name: "other", Value: []byte{}}, store.Doc{Name: "none"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"", "", 0, []string{"a", "a/1", "a/2", "b"}}, {"a/", "", 0, []string{"a/1", "a/2"}},
		{"", "a/1", 0, []string{"a/2", "b"}}, {"", "", 3, []string{"a", "a/1", "a/2"}}, {"a/", "b", 0, nil}, {"z", "", 0, nil},
	} {
		docs, err := s.Docs("kind", c.prefix, c.after, c.limit)
		var got []string
		for _, d := range docs {
			got = append(got, d.Name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%+v: %v %s", c, err, diff)
		}
	}
	if err := s.PutDocs("kind", store.Doc{Name: "b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Doc("kind", "b"); !errors.Is(err, store.ErrNoDoc) {
		t.Errorf("a deleted document: %v", err)
	}
}

func TestForgetDeletesAllKeys(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	e := put(t, s, "arn", time.UnixMilli(5))
	stop := time.UnixMilli(9)
	b := s.NewBatch()
	b.Closed(e.ID, stop)
	b.Record(e.ID, "task", "key", []byte("v"))
	b.Log(e.ID, "task", []byte("v"))
	if err := s.Commit(b); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget("arn", stop, e); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(); n != (store.Counts{}) || err != nil {
		t.Errorf("remaining keys: %+v, %v", n, err)
	}
}

func TestNewerFormatIsRejected(t *testing.T) {
	fs := vfs.NewMem()
	closeStore(t, open(t, fs))
	db, err := pebble.Open("state/db", &pebble.Options{FS: fs, Logger: nil})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("v"), fmt.Append(nil, store.Format+1), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	var newer *store.NewerError
	if _, err := store.Open("state", store.Options{FS: fs, Logger: quiet}); !errors.As(err, &newer) || newer.Found != store.Format+1 {
		t.Errorf("Open of a newer format: %v", err)
	}
}

func TestSecondOwnerIsRejected(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	defer closeStore(t, s)
	var locked *store.LockedError
	if _, err := store.Open("state", store.Options{FS: fs, Logger: quiet}); !errors.As(err, &locked) || locked.PID == 0 {
		t.Errorf("Open by a second owner: %v", err)
	}
}

// fullFS is a file system whose writes fail with ENOSPC while full is set.
type fullFS struct {
	vfs.FS
	full *atomic.Bool
}

type fullFile struct {
	vfs.File
	full *atomic.Bool
}

func (f fullFS) Create(name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	if f.full.Load() {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.Create(name, k)
	return fullFile{file, f.full}, err
}

func (f fullFile) Write(p []byte) (int, error) {
	if f.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

// On a full disk, a commit waits and new work is rejected. Both work again when there is space.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, full := vfs.NewMem(), &atomic.Bool{}
		s := open(t, fullFS{disk, full})
		put(t, s, "before", time.UnixMilli(1))
		full.Store(true)
		done := make(chan struct{})
		go func() {
			put(t, s, "while", time.UnixMilli(2))
			close(done)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case <-done:
			t.Error("the commit did not wait")
		default:
		}
		if err := s.PutDocs("kind", store.Doc{Name: "a", Value: []byte("v")}); !errors.Is(err, store.ErrFull) {
			t.Errorf("new work on a full disk: %v", err)
		}
		if _, err := s.Find("before"); err != nil {
			t.Errorf("read of an earlier commit: %v", err)
		}
		if err := s.AwaitSync(); !errors.Is(err, store.ErrFull) {
			t.Errorf("AwaitSync while a commit waits: %v", err)
		}
		full.Store(false)
		<-done
		if err := s.PutDocs("kind", store.Doc{Name: "a", Value: []byte("v")}); err != nil {
			t.Errorf("new work with space again: %v", err)
		}
		closeStore(t, s)
		s = open(t, disk)
		for _, arn := range []string{"before", "while"} {
			if _, err := s.Find(arn); err != nil {
				t.Errorf("%s: %v", arn, err)
			}
		}
		closeStore(t, s)
	})
}

// Open reports a full disk instead of waiting for space.
func TestOpenOnAFullDisk(t *testing.T) {
	disk, full := vfs.NewMem(), &atomic.Bool{}
	closeStore(t, open(t, disk))
	full.Store(true)
	if _, err := store.Open("state", store.Options{FS: fullFS{disk, full}, Logger: quiet}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("with a full disk: %v", err)
	}
	// There is space for the owner file, but not for the database.
	if _, err := store.Open("state", store.Options{FS: ownerOnly{fullFS{disk, full}, disk}, Logger: quiet}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("with little space: %v", err)
	}
	closeStore(t, open(t, disk))
}

// ownerOnly creates only the owner file on a file system that has space.
type ownerOnly struct {
	vfs.FS
	space vfs.FS
}

func (o ownerOnly) Create(name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	if o.PathBase(name) == "owner" {
		return o.space.Create(name, k)
	}
	return o.FS.Create(name, k)
}

// readOnlyFS is a file system that is mounted read-only.
type readOnlyFS struct{ vfs.FS }

func refused(op, name string) error { return &os.PathError{Op: op, Path: name, Err: syscall.EROFS} }

func (readOnlyFS) Lock(name string) (io.Closer, error) { return nil, refused("open", name) }

func (readOnlyFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refused("open", name)
}

func (readOnlyFS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, refused("open", name)
}

func (readOnlyFS) MkdirAll(name string, _ os.FileMode) error { return refused("mkdir", name) }
func (readOnlyFS) Remove(name string) error                  { return refused("remove", name) }
func (readOnlyFS) Rename(name, _ string) error               { return refused("rename", name) }

// A store on a read-only file system can be read. Opening it for writing fails with EROFS, not with a LockedError.
func TestReadOnlyFileSystem(t *testing.T) {
	disk := vfs.NewMem()
	s := open(t, disk)
	put(t, s, "there", time.UnixMilli(1))
	closeStore(t, s)
	s, err := store.Open("state", store.Options{FS: readOnlyFS{disk}, Logger: quiet, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find("there"); err != nil {
		t.Error(err)
	}
	if err := s.AwaitSync(); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
	var locked *store.LockedError
	if _, err := store.Open("state", store.Options{FS: readOnlyFS{disk}, Logger: quiet}); !errors.Is(err, syscall.EROFS) || errors.As(err, &locked) {
		t.Errorf("Open for writing: %v", err)
	}
}

// New work is rejected when the free space is below the reserve, before the disk is full.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30})
		s := open(t, fs)
		if err := s.Admit(); !errors.Is(err, store.ErrFull) {
			t.Errorf("Admit with 1 MiB free: %v", err)
		}
		put(t, s, "running work continues", time.UnixMilli(1))
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 29, TotalBytes: 1 << 30})
		time.Sleep(2 * time.Second)
		if err := s.Admit(); err != nil {
			t.Errorf("Admit with 512 MiB free: %v", err)
		}
		closeStore(t, s)
	})
}

func TestCompact(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	put(t, s, "arn", time.UnixMilli(5))
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find("arn"); err != nil {
		t.Error(err)
	}
}

// Calls after Close return ErrClosed and do not panic.
func TestClosedStore(t *testing.T) {
	s := open(t, vfs.NewMem())
	e := put(t, s, "arn", time.UnixMilli(5))
	b := s.NewBatch()
	b.Head(e.ID, []byte("late"))
	closeStore(t, s)
	closeStore(t, s)
	_, findErr := s.Find("arn")
	_, loadErr := s.Load(e.ID)
	listErr := s.Merge([]string{"g"}, "", "", store.Span{}, func(string, store.Entry) bool { return true })
	for what, err := range map[string]error{
		"find": findErr, "load": loadErr, "list": listErr, "commit": s.Commit(b), "await sync": s.AwaitSync(),
		"docs": s.PutDocs("kind", store.Doc{Name: "a", Value: []byte("v")}),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What a read returned is on disk after AwaitSync: a crash that loses all unsynced data does not lose it. Without writes since, AwaitSync
// does not sync again.
func TestAwaitSync(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var syncs atomic.Int64
	fs := syncCounter{disk, &syncs}
	s, err := store.Open("state", store.Options{FS: fs, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		b := s.NewBatch()
		b.Doc("kind", name, []byte("x"))
		if err := s.CommitLazily(b); err != nil {
			t.Fatal(err)
		}
		if err := s.AwaitSync(); err != nil {
			t.Fatal(err)
		}
		before := syncs.Load()
		if err := s.AwaitSync(); err != nil || syncs.Load() != before {
			t.Errorf("%d unnecessary syncs, %v", syncs.Load()-before, err)
		}
		after, err := store.Open("state", store.Options{FS: disk.CrashClone(vfs.CrashCloneCfg{}), Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := after.Doc("kind", name); err != nil {
			t.Errorf("%s is lost: %v", name, err)
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// syncCounter counts the syncs of files.
type syncCounter struct {
	vfs.FS
	n *atomic.Int64
}

func (c syncCounter) Create(name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, k)
	return countedFile{f, c.n}, err
}

type countedFile struct {
	vfs.File
	n *atomic.Int64
}

func (f countedFile) Sync() error     { f.n.Add(1); return f.File.Sync() }
func (f countedFile) SyncData() error { f.n.Add(1); return f.File.SyncData() }

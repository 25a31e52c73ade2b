package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// fillDisk writes runs with incompressible events into a directory on disk, and closes the store: about a megabyte is in sorted files,
// the rest in the log.
func fillDisk(t *testing.T, runs int) (dir string, ids []store.ID) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	s := openDisk(t, dir)
	noise := rand.NewChaCha8([32]byte{1})
	for i := range runs {
		e := put(t, s, fmt.Sprint("arn", i), time.UnixMilli(int64(i)))
		b := s.NewBatch()
		text := make([]byte, 8<<10)
		noise.Read(text)
		b.Events(e.ID, 10, text)
		if err := s.Commit(b); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	closeStore(t, s)
	return dir, ids
}

func openDisk(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, small())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func small() store.Options {
	return store.Options{Logger: quiet, WriteBytes: 256 << 10, CacheBytes: 64 << 10}
}

// largest returns the largest file of the database that matches a pattern.
func largest(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "db", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	var size int64
	name := ""
	for _, n := range names {
		if info, err := os.Stat(n); err == nil && info.Size() > size {
			name, size = n, info.Size()
		}
	}
	return name
}

// flip inverts one bit of a file.
func flip(t *testing.T, name string, at int64) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[at] ^= 0x40
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Reads that need a damaged block fail with a DamagedError. The process does not exit, and all other data can be read and written.
func TestDamagedBlock(t *testing.T) {
	dir, ids := fillDisk(t, 200)
	flip(t, largest(t, dir, "*.sst"), 20_000)
	s := openDisk(t, dir)
	defer closeStore(t, s)
	bad := 0
	for _, id := range ids {
		err := s.Batches(id, 0, false, func(int64, []byte) bool { return true })
		var damaged *store.DamagedError
		if err != nil && !errors.As(err, &damaged) {
			t.Errorf("run %d: %v", id, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "<\n") { // Pebble appends a line "<corruption detail carrier>"
			t.Errorf("run %d: the message is not one plain line: %q", id, err)
		}
		if err != nil {
			bad++
		}
	}
	if bad == 0 || bad > 20 {
		t.Errorf("%d of %d runs cannot be read, expected only those of one block", bad, len(ids))
	}
	if n := s.ReadErrors(); n < int64(bad) {
		t.Errorf("ReadErrors: %d, but %d reads failed", n, bad)
	}
	put(t, s, "new", time.UnixMilli(1))
}

// A compaction that reads a damaged block does not end the process either, and does not stop commits.
func TestCompactionOfDamagedFile(t *testing.T) {
	dir, _ := fillDisk(t, 200)
	flip(t, largest(t, dir, "*.sst"), 20_000)
	s := openDisk(t, dir)
	defer closeStore(t, s)
	if err := s.Compact(t.Context()); err == nil || strings.ContainsAny(err.Error(), "<\n") {
		t.Errorf("compaction of a damaged file: %v", err)
	}
	if s.BackgroundErrors() == 0 {
		t.Error("BackgroundErrors does not count the failure")
	}
	b := s.NewBatch()
	b.Doc("kind", "big", bytes.Repeat([]byte("x"), 64<<10))
	if err := s.Commit(b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find("arn0"); err != nil {
		t.Error(err)
	}
}

// snapshot returns the mode, modification time and content of each file below a directory.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		if !d.IsDir() {
			read, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text = string(read)
		}
		out[strings.TrimPrefix(name, dir)] = fmt.Sprint(info.Mode(), info.ModTime().UnixNano(), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// cut truncates a file to half its size.
func cut(t *testing.T, name string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

// tail returns the write-ahead log that has the last commits.
func tail(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "db", "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no log in %s: %v", dir, err)
	}
	return names[len(names)-1]
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// damages are the kinds of damage that a directory may have.
var damages = []struct {
	name string
	do   func(t *testing.T, dir string)
}{
	{"none", func(*testing.T, string) {}},
	{"log cut", func(t *testing.T, dir string) { cut(t, tail(t, dir)) }},
	{"log flipped", func(t *testing.T, dir string) { flip(t, tail(t, dir), 5000) }},
	{"block flipped", func(t *testing.T, dir string) { flip(t, largest(t, dir, "*.sst"), 20_000) }},
	{"table cut", func(t *testing.T, dir string) { cut(t, largest(t, dir, "*.sst")) }},
	{"table missing", func(t *testing.T, dir string) { remove(t, largest(t, dir, "*.sst")) }},
	{"manifest missing", func(t *testing.T, dir string) { remove(t, largest(t, dir, "MANIFEST-*")) }},
	{"manifest flipped", func(t *testing.T, dir string) { flip(t, largest(t, dir, "MANIFEST-*"), 30) }},
	{"never owned", func(t *testing.T, dir string) {
		remove(t, filepath.Join(dir, "lock"))
		remove(t, filepath.Join(dir, "owner"))
	}},
}

// A read-only store changes nothing in the directory, whatever its damage.
func TestReadingChangesNothing(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			dir, _ := fillDisk(t, 100)
			d.do(t, dir)
			before := snapshot(t, dir)
			o := small()
			o.ReadOnly = true
			s, err := store.Open(dir, o)
			t.Log(err)
			if err == nil {
				_, _ = s.Count()
				closeStore(t, s)
			}
			same(t, before, snapshot(t, dir))
		})
	}
}

func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s has changed", name)
		}
	}
	for name := range after {
		if _, was := before[name]; !was {
			t.Errorf("%s is new", name)
		}
	}
}

// A truncated log, which looks like one after a crash, is detected by the number in the commits file. A failed Open changes nothing.
func TestCommitsAreCounted(t *testing.T) {
	dir, _ := fillDisk(t, 100)
	closeStore(t, openDisk(t, dir)) // empties the log
	s := openDisk(t, dir)
	for i := range 10 {
		put(t, s, fmt.Sprint("late", i), time.UnixMilli(int64(i)))
	}
	closeStore(t, s)
	cut(t, tail(t, dir))
	before := snapshot(t, dir)
	_, err := store.Open(dir, small())
	var lost *store.LostError
	if !errors.As(err, &lost) || lost.Counted <= lost.Found {
		t.Errorf("Open with a truncated log: %v", err)
	}
	after := snapshot(t, dir)
	for _, name := range []string{"", "/owner", "/lock"} { // the failed Open took the lock
		delete(before, name)
		delete(after, name)
	}
	same(t, before, after)
}

// A directory can be opened without a commits file, as an older release leaves it, and with one that is behind or damaged.
func TestCountMayBeBehind(t *testing.T) {
	for name, text := range map[string]string{"none": "", "behind": "00000000000000000003\n", "damaged": "x"} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, fs)
			put(t, s, "arn", time.UnixMilli(5))
			closeStore(t, s)
			if err := fs.Remove("state/commits"); err != nil {
				t.Fatal(err)
			}
			if text != "" {
				f, err := fs.Create("state/commits", vfs.WriteCategoryUnspecified)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			closeStore(t, open(t, fs))
			s = open(t, fs)
			defer closeStore(t, s)
			if _, err := s.Find("arn"); err != nil {
				t.Error(err)
			}
		})
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// fullFS is a file system without space for logs while logs is set, and without space for other files while all is set.
type fullFS struct {
	vfs.FS
	logs, all *atomic.Bool
}

func newFullFS() fullFS { return fullFS{vfs.NewMem(), &atomic.Bool{}, &atomic.Bool{}} }

func (f fullFS) Create(name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	if f.all.Load() {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.Create(name, k)
	return fullFile{file, f.all}, err
}

func (f fullFS) OpenReadWrite(name string, k vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, k, o...)
	if strings.Contains(name, "/logs/") {
		return fullFile{file, f.logs}, err
	}
	return file, err
}

type fullFile struct {
	vfs.File
	full *atomic.Bool
}

func (f fullFile) Write(p []byte) (int, error) {
	if f.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

// WriteAt writes the first half if the file system is full.
func (f fullFile) WriteAt(p []byte, at int64) (int, error) {
	if f.full.Load() {
		n, _ := f.File.WriteAt(append([]byte(nil), p[:len(p)/2]...), at)
		return n, syscall.ENOSPC
	}
	return f.File.WriteAt(p, at)
}

// The writer of a log waits for space; then the log has each line once. It can be read meanwhile.
func TestLogOnAFullDisk(t *testing.T) {
	fs := newFullFS()
	full := make(chan struct{})
	e := open(t, fs, func(_ context.Context, req *task.Request) task.Result {
		for i := range 100 {
			if i == 50 {
				fs.logs.Store(true)
				close(full)
			}
			if err := req.Log.Append(fmt.Appendf(nil, "line %02d\n", i), fmt.Append(nil, i+1)); err != nil {
				return task.Fail("Log", err.Error())
			}
		}
		return task.Result{Output: []byte("1")}
	})
	x := start(t, e, "a", oneTask, `{}`)
	<-full
	if got := readLog(t, e, x.ARN, engine.LogQuery{State: "T"}); !strings.HasPrefix(got, "line 00\n") {
		t.Errorf("while the disk is full: %q", got)
	}
	fs.logs.Store(false)
	if x = end(t, e, x.ARN); x.Status != stepfn.Succeeded {
		t.Fatalf("%s: %s", x.Status, x.Cause)
	}
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "line %02d\n", i)
	}
	if got := readLog(t, e, x.ARN, engine.LogQuery{State: "T"}); got != want.String() {
		t.Errorf("got %q", got)
	}
}

// On a full disk, reads of a run whose commit waits fail with ErrFull, and the engine can be closed although the commit waits.
func TestEngineOnAFullDisk(t *testing.T) {
	fs, started := newFullFS(), make(chan struct{})
	e := open(t, fs, func(context.Context, *task.Request) task.Result {
		<-started
		fs.all.Store(true)
		return task.Result{Output: []byte("1")}
	})
	x := start(t, e, "a", oneTask, `{}`)
	close(started)
	for !e.Store().Full() {
		time.Sleep(time.Millisecond)
	}
	if _, err := e.Describe(x.ARN); !errors.Is(err, store.ErrFull) {
		t.Errorf("describe: %v", err)
	}
	if _, err := e.History(x.ARN, engine.HistoryQuery{}); !errors.Is(err, store.ErrFull) {
		t.Errorf("history: %v", err)
	}
	closeEngine(t, e)
}

// The engine logs once that the disk is full, and once that it has space again.
func TestFullDiskIsLogged(t *testing.T) {
	disk := vfs.NewMem()
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30})
	said := make(chan string, 1000)
	e := open(t, disk, nil, func(c *engine.Config) { c.Logger = slog.New(slog.NewTextHandler(lines(said), nil)) })
	if got := <-said; !strings.Contains(got, "the disk of the state directory is full") {
		t.Error(got)
	}
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30})
	if got := <-said; !strings.Contains(got, "has space again") {
		t.Error(got)
	}
	closeEngine(t, e)
}

// lines is a writer that sends the lines of a log.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

// source returns the output of a job. A runner copies the part after the stored position to the task's log.
func source(lines int) string {
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "line %0*d\n", 2+i%5, i)
	}
	return text.String()
}

// follow copies the source from the stored position to its end. A write that fails stands for the end of the process.
func follow(req *task.Request, text string) error {
	from, _ := strconv.Atoi(string(req.Log.Position()))
	for line := range strings.Lines(text[from:]) {
		from += len(line)
		if err := req.Log.Append([]byte(line), strconv.AppendInt(nil, int64(from), 10)); err != nil {
			return err
		}
	}
	return nil
}

// TestLogAfterCut simulates the end of the process after a number of bytes of the log, and again while the next engine continues the log.
// It tries every third number of bytes. At the end, the log has each line once.
func TestLogAfterCut(t *testing.T) {
	for _, limit := range []int64{4 << 20, 48} {
		text := source(8)
		whole := &shortFS{FS: vfs.NewMem(), left: 1 << 30}
		runCut(t, whole, limit, text)
		written := 1<<30 - whole.left
		step := 3 // each run of the test tries other numbers; make soak tries all
		switch {
		case os.Getenv("RAYORCH_SOAK") != "":
			step = 1
		case testing.Short():
			step = 7
		}
		for n := rand.IntN(step); n <= written; n += step {
			fs := &shortFS{FS: vfs.NewMem(), left: n}
			if runCut(t, fs, limit, text) {
				fs.left = n * 7 % 101
				runCut(t, fs, limit, text)
			}
			fs.left = 1 << 30
			if runCut(t, fs, limit, text) {
				t.Fatalf("cut after %d of %d bytes: the log is not complete at the end", n, written)
			}
			if t.Failed() {
				t.Fatalf("cut after %d of %d bytes", n, written)
			}
		}
	}
}

// runCut runs an engine until the log is complete or a write fails; more is true if a write failed.
func runCut(t *testing.T, fs *shortFS, limit int64, text string) (more bool) {
	t.Helper()
	failed := make(chan struct{})
	e := open(t, fs, func(ctx context.Context, req *task.Request) task.Result {
		if err := follow(req, text); err != nil {
			close(failed)
			<-ctx.Done()
			return task.Result{}
		}
		return task.Result{Output: []byte("1")}
	}, func(c *engine.Config) { c.LogBytes = limit })
	defer closeEngine(t, e)
	x, err := e.Describe(arnOf(t, e))
	if err != nil {
		t.Fatal(err)
	}
	if x.Closed() {
		return false
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for after := int64(0); ; {
			got, err := e.Watch(t.Context(), x.ARN, after)
			if err != nil || got.Closed {
				return
			}
			after = got.LastEventID
		}
	}()
	select {
	case <-failed:
		return true
	case <-done:
	}
	checkLog(t, e, x.ARN, text)
	return false
}

// arnOf returns the ARN of the only execution, and starts it if it does not exist.
func arnOf(t *testing.T, e *engine.Engine) string {
	t.Helper()
	page, err := e.List(engine.ListFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Executions) == 0 {
		return start(t, e, "a", oneTask, `{}`).ARN
	}
	return page.Executions[0].ARN
}

// checkLog checks that the log has the whole text, or its beginning, its end, and a line with the number of omitted bytes.
func checkLog(t *testing.T, e *engine.Engine, arn, text string) {
	t.Helper()
	got := readLog(t, e, arn, engine.LogQuery{State: "T"})
	infos, err := e.Logs(arn)
	if err != nil || len(infos) != 1 {
		t.Fatalf("%v, %v", infos, err)
	}
	info := infos[0]
	if info.Size+info.Dropped != int64(len(text)) {
		t.Errorf("%d bytes are stored and %d omitted, want %d in total", info.Size, info.Dropped, len(text))
	}
	want := text
	if info.Dropped > 0 {
		note := fmt.Sprintf("\n... %d bytes omitted ...\n", info.Dropped)
		head, _, _ := strings.Cut(got, note)
		want = head + note + text[len(head)+int(info.Dropped):]
		if !strings.HasPrefix(text, head) {
			t.Errorf("the log does not begin like its source: %q", got)
		}
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// shortFS is a file system on which writes to log files fail after left more bytes.
type shortFS struct {
	vfs.FS
	mu   sync.Mutex
	left int
}

var errCut = errors.New("cut")

// take returns how many of n bytes can still be written.
func (c *shortFS) take(n int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, c.left)
	if c.left -= n; c.left == 0 {
		return n, errCut
	}
	return n, nil
}

func (c *shortFS) log(name string) bool { return strings.Contains(name, "/logs/") }

func (c *shortFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.OpenReadWrite(name, category, o...)
	if err != nil || !c.log(name) {
		return f, err
	}
	return shortFile{f, c}, nil
}

func (c *shortFS) Remove(name string) error {
	if c.log(name) && !strings.Contains(name, "position") {
		if _, err := c.take(1); err != nil {
			return err
		}
	}
	return c.FS.Remove(name)
}

func (c *shortFS) Rename(from, to string) error {
	if c.log(to) {
		if _, err := c.take(1); err != nil {
			return err
		}
	}
	return c.FS.Rename(from, to)
}

type shortFile struct {
	vfs.File
	c *shortFS
}

func (f shortFile) WriteAt(p []byte, at int64) (int, error) {
	n, cut := f.c.take(len(p))
	n, err := f.File.WriteAt(slices.Clone(p[:n]), at)
	return n, errors.Join(err, cut)
}

func FuzzLogPosition(f *testing.F) {
	f.Add(engine.Position(7, 2, 4711, []byte("12345")))
	f.Add(append(engine.Position(1, 0, 0, nil), "of a longer one"...))
	f.Add([]byte("\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		again, ok := engine.RecodePosition(b)
		if ok && !bytes.HasPrefix(b, again) {
			t.Errorf("%x decodes as %x", b, again)
		}
	})
}

package proctask_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task/proctask"
)

// disk is a file on a disk with limited space.
type disk struct {
	text strings.Builder
	room int // free bytes
}

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	d.text.Write(p[:n])
	if n < len(p) {
		return n, &os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}
	}
	return n, nil
}

// TestLostOutput writes a log to disks of all sizes up to 40 bytes: the log says how many bytes of the output were lost.
func TestLostOutput(t *testing.T) {
	for room := range 40 {
		file := &disk{room: room}
		log, end := proctask.NewOutput(file, nil)
		for i := range 10 {
			if n, err := fmt.Fprintf(log, "line %d\n", i); n != 7 || err != nil {
				t.Fatalf("the write of the process returned %d, %v, want 7, nil", n, err)
			}
		}
		if end() {
			t.Fatalf("%d bytes free: the log does not report lost bytes as pending", room)
		}
		kept := file.text.Len()
		file.room = 1000
		if _, err := fmt.Fprintln(log, "later"); err != nil {
			t.Fatal(err)
		}
		if !end() {
			t.Fatal("the log does not contain a note about the lost bytes")
		}
		got := file.text.String()
		noted := strings.Contains(got, " bytes of output were lost: write log: no space left on device\n") && strings.HasSuffix(got, "later\n")
		if !noted || got[:min(room, kept)] != "line 0\nline 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\nline 9\n"[:min(room, kept)] {
			t.Errorf("%d bytes free: got log %q", room, got)
		}
	}
}

// TestLeftBehind starts a child process that prints after its parent has ended. The child is not terminated by SIGPIPE, and the job ends
// without waiting for the child.
func TestLeftBehind(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	gate, through := filepath.Join(dir, "gate"), filepath.Join(dir, "through")
	script := fmt.Sprintf(`(until [ -e %s ]; do sleep 0.05; done; echo late && echo later && touch %s) & echo done`, gate, through)
	got := b.run(t.Context(), t, stepfn.ProcessRun, map[string]any{"Id": newID(), "Shell": script})
	if got.Error != "" || b.log.String() != "done\n" {
		t.Fatalf("%+v, log %q", got, b.log.String())
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the child process has printed", func() error {
		_, err := os.Stat(through)
		return err
	})
}

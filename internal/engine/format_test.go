package engine_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
)

var writeFormat = flag.Bool("write-format", false, "write the state directory of this format that later releases must open")

// State directories of earlier releases can be opened: their executions exist, and the open ones continue.
func TestOldFormats(t *testing.T) {
	if *writeFormat {
		leaveFormat(t, filepath.Join("testdata", fmt.Sprint("format-", store.Format)))
	}
	dirs, err := filepath.Glob("testdata/format-*")
	if err != nil || len(dirs) < store.Format {
		t.Fatalf("%d directories for %d formats, %v: write the new one with -write-format", len(dirs), store.Format, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			fs := vfs.NewMem()
			if ok, err := vfs.Clone(vfs.Default, fs, dir, "state"); !ok || err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { takeOver(t, fs) })
		})
	}
}

// leaveFormat creates a directory with an execution of each kind that a restart has to handle.
func leaveFormat(t *testing.T, dir string) {
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(t.Context(), engine.Config{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e, "done", pass, `{"a":1}`)
	start(t, e, "waits", wait(600), `{"b":2}`)
	start(t, e, "offered", activity, `{"c":3}`)
	closeEngine(t, e)
	for _, name := range []string{"lock", "owner"} {
		_ = os.Remove(filepath.Join(dir, name))
	}
}

// takeOver opens a directory of leaveFormat and runs its executions to their ends.
func takeOver(t *testing.T, fs vfs.FS) {
	e := open(t, fs, nil, func(c *engine.Config) {
		c.Now = func() time.Time { return time.Now().AddDate(40, 0, 0) } // the directory is from 2026, but synctest's clock starts in 2000
		c.Retention = -1
	})
	arn := "arn:aws:states:us-east-1:123456789012:execution:m:"
	for name, want := range map[string]string{"done": `{"a":1}`, "waits": `{"b":2}`} {
		if x := end(t, e, arn+name); string(x.Output) != want || x.LastEventID != 4 {
			t.Errorf("%s: %s %s, %d events", name, x.Status, x.Output, x.LastEventID)
		}
	}
	got, err := e.GetActivityTask(t.Context(), activityARN, "w")
	if err != nil || string(got.Input) != `{"c":3}` {
		t.Errorf("the activity's task: %+v, %v", got, err)
	}
	if diff := cmp.Diff([]string{"offered", "waits", "done"}, names(t, e, engine.ListFilter{MachineARN: machineARN})); diff != "" {
		t.Error(diff)
	}
	closeEngine(t, e)
	sound(t, fs)
}

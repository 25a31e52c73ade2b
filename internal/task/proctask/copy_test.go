package proctask_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// TestCopy runs processes in copies of a directory that is edited after the execution has started.
func TestCopy(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("main.sh", "#!/bin/sh\necho old $(cat data/raw) $(ls)\n")
	write(".gitignore", "data/\n")
	write("data/raw", "raw")
	text, err := json.Marshal(map[string]any{"Dir": dir, "Snapshot": map[string]any{"Excludes": []string{"*.log"}}})
	if err != nil {
		t.Fatal(err)
	}
	sources := proctask.Sources(text)
	if len(sources) != 1 || sources[0].Path != dir {
		t.Fatalf("got sources %+v, want only %s", sources, dir)
	}
	kept, err := snapshot.Open(state).Keep(t.Context(), sources[0])
	if err != nil {
		t.Fatal(err)
	}
	write("main.sh", "#!/bin/sh\necho new\n")
	write("late.log", "")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stopped, copying := false, 0
	run := func(script string, more map[string]any) (string, string, string) {
		t.Helper()
		b := newBench(t)
		b.code, b.labels = state, map[string]string{snapshot.Label: snapshot.Encode([]snapshot.Snapshot{kept})}
		b.pending = func(reason string, _ time.Time) {
			if reason == "the working directory is being copied" {
				if copying++; stopped {
					stop()
				}
			}
		}
		id := newID()
		args := map[string]any{"Id": id, "Shell": script, "Dir": dir, "Snapshot": map[string]any{"Excludes": []string{"*.log"}}}
		for k, v := range more {
			args[k] = v
		}
		got := b.run(ctx, t, stepfn.ProcessRun, args)
		return got.Error, b.log.String(), filepath.Join(b.dir, id, "work")
	}
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }

	fault, log, work := run("./main.sh; cat late.log", nil)
	if copying != 1 {
		t.Errorf("the copy was reported as pending %d times, want 1", copying)
	}
	if fault != "" || log != "old raw data late.log main.sh\n" || exists(work) {
		t.Errorf("got error %q, log %q, the copy still exists: %v", fault, log, exists(work))
	}
	for range 2 { // each attempt has its own copy
		fault, log, work = run("test ! -e out || exit 3; ./main.sh >out; echo x >>main.sh; exit 1", nil)
		if fault != stepfn.JobFailed || !strings.Contains(log, "the job wrote files into its copy of the working directory: main.sh, out. They stay") || !strings.Contains(log, work) || !exists(work+"/out") {
			t.Errorf("got error %q, log %q", fault, log)
		}
	}
	if fault, log, _ = run("echo more >>data/raw", nil); fault != "" || log != "" || !exists(dir+"/data/raw") {
		t.Errorf("an excluded file is not a link to the original: error %q, log %q", fault, log)
	}
	if fault, _, _ = run("echo here >in-place", map[string]any{"Snapshot": nil}); fault != "" || !exists(dir+"/in-place") {
		t.Errorf("without a snapshot, the process does not run in the original directory: error %q", fault)
	}
	if fault, _, _ = run("true", map[string]any{"Dir": ""}); fault != stepfn.JobStartFailed {
		t.Errorf("Snapshot without Dir: got error %q, want %s", fault, stepfn.JobStartFailed)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if fault, log, _ = run("sh main.sh", nil); fault != "" || !strings.Contains(log, "old") {
		t.Errorf("after the directory was deleted: error %q, log %q", fault, log)
	}
	stopped = true
	if fault, _, work = run("sh main.sh", nil); fault == "" || exists(work) || exists(work+".new") {
		t.Errorf("after a stop during the copy: error %q; parts of the copy exist: %v, %v", fault, exists(work), exists(work+".new"))
	}
}

// TestConcurrentWrites writes the same file concurrently, as concurrent stops do.
func TestConcurrentWrites(t *testing.T) {
	dir := t.TempDir()
	errs := make(chan error)
	for range 8 {
		go func() {
			var err error
			for range 20 {
				err = errors.Join(err, proctask.WriteMark(dir, "stop"))
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); len(left) != 1 || err != nil {
		t.Errorf("the directory contains %v (%v), want one file", left, err)
	}
}

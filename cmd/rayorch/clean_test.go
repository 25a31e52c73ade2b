package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// cleaned runs an execution with an input until it ends, and then rayorch clean for it.
func (d *deputy) cleaned(t *testing.T, by *sfn.Client, machine, name, input string) {
	t.Helper()
	x, err := by.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: &input})
	if err != nil {
		t.Fatal(err)
	}
	d.wait(t, *x.ExecutionArn)
	var out bytes.Buffer
	a := testApp(d.dir, &out)
	if err := a.clean(t.Context(), []string{*x.ExecutionArn}, cleanOptions{yes: true}); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
}

// TestCleanRemovesOnlyWhatRunsLeft: a caller over the network chooses the name of an execution and the content of its history. The owner's
// rayorch clean must not remove other directories because of them.
func TestCleanRemovesOnlyWhatRunsLeft(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	const computed = `"{% $states.input %}"`
	storage := func(dir string) string {
		return fmt.Sprintf(`{"Id": "p", "Shell": "true", "Environment": {"RAYORCH_STORAGE": %q}}`, dir)
	}
	root := t.TempDir()
	theirs, mine := register(t, d.tcp, "theirs", machine(run, computed)), register(t, d.socket, "mine", machine(run, computed))
	compiled := register(t, d.socket, "compiled", machine(run,
		`{"Id": "p", "Shell": "true", "Environment": "{% {'RAYORCH_STORAGE': '`+root+`/' & $states.context.Execution.Name} %}"}`))
	in := func(name string) string { return filepath.Join(root, name) }
	kept := filepath.Join(d.dir, "storage", "other", "g")
	linked := filepath.Join(d.dir, "storage", "theirs")
	for i, c := range []struct {
		name         string
		by           *sfn.Client
		machine, dir string
		input        string
		removed      bool
	}{
		{"a", d.tcp, theirs, in("a"), storage(in("a")), false},
		{"b", d.socket, theirs, in("b"), storage(in("b")), false}, // also if the owner starts it
		{"c", d.tcp, mine, in("c"), storage(in("c")), false},
		{"d", d.socket, mine, in("d"), storage(in("d")), true},
		{"e", d.tcp, compiled, in("e"), "{}", true},
		{"f", d.tcp, theirs, filepath.Join(linked, "f"), storage(filepath.Join(linked, "f")), true},
		{"g", d.tcp, theirs, kept, storage(kept), false},
		{"storage", d.tcp, theirs, filepath.Join(d.dir, "storage"), storage(filepath.Join(d.dir, "storage")), false},
		{"up", d.tcp, theirs, filepath.Join(d.dir, "api.json"), `{"Id": "..", "Shell": "true"}`, false},
		{"up-own", d.socket, mine, filepath.Join(d.dir, "api.json"), `{"Id": "..", "Shell": "true"}`, false},
		{"all", d.tcp, theirs, filepath.Join(d.dir, "jobs"), `{"Id": "/", "Shell": "true"}`, false},
	} {
		if filepath.Base(c.dir) != "api.json" {
			if err := os.MkdirAll(c.dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		d.cleaned(t, c.by, c.machine, c.name, c.input)
		if _, err := os.Lstat(c.dir); (err != nil) != c.removed {
			t.Errorf("%d, %s: %s was removed: %v", i, c.name, c.dir, err != nil)
		}
	}
}

// TestCleanDoesNotFollowLinks: the storage of a state machine can be a link to another directory, created by a job of a caller over the
// network.
func TestCleanDoesNotFollowLinks(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	victim := filepath.Join(t.TempDir(), "documents")
	link := filepath.Join(d.dir, "storage", "theirs")
	for _, err := range []error{os.Mkdir(victim, 0o700), os.MkdirAll(filepath.Dir(link), 0o700), os.Symlink(filepath.Dir(victim), link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	arn := register(t, d.tcp, "theirs", machine(run, `"{% $states.input %}"`))
	d.cleaned(t, d.tcp, arn, "documents", fmt.Sprintf(`{"Id": "p", "Shell": "true", "Environment": {"RAYORCH_STORAGE": %q}}`, filepath.Join(link, "documents")))
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}

// TestCleanKeepsRunningProcesses: the directory of a running process is kept, whichever execution names it.
func TestCleanKeepsRunningProcesses(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	t.Chdir(d.private)
	sleeps := register(t, d.socket, "sleeps", machine(run, `{"Id": "long", "Shell": "sleep 600"}`))
	x, err := d.socket.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &sleeps, Name: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = d.socket.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: x.ExecutionArn})
		d.wait(t, *x.ExecutionArn)
	}()
	dir := filepath.Join(d.dir, "jobs", "long")
	for !fileExists(filepath.Join(dir, "process")) {
		if err := client.Sleep(t.Context(), settlePoll); err != nil {
			t.Fatal(err)
		}
	}
	d.cleaned(t, d.tcp, register(t, d.tcp, "names-it", machine(run, `{"Id": "long", "Shell": "true"}`)), "n", "{}")
	if !fileExists(filepath.Join(dir, "process")) {
		t.Error("clean removed the directory of a running process")
	}
}

// TestSharedStateDirectoryIsNotWrittenTo: in a state directory that other users can write to, histories can name any directory, and the
// files of the database can be links.
func TestSharedStateDirectoryIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	a := testApp(dir, io.Discard)
	nothing := func(context.Context, *store.Store) error { return nil }
	for what, err := range map[string]error{
		"clean":         a.clean(t.Context(), nil, cleanOptions{yes: true, olderThan: 1}),
		"store compact": a.withStore(t.Context(), false, nothing),
	} {
		if !errors.Is(err, home.ErrNotPrivate) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("files were written: %v", left)
	}
}

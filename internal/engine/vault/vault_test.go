package vault_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/engine/vault"
	"github.com/rayorch/rayorch/internal/task"
)

const (
	machine = "arn:aws:states:us-east-1:123456789012:stateMachine:m"
	run     = "arn:aws:states:us-east-1:123456789012:execution:m:one"
)

// open returns the vault and the engine of a new owner of a state directory.
func open(t *testing.T, fs vfs.FS) (*vault.Vault, *engine.Engine) {
	t.Helper()
	v := vault.New()
	eng, err := engine.Open(t.Context(), engine.Config{Dir: "state", FS: fs, Logger: slog.New(slog.DiscardHandler),
		Machines: func(s *store.Store) engine.Machines {
			v.SetStore(s)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	v.SetEngine(eng)
	return v, eng
}

func wanted(t *testing.T, v *vault.Vault, want ...string) {
	t.Helper()
	got, err := v.Missing(run)
	if diff := cmp.Diff(want, append([]string(nil), got...)); diff != "" || err != nil {
		t.Errorf("wanted (%v):\n%s", err, diff)
	}
}

// secret returns the value of a variable that a task gets.
func secret(t *testing.T, v *vault.Vault, labels map[string]string, variable string) string {
	t.Helper()
	got, err := v.Secret(t.Context(), &task.Request{Execution: run, Labels: labels}, variable)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A run keeps the first values that it was given. The next owner has only their names.
func TestGive(t *testing.T) {
	t.Setenv("TOKEN", "the owner's")
	t.Setenv("OTHER", "the owner's")
	fs := vfs.NewMem()
	v, eng := open(t, fs)
	wanted(t, v)
	for _, value := range []string{"the-first-value", "another-value"} {
		if err := v.Add(run, map[string]string{"TOKEN": value, "KEY": value}); err != nil {
			t.Fatal(err)
		}
	}
	wanted(t, v)
	for variable, want := range map[string]string{"TOKEN": "the-first-value", "OTHER": "the owner's"} {
		if got := secret(t, v, nil, variable); got != want {
			t.Errorf("%s is %q, want %q", variable, got, want)
		}
	}
	fromNetwork := task.WithLabel(nil, task.OriginLabel, task.NetworkInput)
	if got := secret(t, v, fromNetwork, "TOKEN"); got != "the owner's" {
		t.Errorf("an execution that was started over the network gets %q", got)
	}
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
	if text := contents(t, fs, "state"); !bytes.Contains(text, []byte("TOKEN")) || bytes.Contains(text, []byte("the-first-value")) {
		t.Error("the state directory must contain the names, and no values")
	}
	v, eng = open(t, fs)
	defer func() { _ = eng.Close() }()
	wanted(t, v, "KEY", "TOKEN")
}

// contents returns the contents of all files below a directory.
func contents(t *testing.T, fs vfs.FS, dir string) (all []byte) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			all = append(all, contents(t, fs, path)...)
			continue
		}
		f, err := fs.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, info.Size())
		if _, err := f.ReadAt(text, 0); err != nil && len(text) > 0 {
			t.Fatal(err)
		}
		all = append(all, text...)
		_ = f.Close()
	}
	return all
}

// After a change of the owner, Secret waits for the value and reports the reason. It returns when the context ends, or when the value is
// given.
func TestSecretWaits(t *testing.T) {
	fs := vfs.NewMem()
	v, eng := open(t, fs)
	if err := v.Add(run, map[string]string{"TOKEN": "value"}); err != nil {
		t.Fatal(err)
	}
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
	v, eng = open(t, fs)
	defer func() { _ = eng.Close() }()
	reasons := make(chan string, 2)
	req := &task.Request{Execution: run, Pending: func(reason string, _ time.Time) { reasons <- reason }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Secret(ctx, req, "TOKEN"); err == nil {
		t.Error("a stopped task got a value")
	}
	const why = "waiting for the secret in the environment variable TOKEN of the process that started the run: " +
		"set TOKEN and run rayorch resume one"
	if got := <-reasons; got != why {
		t.Errorf("the reason is %q", got)
	}
	values := make(chan string)
	go func() {
		value, err := v.Secret(t.Context(), req, "TOKEN")
		if err != nil {
			value = err.Error()
		}
		values <- value
	}()
	<-reasons
	if err := v.Add(run, map[string]string{"TOKEN": "again"}); err != nil {
		t.Fatal(err)
	}
	if got := <-values; got != "again" {
		t.Errorf("the value is %q", got)
	}
	if got := <-reasons; got != "" {
		t.Errorf("the task still waits: %q", got)
	}
}

// The values of a run are deleted when it has ended. A redrive needs them again.
func TestEndedRuns(t *testing.T) {
	v, eng := open(t, vfs.NewMem())
	defer func() { _ = eng.Close() }()
	if err := v.Add(run, map[string]string{"TOKEN": "value"}); err != nil {
		t.Fatal(err)
	}
	wanted(t, v)
	_, err := eng.Start(t.Context(), engine.StartRequest{
		MachineARN: machine, Name: "one", Input: []byte(`{}`), Definition: []byte(`{"StartAt":"P","States":{"P":{"Type":"Succeed"}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for news := (engine.WatchResult{}); !news.Closed; {
		if news, err = eng.Watch(t.Context(), run, news.LastEventID); err != nil {
			t.Fatal(err)
		}
	}
	wanted(t, v, "TOKEN")
}

// Package command builds and runs the rayorch command for end-to-end tests, as a user has it: another process, known by
// its output, its exit code and what it leaves behind.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/store"
)

var built struct {
	once sync.Once
	path string
	err  error
}

// Build makes the command, once a test binary. RAYORCH_TEST_BINARY names one that is built already.
//
// go run, unlike go build, keeps the linked program in Go's cache: only the first of all packages' tests after a change
// links it, the others copy it. What it is linked of is what `make build` has compiled.
func Build(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("RAYORCH_TEST_BINARY"); path != "" {
		return path
	}
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "rayorch-command-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "rayorch")
		cmd := exec.Command("go", "run", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-exec=cp",
			"github.com/rayorch/rayorch/cmd/rayorch", built.path)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = errors.New(string(out))
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// Clean removes what Build made.
func Clean() {
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
}

// Place is where commands run: a state directory, and a Ray where one is needed.
type Place struct {
	Binary string
	State  string
	Dir    string // working directory
	Env    []string
}

// New makes a place with a state directory of its own. Its environment points at no Ray but the one that is given.
func New(t testing.TB, found *ray.Found) *Place {
	t.Helper()
	p := &Place{Binary: Build(t), State: t.TempDir(), Dir: t.TempDir()}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "RAY_") && !strings.HasPrefix(name, "RAYORCH_") && !strings.HasPrefix(name, "AWS_") {
			p.Env = append(p.Env, kv)
		}
	}
	p.Env = append(p.Env, "RAYORCH_STATE_DIR="+p.State, "NO_COLOR=1")
	if found != nil {
		p.Env = append(p.Env, "RAY_API_SERVER_ADDRESS="+found.Address)
		if found.Token != "" {
			p.Env = append(p.Env, "RAY_AUTH_TOKEN="+found.Token)
		}
	}
	return p
}

// Write puts a file into the working directory.
func (p *Place) Write(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Park notes in a state directory that two processes died during a step of an execution, as the engine does.
func Park(stateDir, arn string) error {
	st, err := store.Open(stateDir, store.Options{})
	if err != nil {
		return err
	}
	id, err := st.Find(arn)
	return errors.Join(err, st.PutDocs("deaths", store.Doc{Name: fmt.Sprintf("%d timer", id), Value: fmt.Appendf(nil,
		`{"v":1,"arn":%q,"step":"timer","event":7,"count":2,"time":1}`, arn)}), st.Close())
}

// Result is what a command came to.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Start begins a command; wait waits for its end. One that still runs when the test ends, as after a failure, is killed.
func (p *Place) Start(t testing.TB, args ...string) (cmd *exec.Cmd, wait func() Result) {
	t.Helper()
	cmd, wait = p.start(t, args...)
	t.Cleanup(func() { _ = cmd.Process.Kill(); wait() })
	return cmd, wait
}

func (p *Place) start(t testing.TB, args ...string) (cmd *exec.Cmd, wait func() Result) {
	t.Helper()
	cmd = exec.Command(p.Binary, args...)
	var out, errs output
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.Dir, p.Env, &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait = sync.OnceValue(func() Result {
		_ = cmd.Wait() // the exit code says it
		return Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	})
	return cmd, wait
}

// Said is what a command has printed on standard error so far.
func Said(cmd *exec.Cmd) string { return cmd.Stderr.(*output).String() }

// output is what a command prints, which may be read while it does.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Run runs a command to its end.
func (p *Place) Run(ctx context.Context, t testing.TB, args ...string) Result {
	t.Helper()
	cmd, wait := p.start(t, args...)
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	return wait()
}

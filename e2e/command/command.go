// Package command builds and runs the rayorch command for end-to-end tests. Tests use it as a user does: as a separate process, of which
// they see the output, the exit code and the files.
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

// Build builds the command and returns its path. It builds at most once per test binary, and not at all if RAYORCH_TEST_BINARY is the path
// of a command.
//
// It uses go run because, unlike go build, go run stores the linked program in Go's cache: after a change, only the first test binary
// links it, and the others copy it. The flags are those of `make build`, so that the compiled packages are in the cache as well.
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

// Clean removes the command that Build built.
func Clean() {
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
}

// Sandbox is an environment in which commands run: a state directory, a working directory and environment variables.
type Sandbox struct {
	Binary string
	State  string
	Dir    string // working directory
	Env    []string
}

// New returns a sandbox with a new state directory. Commands in it use the Ray found; if it is nil, no Ray is configured. The
// caller's variables RAY_*, RAYORCH_* and AWS_* are removed.
func New(t testing.TB, found *ray.Found) *Sandbox {
	t.Helper()
	p := &Sandbox{Binary: Build(t), State: t.TempDir(), Dir: t.TempDir()}
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

// Write writes a file below the working directory.
func (p *Sandbox) Write(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Park records in a state directory that two processes died during a step of an execution, so that the engine parks the execution.
func Park(stateDir, arn string) error {
	st, err := store.Open(stateDir, store.Options{})
	if err != nil {
		return err
	}
	id, err := st.Find(arn)
	return errors.Join(err, st.PutDocs("deaths", store.Doc{Name: fmt.Sprintf("%d timer", id), Value: fmt.Appendf(nil,
		`{"v":1,"arn":%q,"step":"timer","event":7,"count":2,"time":1}`, arn)}), st.Close())
}

// Result is the result of a command.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Start starts a command; wait waits for its end. If the command still runs when the test ends, it is killed.
func (p *Sandbox) Start(t testing.TB, args ...string) (cmd *exec.Cmd, wait func() Result) {
	t.Helper()
	cmd, wait = p.start(t, args...)
	t.Cleanup(func() { _ = cmd.Process.Kill(); wait() })
	return cmd, wait
}

func (p *Sandbox) start(t testing.TB, args ...string) (cmd *exec.Cmd, wait func() Result) {
	t.Helper()
	cmd = exec.Command(p.Binary, args...)
	var out, errs output
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.Dir, p.Env, &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait = sync.OnceValue(func() Result {
		_ = cmd.Wait() // the result contains the exit code
		return Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	})
	return cmd, wait
}

// Stderr returns what a command that Start started has printed to standard error so far.
func Stderr(cmd *exec.Cmd) string { return cmd.Stderr.(*output).String() }

// output collects the output of a command. It can be read while the command runs.
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

// Run runs a command and waits for its end. It kills the command if ctx ends.
func (p *Sandbox) Run(ctx context.Context, t testing.TB, args ...string) Result {
	t.Helper()
	cmd, wait := p.start(t, args...)
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	return wait()
}

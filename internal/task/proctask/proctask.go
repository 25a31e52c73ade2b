// Package proctask runs Tasks as processes of this machine, each under a supervisor that outlives rayorch: our own program
// started again, which notes in a directory what a later rayorch must know. The engine calls the Runner; cmd/rayorch's
// hidden subcommand calls SuperviseMain.
package proctask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/engine/snapshot"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// Config says where the processes' directories are and how the supervisor is called.
type Config struct {
	// Dir has a directory for each process, by its Id.
	Dir string
	// Supervisor is the command that ends in SuperviseMain; the process's directory is added to it.
	Supervisor []string
	// Code has the packages of directories as they were when the executions started.
	Code *snapshot.Store
	// Policy limits what executions that came over the network may use, and may refuse processes. Defaults to nothing that they
	// name, and processes.
	Policy policy.Policy
	// Secret gives the values of the variables that SecretEnv names. Defaults to none being set.
	Secret task.SecretSource
	// Inheritable is the environment from which InheritEnv takes variables, as NAME=VALUE. Defaults to this process's own.
	Inheritable func() []string
	// StopGrace is what a process has between SIGTERM and SIGKILL. Defaults to 10 s.
	StopGrace time.Duration
}

// Runner is a task.Runner. It holds nothing between its calls.
type Runner struct{ cfg Config }

// New makes a runner.
func New(cfg Config) *Runner {
	if cfg.StopGrace == 0 {
		cfg.StopGrace = 10 * time.Second
	}
	if cfg.Secret == nil {
		cfg.Secret = task.Environment(func(string) string { return "" })
	}
	if cfg.Inheritable == nil {
		cfg.Inheritable = os.Environ
	}
	return &Runner{cfg}
}

// Run does one attempt.
func (r *Runner) Run(ctx context.Context, req *task.Request) task.Result {
	switch req.Resource {
	case stepfn.ProcessRun:
		return r.runProcess(ctx, req)
	case stepfn.ProcessStop:
		return r.stopProcesses(ctx, req)
	}
	return task.Fail(stepfn.JobStartFailed, fmt.Sprintf("the resource %s is none of %s, %s", req.Resource, stepfn.ProcessRun, stepfn.ProcessStop))
}

// StopArguments say which processes process:stop stops: those that all given fields hold for.
type StopArguments struct {
	IDs    []string `json:"Ids"`
	Prefix string
}

func (r *Runner) stopProcesses(ctx context.Context, req *task.Request) task.Result {
	var args StopArguments
	if err := task.Decode(req.Input, &args); err != nil {
		return task.Fail(stepfn.JobStartFailed, "the arguments of process:stop: "+err.Error())
	}
	if len(args.IDs) == 0 && args.Prefix == "" {
		return task.Fail(stepfn.JobStartFailed, "process:stop needs Ids or Prefix")
	}
	stopped := []string{}
	places, err := r.places()
	for _, p := range places {
		if ctx.Err() != nil {
			break
		}
		if args.match(p.id()) && !p.ended() {
			stopped = append(stopped, p.id())
			err = errors.Join(err, p.stop(r.cfg.StopGrace))
		}
	}
	if err != nil {
		return task.Fail(stepfn.JobStopped, err.Error())
	}
	data, err := json.Marshal(struct{ Stopped []string }{stopped})
	if err != nil {
		return task.Fail(stepfn.JobStopped, err.Error())
	}
	return task.Result{Output: data}
}

func (a StopArguments) match(id string) bool {
	if !strings.HasPrefix(id, a.Prefix) {
		return false
	}
	for _, want := range a.IDs {
		if want == id {
			return true
		}
	}
	return len(a.IDs) == 0
}

func (r *Runner) places() ([]place, error) {
	entries, err := os.ReadDir(r.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []place
	for _, entry := range entries {
		if entry.IsDir() {
			all = append(all, place(filepath.Join(r.cfg.Dir, entry.Name())))
		}
	}
	return all, err
}

// Finished lists the ids of processes that ended before a time.
func (r *Runner) Finished(before time.Time) ([]string, error) {
	places, err := r.places()
	var ids []string
	for _, p := range places {
		if end, ok := p.exit(); ok && end.EndTime < before.UnixMilli() {
			ids = append(ids, p.id())
		}
	}
	return ids, err
}

// Remove removes what is kept of a process that has ended.
func (r *Runner) Remove(id string) error {
	if !processID.MatchString(id) {
		return fmt.Errorf("%q is no process id", id)
	}
	p := place(filepath.Join(r.cfg.Dir, id))
	if !p.ended() {
		return fmt.Errorf("process %s still runs", id)
	}
	return os.RemoveAll(string(p))
}

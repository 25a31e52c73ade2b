// Package proctask runs Tasks as processes on this machine. Each process has a supervisor: another process of the rayorch binary, which
// continues if rayorch exits, and records the state of the process in a directory, where a later rayorch process finds it. The engine
// calls the Runner; a hidden subcommand of cmd/rayorch calls SuperviseMain.
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

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// Config configures a Runner.
type Config struct {
	// Dir contains a directory for each process, named by its id.
	Dir string
	// Supervisor is a command that calls SuperviseMain. The Runner appends the directory of the process as the last argument.
	Supervisor []string
	// Code contains the packages of working directories as they were when the executions started.
	Code *snapshot.Store
	// Policy limits what executions that came over the network may use, and can forbid processes. The zero value allows processes.
	Policy policy.Policy
	// Secret returns the values of the variables that SecretEnv names. By default, no variable is set.
	Secret task.SecretSource
	// Inheritable returns the environment from which InheritEnv selects variables, as NAME=VALUE. Default: os.Environ.
	Inheritable func() []string
	// StopGrace is the time between SIGTERM and SIGKILL. Default: 10 s.
	StopGrace time.Duration
}

// Runner implements task.Runner. It has no state except its configuration.
type Runner struct{ cfg Config }

// New returns a Runner.
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

// Run implements task.Runner.
func (r *Runner) Run(ctx context.Context, req *task.Request) task.Result {
	switch req.Resource {
	case stepfn.ProcessRun:
		return r.runProcess(ctx, req)
	case stepfn.ProcessStop:
		return r.stopProcesses(ctx, req)
	}
	return task.Fail(stepfn.JobStartFailed, fmt.Sprintf("the resource %s is not supported: it must be %s or %s",
		req.Resource, stepfn.ProcessRun, stepfn.ProcessStop))
}

// StopArguments are the arguments of process:stop. They select the processes that match all fields that are set.
type StopArguments struct {
	IDs    []string `json:"Ids"`
	Prefix string   // of the id
}

// stopProcesses stops the selected processes that are running and returns their ids. Repeating it has no further effect.
func (r *Runner) stopProcesses(ctx context.Context, req *task.Request) task.Result {
	var args StopArguments
	if err := task.Decode(req.Input, &args); err != nil {
		return task.Fail(stepfn.JobStartFailed, "the arguments of process:stop: "+err.Error())
	}
	if len(args.IDs) == 0 && args.Prefix == "" {
		return task.Fail(stepfn.JobStartFailed, "process:stop requires Ids or Prefix")
	}
	stopped := []string{}
	dirs, err := r.procDirs()
	for _, p := range dirs {
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

// procDirs returns the directories of all processes, running or not.
func (r *Runner) procDirs() ([]procDir, error) {
	entries, err := os.ReadDir(r.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []procDir
	for _, entry := range entries {
		if entry.IsDir() {
			all = append(all, procDir(filepath.Join(r.cfg.Dir, entry.Name())))
		}
	}
	return all, err
}

// Finished returns the ids of the processes that ended before a time.
func (r *Runner) Finished(before time.Time) ([]string, error) {
	dirs, err := r.procDirs()
	var ids []string
	for _, p := range dirs {
		if end, ok := p.exit(); ok && end.EndTime < before.UnixMilli() {
			ids = append(ids, p.id())
		}
	}
	return ids, err
}

// Remove deletes the directory of a process that has ended.
func (r *Runner) Remove(id string) error {
	if !processID.MatchString(id) {
		return fmt.Errorf("%q is not a valid process id", id)
	}
	p := procDir(filepath.Join(r.cfg.Dir, id))
	if !p.ended() {
		return fmt.Errorf("the process %s is still running", id)
	}
	return os.RemoveAll(string(p))
}

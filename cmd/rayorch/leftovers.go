package main

// This file finds what a run left behind. The history names it, but a history is not to be trusted: a caller over the network may have
// written parts of it. So each directory is checked before clean may remove it.

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// leftoverOf finds what all attempts of a run left, from the tasks in the run's history. The code is added by leftoversOf.
func (s *session) leftoverOf(ctx context.Context, arn string) (leftover, error) {
	l := leftover{ARN: arn}
	dirs := map[string]bool{}
	err := s.events(ctx, arn, func(e *types.HistoryEvent) error {
		if d := e.TaskScheduledEventDetails; d != nil {
			dirs[runStorage(aws.ToString(d.Parameters), arn)] = true
			dirs[s.jobDir(d)] = true
		}
		if d := e.TaskSubmittedEventDetails; d != nil {
			var j progress.Job
			_ = json.Unmarshal([]byte(aws.ToString(d.Output)), &j) // other tasks may have any output
			if j.SubmissionID != "" && j.Address != "" {           // in a cluster, the TTL removes jobs
				l.Jobs = append(l.Jobs, rayJob{j.SubmissionID, j.Address})
			}
		}
		return nil
	})
	if err != nil {
		return l, err
	}
	mayRemove, err := s.removable(ctx, arn)
	if err != nil {
		return l, err
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if size, ok := sizeOf(dir); ok && mayRemove(dir) {
			l.Dirs, l.Bytes = append(l.Dirs, dir), l.Bytes+size
		}
	}
	return l, nil
}

// removable returns a function that reports whether a directory in a run's history may be removed. A caller over the network can choose the
// name of a run and the directories in its history: of such a run, only directories that the owner named are removed.
func (s *session) removable(ctx context.Context, arn string) (func(dir string) bool, error) {
	origin, err := s.client.Origin(ctx, arn)
	if origin == "" || err != nil {
		return func(string) bool { return true }, err
	}
	definition := "" // trusted only if the owner registered it, and just the input came over the network
	if origin == task.NetworkInput {
		if definition, err = s.client.Definition(ctx, arn); err != nil {
			return nil, err
		}
	}
	return func(dir string) bool { return s.inStateDir(dir, arn) || isNamed(dir, definition) }, nil
}

// inStateDir reports whether a directory is in the state directory and belongs to this run: the directory of a plain job, or the run's
// storage. It is false if a symbolic link leads out of the state directory.
func (s *session) inStateDir(dir, arn string) bool {
	if s.dir == "" {
		return false // the state directory is on another machine
	}
	jobs := filepath.Join(s.dir, "jobs")
	return filepath.Dir(dir) == jobs || isAt(dir, storageDir(s.dir), filepath.Join(nameOf(machineOf(arn)), nameOf(arn)))
}

// isAt reports whether a path, with symbolic links resolved, is the path below in the directory root.
func isAt(path, root, below string) bool {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	root, err = filepath.EvalSymlinks(root)
	return err == nil && target == filepath.Join(root, below)
}

// isNamed reports whether the definition that the owner registered contains the parent of a run's directory in the form that the compiler
// writes: as a string to which the run's name is appended.
func isNamed(dir, definition string) bool {
	root := filepath.Dir(dir)
	return isAt(dir, root, filepath.Base(dir)) && strings.Contains(definition, "'"+root+"/'")
}

// machineOf is the part of an execution's ARN before its name.
func machineOf(arn string) string { return arn[:max(0, strings.LastIndex(arn, ":"))] }

// jobDir returns the directory of a plain job's attempt. It returns "" for other tasks, and for a job that is running: the history of
// another run can name it.
func (s *session) jobDir(d *types.TaskScheduledEventDetails) string {
	var p struct{ Id string }
	if s.dir == "" || aws.ToString(d.ResourceType) != "process" || json.Unmarshal([]byte(aws.ToString(d.Parameters)), &p) != nil {
		return ""
	}
	dir := filepath.Join(s.dir, "jobs", p.Id)
	if !proctask.IsID(p.Id) || proctask.IsRunning(dir) { // the history also has arguments that the task rejected
		return ""
	}
	return dir
}

// runStorage returns the run's directory on the storage, from the environment of a task; "" if the directory does not have the run's name.
func runStorage(parameters, arn string) string {
	var p struct {
		RuntimeEnv struct {
			EnvVars map[string]string `json:"env_vars"`
		}
		Environment map[string]string
	}
	if json.Unmarshal([]byte(parameters), &p) != nil {
		return ""
	}
	dir := p.Environment["RAYORCH_STORAGE"]
	if dir == "" {
		dir = p.RuntimeEnv.EnvVars["RAYORCH_STORAGE"]
	}
	if !filepath.IsAbs(dir) || filepath.Base(dir) != nameOf(arn) {
		return ""
	}
	return filepath.Clean(dir)
}

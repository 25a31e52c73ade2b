package compile

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// margin is the number of seconds by which a state's timeout exceeds that of the job, so that the task runner can end the attempt first.
const margin = 60

// rayTasks is the mode of Ray jobs on this machine: the engine's task runner submits, follows and stops them.
type rayTasks struct{ c *compiler }

// state returns a Task. For the meaning of its arguments, see package raytask.
func (m rayTasks) state(s *submission) *value.Object {
	c := m.c
	args := value.Obj("SubmissionId", s.taskID().Value(), "Entrypoint", s.command.Value())
	if c.address != "" {
		args.Set("Address", query.Plain(c.address))
	}
	if s.workingDir != "" {
		args.Set("WorkingDir", query.Plain(c.absPath(s.workingDir)))
	}
	args.Set("RuntimeEnv", s.runtimeEnv)
	c.runnerParams(args)
	c.fromHost(args, s.secrets)
	s.resources.reserve(args, taskNames)
	args.Set("Metadata", c.marks(s))
	args.Set("PendingTimeoutSeconds", value.Int(s.pending.Seconds()))
	return c.localTask(s, stepfn.RaySubmitJob, args, s.timeout+s.pending)
}

func (m rayTasks) cleanUp(states *value.Object, next string) string {
	args := value.Obj("Prefix", abortedPrefix())
	if m.c.address != "" {
		args.Set("Address", query.Plain(m.c.address))
	}
	return stopTask(states, "Stop Ray jobs", stepfn.RayStopJobs, args, next)
}

func (m rayTasks) check(w wanted) { m.c.noteContext(w) }

// processes is the mode of plain jobs on this machine. Each process runs under its own supervisor. A shell runs the command, because
// the wrapper needs one.
type processes struct{ c *compiler }

func (m processes) state(s *submission) *value.Object {
	c := m.c
	args := value.Obj("Id", s.taskID().Value(), "Shell", s.command.Value())
	if dir := c.absPath(s.workingDir); dir != "" {
		args.Set("Dir", query.Plain(dir))
		if !s.inPlace {
			snapshot := &value.Object{}
			if pattern := c.storageIn(dir); pattern != "" {
				snapshot.Set("Excludes", []any{query.Plain(pattern)})
			}
			args.Set("Snapshot", snapshot)
		}
	}
	args.Set("Environment", s.env.Value())
	c.runnerParams(args)
	c.fromHost(args, s.secrets)
	args.Set("Metadata", c.marks(s))
	return c.localTask(s, stepfn.ProcessRun, args, s.timeout)
}

func (m processes) cleanUp(states *value.Object, next string) string {
	return stopTask(states, "Stop processes", stepfn.ProcessStop, value.Obj("Prefix", abortedPrefix()), next)
}

// check adds a note about fields that apply only to pods.
func (m processes) check(w wanted) {
	m.c.noteContext(w)
	j := w.job
	var ignored []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"image", len(j.Image.Parts) > 0}, {"cpus", j.CPUs != nil}, {"gpus", j.GPUs != nil}, {"memory", j.Memory != nil},
		{"ephemeralStorage", j.EphemeralStorage != nil}, {"nodeSelector", len(j.NodeSelector.Entries) > 0},
		{"tolerations", len(j.Tolerations) > 0}, {"mounts", len(j.Mounts) > 0}, {"serviceAccount", j.ServiceAccount != ""},
		{"securityContext", j.SecurityContext != nil}, {"automountServiceAccountToken", j.AutomountServiceAccountToken != nil},
		{"pendingTimeout", !w.cleanup && w.step.PendingTimeout != pipeline.DefaultPendingTimeout && cleanupKind(w.step) != kindRay},
	} {
		if f.set {
			ignored = append(ignored, f.name)
		}
	}
	if len(ignored) > 0 {
		m.c.note("%s runs as a process on this machine, ignoring %s", w.of, strings.Join(ignored, ", "))
	}
}

// cleanupKind returns the kind of a step's cleanup job, or "" if the step has none.
func cleanupKind(s *pipeline.Step) string {
	if s.OnFailure == nil {
		return ""
	}
	return body{s.OnFailure.Ray, s.OnFailure.Job}.kind()
}

// noteContext adds a note that a step's context is ignored, once for the step and its cleanup.
func (c *compiler) noteContext(w wanted) {
	if w.step.Context != "" && !w.cleanup {
		c.note("%s runs on this machine, ignoring context", w.of)
	}
}

// localTask returns the Task state of a submission, with its retries. The task runner enforces the timeout. The state's own timeout is
// longer, and applies if the runner cannot enforce it.
func (c *compiler) localTask(s *submission, resource string, args *value.Object, longest pipeline.Duration) *value.Object {
	state := value.Obj("Type", "Task", "Resource", resource, "Arguments", args)
	if s.timeout > 0 {
		args.Set("TimeoutSeconds", value.Int(s.timeout.Seconds()))
		state.Set("TimeoutSeconds", value.Int(longest.Seconds()+margin))
	}
	if r := s.retry; r != nil && r.Attempts > 1 {
		state.Set("Retry", []any{retry(r, c.steps[s.step])})
	}
	return state
}

// retry returns a Retry rule. MaxAttempts counts only the retries, but the file counts all attempts.
func retry(r *pipeline.Retry, s *pipeline.Step) *value.Object {
	o := value.Obj("ErrorEquals", value.FromGo(retriesOutput(s, r.Retried(s.Kind()))), "IntervalSeconds", value.Int(r.Interval.Seconds()),
		"MaxAttempts", value.Int(int64(r.Attempts-1)), "BackoffRate", value.Float(r.Backoff))
	if r.MaxInterval > 0 {
		o.Set("MaxDelaySeconds", value.Int(r.MaxInterval.Seconds()))
	}
	if r.Jitter {
		o.Set("JitterStrategy", "FULL")
	}
	return o
}

// taskID returns the id of a job on this machine, which differs for each redrive and each retry.
func (s *submission) taskID() query.Expr {
	return s.hashedID(redrives(), query.States("context", "State", "Name"), query.States("context", "State", "RetryCount"))
}

// runnerParams passes the parameters to the task runner if they are too long for environment variables in the definition.
func (c *compiler) runnerParams(args *value.Object) {
	if c.paramsOnce() {
		args.Set("Params", paramsIfLong().Value())
	}
}

// fromHost adds the names of the secrets that the job gets from the environment, and of those that its log must not show. The task runner
// reads the values when it starts the job.
func (c *compiler) fromHost(args *value.Object, names []string) {
	given, hidden := &value.Object{}, []any{}
	for _, e := range c.p.Secrets.Entries {
		ref := value.Obj("Env", e.Value.Env)
		switch {
		case e.Value.Env == "":
		case slices.Contains(names, e.Key):
			given.Set(e.Key, ref)
		default:
			hidden = append(hidden, ref)
		}
	}
	if given.Len() > 0 {
		args.Set("SecretEnv", given)
	}
	if len(hidden) > 0 {
		args.Set("Redact", hidden)
	}
	if c.inherit != nil {
		args.Set("InheritEnv", c.inherit)
	}
}

// excludeStorage excludes the storage from the package of a directory that contains it.
func (c *compiler) excludeStorage(env *value.Object, dir string) {
	if pattern := c.storageIn(dir); pattern != "" {
		given, _ := env.Get("excludes")
		list, _ := given.([]any)
		env.Set("excludes", append(slices.Clip(list), query.Plain(pattern)))
	}
}

// storageIn returns the pattern that excludes the storage from the package of a directory, or "" if the directory does not contain it.
func (c *compiler) storageIn(dir string) string {
	rel, err := filepath.Rel(dir, c.storage)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return ""
	}
	return "/" + gitignoreSpecial.ReplaceAllString(filepath.ToSlash(rel), `\$0`) + "/"
}

var gitignoreSpecial = regexp.MustCompile(`[\\*?\[\]!# ]`)

// aborted is the ARN of the execution whose work the cleanup machine stops, from the event that is its input.
var aborted = query.States("input", "detail", "executionArn")

// abortedPrefix returns the prefix of the ids of that execution's jobs.
func abortedPrefix() string { return runPrefix(aborted).Value() }

// stopTask adds a task that stops the work whose ids start with a prefix.
func stopTask(states *value.Object, name, resource string, args *value.Object, next string) string {
	put(states, name, cleanupState, follow(value.Obj("Type", "Task", "Resource", resource, "Arguments", args, "Retry", []any{value.Obj(
		"ErrorEquals", []any{stepfn.StatesALL}, "IntervalSeconds", value.Int(2), "MaxAttempts", value.Int(8),
		"BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(60))}), next))
	return name
}

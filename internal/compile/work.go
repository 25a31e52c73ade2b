package compile

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// margin is what a state's own timeout leaves to the task runner to end an attempt by itself, in seconds.
const margin = 60

// body is a Ray or a plain job, of a step or of its clean-up.
type body struct {
	ray *pipeline.RayJob
	job *pipeline.Job
}

// secrets are the names of the secrets that the job gets.
func (b body) secrets() []string {
	switch {
	case b.ray != nil:
		return b.ray.Secrets
	case b.job != nil:
		return b.job.Secrets
	}
	return nil
}

// task is one Task state to be made: the body, and what the step around it says.
type task struct {
	body
	step             string // the step's name
	state            string
	timeout, pending pipeline.Duration
	before           []string // steps whose outputs it sees
	failure          string   // the variable with the failure that is cleaned up after
	try              string   // the variable that counts attempts, in a cluster
	context          string   // the kubeconfig context of a cluster of its own
	placing          bool     // it puts working directories on the storage, for no step
	in               *scope
}

// attempt is the expression of which attempt this is, from 1, as text.
func (t task) attempt() string {
	if t.try != "" {
		return "$string(" + t.try + ")"
	}
	return "$string($states.context.State.RetryCount + 1)"
}

// work adds the states of a ray or job step.
func (c *compiler) work(states *value.Object, n *node, in *scope, next string) {
	s := n.step
	in = in.askedBy(s.Name)
	t := task{body: body{s.Ray, s.Job}, step: s.Name, state: s.Name, timeout: s.Timeout, pending: s.PendingTimeout,
		context: s.Context, before: in.before(n.order, s.Name), in: in}
	c.noteIgnored(s)
	state := c.tried(t, s)
	raises := c.at == nil && (in.asks.mayFail || s.Output.Len() > 0) // in a cluster, the attempts handle it
	switch failure := "$states.errorOutput"; {
	case s.OnFailure != nil && raises:
		state.Set("Catch", catchFailure(s, in, stepfn.StatesALL, raised(failure, failure), "Clean up after "+s.Name))
	case s.OnFailure != nil:
		state.Set("Catch", catchFailure(s, in, stepfn.StatesALL, failure, "Clean up after "+s.Name))
	case raises:
		c.catchRaised(states, state, s, in)
	}
	if s.Output.Len() > 0 && c.at == nil {
		checkedResult(state, s, in, c.jobOutput())
	} else {
		result(state, s, in, c.jobOutput())
	}
	states.Set(s.Name, follow(state, next))
	if s.OnFailure != nil {
		c.onFailure(states, s, t)
	}
}

// catchFailure is a Catch that keeps the failure, an expression, with the redrive count at that time.
func catchFailure(s *pipeline.Step, in *scope, name, failure, next string) []any {
	return []any{value.Obj("ErrorEquals", []any{name}, "Assign", value.Obj(in.variable("failure", s.Name),
		wrap("$merge(["+failure+", {'redrive': "+redriveCount+"}])")), "Next", next)}
}

// catchRaised makes the error that an expression of a state raises the error of the step. Step Functions' own error quotes the whole
// expression.
func (c *compiler) catchRaised(states, state *value.Object, s *pipeline.Step, in *scope) {
	state.Set("Catch", catchFailure(s, in, stepfn.StatesQueryEvaluationError, raised("$states.errorOutput", "$states.errorOutput"), "Fail "+s.Name))
	c.rethrow(states, s, in)
}

// tried is the state of a step's job with its retries.
func (c *compiler) tried(t task, s *pipeline.Step) *value.Object {
	if c.at != nil {
		return c.attempts(t, s.Retry)
	}
	state := c.task(t)
	if r := s.Retry; r != nil && r.Attempts > 1 {
		state.Set("Retry", []any{retry(r, s)})
	}
	return state
}

// jobOutput is the expression of a job's output in its state's result.
func (c *compiler) jobOutput() string {
	if c.at != nil {
		return "$states.result[0].Output"
	}
	return "$states.result.Output"
}

// onFailure adds the cleanup of a step and the state that fails with the step's failure, whatever the result of the cleanup.
func (c *compiler) onFailure(states *value.Object, s *pipeline.Step, t task) {
	fail := "Fail " + s.Name
	t.body, t.state, t.timeout = body{s.OnFailure.Ray, s.OnFailure.Job}, "Clean up after "+s.Name, s.OnFailure.Timeout
	t.failure = "$" + t.in.variable("failure", s.Name)
	state := c.tried(t, &pipeline.Step{})
	state.Set("Catch", []any{value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Next", fail)})
	states.Set(t.state, follow(state, fail))
	c.rethrow(states, s, t.in)
}

// rethrow adds the state that fails with the kept failure. A redrive leads from there to the step again.
func (c *compiler) rethrow(states *value.Object, s *pipeline.Step, in *scope) {
	failure := "$" + in.variable("failure", s.Name)
	raise := value.Obj("Type", "Fail", "Error", wrap(unlessRedriven(failure+".redrive", failure+".Error")),
		"Cause", wrap(cause(failure)))
	states.Set("Fail "+s.Name, value.Obj("Type", "Parallel",
		"Branches", []any{value.Obj("StartAt", "Give on failure of "+s.Name, "States", value.Obj("Give on failure of "+s.Name, raise))},
		"Catch", []any{value.Obj("ErrorEquals", []any{redriven}, "Next", s.Name)}, "End", true)) // it never succeeds
}

// cause is the expression of a failure's cause, which some errors lack.
func cause(failure string) string {
	return "$exists(" + failure + ".Cause) ? " + failure + ".Cause : ''"
}

// retry is a Retry rule. MaxAttempts counts the repetitions, the file all attempts.
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

// task is the Task state of a body, still without Retry, Catch, Assign, Output and Next.
func (c *compiler) task(t task) *value.Object {
	resource, arguments, longest := stepfn.ProcessRun, (*value.Object)(nil), t.timeout
	if t.ray != nil {
		resource, arguments = stepfn.RaySubmitJob, c.rayArguments(t)
		longest += t.pending
	} else {
		arguments = c.processArguments(t)
	}
	state := value.Obj("Type", "Task", "Resource", resource, "Arguments", arguments)
	if t.timeout > 0 {
		state.Set("TimeoutSeconds", value.Int(longest.Seconds()+margin))
	}
	return state
}

// rayArguments are the arguments of ray:submitJob.sync; the task runner says what each means.
func (c *compiler) rayArguments(t task) *value.Object {
	r := t.ray
	args := value.Obj("SubmissionId", wrap(t.id()), "Entrypoint", wrap(wrapper(c.shell(r.Entrypoint, t.in))))
	if c.address != "" {
		args.Set("Address", plain(c.address))
	}
	if r.WorkingDir != "" {
		args.Set("WorkingDir", plain(c.beside(r.WorkingDir)))
	}
	args.Set("RuntimeEnv", c.runtimeEnv(t))
	if c.paramsOnce() {
		args.Set("Params", wrap(longParams))
	}
	c.fromHost(args, r.Secrets)
	c.reserve(args, r, t.in)
	args.Set("Metadata", c.metadata(t, r.Metadata))
	args.Set("PendingTimeoutSeconds", value.Int(t.pending.Seconds()))
	if t.timeout > 0 {
		args.Set("TimeoutSeconds", value.Int(t.timeout.Seconds()))
	}
	return args
}

// reserve sets what the driver reserves.
func (c *compiler) reserve(args *value.Object, r *pipeline.RayJob, in *scope) {
	if r.CPUs != nil {
		args.Set("NumCpus", c.number(r.CPUs, in))
	}
	if r.GPUs != nil {
		args.Set("NumGpus", c.number(r.GPUs, in))
	}
	if r.Memory != nil {
		args.Set("Memory", c.quantity(r.Memory, in))
	}
	if len(r.Resources.Entries) > 0 {
		o := &value.Object{}
		for _, e := range r.Resources.Entries {
			o.Set(e.Key, c.number(&e.Value, in))
		}
		args.Set("Resources", o)
	}
}

// runtimeEnv is Ray's runtime environment; environment variables travel in it.
func (c *compiler) runtimeEnv(t task) *value.Object {
	env := &value.Object{}
	if given := c.envs[t.ray]; given != nil {
		if o, ok := c.dynamic(given, t.in, strict).(*value.Object); ok {
			env = o
		}
	}
	if c.at != nil { // here Ray's runner reads it; in a cluster it counted when the directory was packed
		env = env.Without("excludes")
	}
	env.Set("env_vars", c.environment(t, t.ray.Env))
	if r := t.ray; c.at == nil && r.WorkingDir != "" && !remote(r.WorkingDir) {
		if pattern := c.storageIn(c.beside(r.WorkingDir)); pattern != "" {
			given, _ := env.Get("excludes")
			list, _ := given.([]any)
			env.Set("excludes", append(slices.Clip(list), plain(pattern)))
		}
	}
	return env
}

// processArguments are those of process:run.sync. Its command is always a shell's, for the wrapper is.
func (c *compiler) processArguments(t task) *value.Object {
	j := t.job
	command := ""
	if j.Shell != nil {
		command = c.shell(*j.Shell, t.in)
	} else {
		command = c.argv(j.Command, t.in)
	}
	args := value.Obj("Id", wrap(t.id()), "Shell", wrap(wrapper(command)))
	if dir := c.beside(j.WorkingDir); dir != "" {
		args.Set("Dir", plain(dir))
		if !j.InPlace {
			snapshot := &value.Object{}
			if pattern := c.storageIn(dir); pattern != "" {
				snapshot.Set("Excludes", []any{plain(pattern)})
			}
			args.Set("Snapshot", snapshot)
		}
	}
	args.Set("Environment", c.environment(t, j.Env))
	if c.paramsOnce() {
		args.Set("Params", wrap(longParams))
	}
	c.fromHost(args, j.Secrets)
	if t.timeout > 0 {
		args.Set("TimeoutSeconds", value.Int(t.timeout.Seconds()))
	}
	args.Set("Metadata", c.metadata(t, j.Metadata))
	return args
}

// storageIn is the pattern that excludes the storage from the package of a directory that contains it; empty if the directory does not.
func (c *compiler) storageIn(dir string) string {
	rel, err := filepath.Rel(dir, c.storage)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return ""
	}
	return "/" + gitignoreSpecial.ReplaceAllString(filepath.ToSlash(rel), `\$0`) + "/"
}

var gitignoreSpecial = regexp.MustCompile(`[\\*?\[\]!# ]`)

// fromHost says what the job gets of the host's environment, and must not show: the runner reads the values when it starts the job.
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

// metadata marks a job with what started it, so that people and the clean-up machine find it.
func (c *compiler) metadata(t task, own pipeline.Map[pipeline.Template]) *value.Object {
	o := value.Obj("rayorch.execution", "{% $states.context.Execution.Id %}", "rayorch.pipeline", c.p.Name,
		"rayorch.step", t.step, "rayorch.attempt", wrap(t.attempt()))
	for _, e := range own.Entries {
		o.Set(e.Key, c.textField(e.Value, t.in))
	}
	return o
}

// maxOutputsEnv keeps RAYORCH_OUTPUTS under what Linux takes as one variable (128 KiB), and beside long parameters what a task
// takes as its input; in a cluster a Job and its pods hold it, and a list of them must stay under Step Functions' 262,144 bytes.
func (c *compiler) maxOutputsEnv() string {
	switch {
	case c.at != nil:
		return "30000"
	case c.paramsOnce():
		return "($exists($env.RAYORCH_PARAMS) ? 100000 : 240000 - $length($string($params)))"
	}
	return "100000"
}

// environment is the expression of a job's environment: what every step of the run gets, what only this one gets, and
// the file's own.
func (c *compiler) environment(t task, own pipeline.Map[pipeline.Template]) string {
	pairs := []string{"'RAYORCH_STEP': " + str(t.step), "'RAYORCH_ATTEMPT': " + t.attempt(),
		"'RAYORCH_OUTPUTS': ($o := $string(" + record(t.before, t.in) + "); $length($o) > " + c.maxOutputsEnv() + " ? '' : $o)"}
	if l := t.in.loop(); l != nil {
		pairs = append(pairs, "'RAYORCH_ITEM': $string($item_"+l.name+")", "'RAYORCH_INDEX': $string($index_"+l.name+")")
	}
	if t.failure != "" {
		pairs = append(pairs, "'RAYORCH_ERROR': "+t.failure+".Error", "'RAYORCH_CAUSE': "+cause(t.failure))
	}
	for _, e := range own.Entries {
		pairs = append(pairs, str(e.Key)+": "+c.text(e.Value, t.in))
	}
	shared := "$env"
	if c.at != nil && t.job != nil && c.paramsOnce() { // a pod has nobody to make them
		shared += ", $exists($env.RAYORCH_PARAMS) ? {} : " + inline(c.paramVariables())
	}
	return wrap("$merge([" + shared + ", {" + strings.Join(pairs, ", ") + "}])")
}

// sharedEnvironment is what the jobs of all steps get: the run and its parameters.
func (c *compiler) sharedEnvironment() any {
	env := value.Obj("RAYORCH_RUN_ID", "{% $run.id %}", "RAYORCH_STORAGE", "{% $run.storage %}", "RAYORCH_PIPELINE", c.p.Name)
	params := c.paramVariables()
	if c.paramsOnce() {
		return wrap(fmt.Sprintf("$merge([%s, $length($string($params)) > %d ? {} : %s])", inline(env), textParams, inline(params)))
	}
	for i := range params.Len() {
		env.Set(params.At(i))
	}
	return env
}

// paramVariables are the environment variables with the parameters.
func (c *compiler) paramVariables() *value.Object {
	o := &value.Object{}
	for _, e := range c.p.Params.Entries {
		o.Set("RAYORCH_PARAM_"+strings.ToUpper(e.Key), wrap("$string($params"+field(e.Key)+")"))
	}
	o.Set("RAYORCH_PARAMS", "{% $string($params) %}")
	return o
}

// idStep is how much of a step's name an id shows: the whole id is a DNS label of at most 47 characters.
const idStep = 20

// id is the expression of a job's id: the run's prefix, the step for people, and a hash of what makes the attempt.
func (t task) id() string {
	parts := []string{"$states.context.Execution.Id", "$states.context.Execution.RedriveCount",
		"$states.context.State.Name", "$states.context.State.RetryCount"}
	if place := t.in.place(); place != "" {
		parts = append(parts, place)
	}
	return t.shownID() + " & $substring($hash(" + strings.Join(parts, " & '/' & ") + ", 'SHA-256'), 0, 10)"
}

// shownID is the expression of the part of an id that tells people what it is.
func (t task) shownID() string {
	name := strings.ToLower(t.step)
	return "$run.prefix & " + str(name[:min(len(name), idStep)]+"-")
}

// prefix is the expression of what the ids of all jobs of an execution start with.
func prefix(execution string) string {
	return "'r' & $substring($hash(" + execution + ", 'SHA-256'), 0, 12) & '-'"
}

// noteIgnored tells which fields of a plain job mean nothing on this machine.
func (c *compiler) noteIgnored(s *pipeline.Step) {
	if c.at != nil {
		return
	}
	if s.Context != "" {
		c.note("step %s: context ignored here", s.Name)
	}
	j := s.Job
	if j == nil {
		return
	}
	var ignored []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"image", len(j.Image.Parts) > 0}, {"cpus", j.CPUs != nil}, {"gpus", j.GPUs != nil}, {"memory", j.Memory != nil},
		{"ephemeralStorage", j.EphemeralStorage != nil}, {"nodeSelector", len(j.NodeSelector.Entries) > 0},
		{"tolerations", len(j.Tolerations) > 0}, {"mounts", len(j.Mounts) > 0}, {"serviceAccount", j.ServiceAccount != ""},
		{"securityContext", j.SecurityContext != nil}, {"automountServiceAccountToken", j.AutomountServiceAccountToken != nil},
	} {
		if f.set {
			ignored = append(ignored, f.name)
		}
	}
	if len(ignored) > 0 {
		c.note("step %s is a process of this machine: %s ignored here", s.Name, strings.Join(ignored, ", "))
	}
}

package pipeline

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// check reports the errors that involve more than one field: references, the order of steps, contradictory bounds, duplicate names.
func check(p *Pipeline, s *source) {
	c := &checker{source: s, p: p, names: map[string]string{}}
	c.params()
	c.secrets()
	c.targets()
	c.uniqueNames(p.Steps, "steps")
	top := &scope{items: map[string]*Param{}}
	c.steps(p.Steps, "steps", top, true)
	for _, e := range p.Outputs.Entries {
		c.dynamic(e.Value.Value, join("outputs", e.Key), scope{steps: stepNames(p.Steps)})
	}
}

type checker struct {
	*source
	p     *Pipeline
	names map[string]string // lower-case name of each step -> path of the first step with it
}

// scope is what a reference can use at some point of the file.
type scope struct {
	steps []string          // steps that have ended
	items map[string]*Param // names of loop items, with their declarations, or nil if undeclared
	loop  bool              // inside a forEach
}

func stepNames(steps []Step) []string {
	names := make([]string, len(steps))
	for i := range steps {
		names[i] = steps[i].Name
	}
	return names
}

var envPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// secrets checks the names and the sources of secrets.
func (c *checker) secrets() {
	for _, e := range c.p.Secrets.Entries {
		path := join("secrets", e.Key)
		c.envName(path, e.Key)
		sec := e.Value
		if sec.Env == "" && sec.KubernetesSecret == nil {
			c.report(path, "must have at least one of env, kubernetesSecret")
		}
		if sec.InRayPods && sec.KubernetesSecret == nil {
			c.report(join(path, "inRayPods"), "requires kubernetesSecret, from which Ray's pods get the value")
		}
		if sec.Env != "" && !envPattern.MatchString(sec.Env) {
			c.report(join(path, "env"), "must be the name of an environment variable, not a value")
		}
	}
}

// envName checks the name of an environment variable. Names that rayorch sets are reserved, because a job relies on them to find
// its run and its storage.
func (c *checker) envName(path, name string) {
	switch {
	case !envPattern.MatchString(name):
		c.report(path, "an environment variable's name must consist of letters, digits and underscores, and not start with a digit")
	case strings.HasPrefix(name, "RAYORCH_"):
		c.report(path, "is reserved; rayorch sets all variables that start with RAYORCH_")
	}
}

// targets checks targets as far as this is possible without access to a cluster.
func (c *checker) targets() {
	for _, e := range c.p.Targets.Entries {
		path := join("targets", e.Key)
		if !namePattern.MatchString(e.Key) {
			c.report(path, "a target's name must consist of 1 to 40 letters, digits and dashes, start with a letter, and not end with a dash")
		}
		c.onlyFields(path, e.Value)
		c.rayNames(join(path, "ray"), e.Value.Ray)
		c.pods(join(path, "pods"), e.Value.Pods)
		spec, submit := e.Value.Ray.ClusterSpec, e.Value.Submit
		if (spec != nil || e.Value.Queue != "") && submit != SubmitRayJob {
			c.report(path, "ray.clusterSpec and queue require submit: rayjob")
		}
		if e.Value.Queue != "" && spec == nil {
			c.report(join(path, "queue"), "requires a cluster for each step (ray.clusterSpec)")
		}
		if submit == SubmitProxy && e.Value.Ray.Token != nil {
			c.report(join(path, "submit"), "submission mode proxy cannot send a token; use job or rayjob")
		}
	}
}

// uniqueNames reports duplicate step names, at any depth and regardless of case. State names are unique in the whole state
// machine, and the names in lower case are part of variable names and of ids.
func (c *checker) uniqueNames(steps []Step, path string) {
	for i := range steps {
		at := element(path, i)
		if name := strings.ToLower(steps[i].Name); name != "" {
			if first, taken := c.names[name]; taken {
				c.report(join(at, "name"), "%s is also the name of %s; names must be unique, regardless of case", steps[i].Name, first)
			} else {
				c.names[name] = at
			}
		}
		c.uniqueNames(steps[i].Children(), childPath(&steps[i], at))
	}
}

// childPath returns the path of the list of steps inside a step.
func childPath(s *Step, path string) string { return join(join(path, s.Kind()), "steps") }

// steps checks a list of steps, each in the scope of the steps that end before it.
func (c *checker) steps(steps []Step, path string, outer *scope, sequential bool) {
	order, ok := c.order(steps, path, sequential)
	for i := range steps {
		inner := scope{steps: outer.steps, items: outer.items, loop: outer.loop}
		if ok {
			inner.steps = append(slices.Clone(outer.steps), order.Before(steps[i].Name)...)
		} else { // the order is invalid, which was reported: report no errors that follow from it
			inner.steps = append(slices.Clone(outer.steps), stepNames(steps)...)
		}
		c.step(&steps[i], element(path, i), inner)
	}
}

// order reports the errors in after. The result is false if the order is invalid.
func (c *checker) order(steps []Step, path string, sequential bool) (*Order, bool) {
	order, problems := NewOrder(steps, sequential)
	for _, p := range problems {
		at := join(element(path, p.Step), "after")
		if p.After >= 0 {
			at = element(at, p.After)
		}
		c.report(at, "%s", p.Message)
	}
	return order, len(problems) == 0
}

// step checks a step and the steps inside it.
func (c *checker) step(s *Step, path string, in scope) {
	c.oneKind(path, map[string]bool{"ray": s.Ray != nil, "job": s.Job != nil,
		"parallel": s.Parallel != nil, "forEach": s.ForEach != nil}, []string{"ray", "job", "parallel", "forEach"})
	if s.When != nil {
		c.condition(s.When.Expr, join(path, "when"), in)
	}
	c.output(s, join(path, "output"))
	c.ray(s.Ray, join(path, "ray"), in)
	c.job(s.Job, join(path, "job"), in)
	c.stepOptions(s, path, in)
	switch {
	case s.Parallel != nil:
		c.parallel(s.Parallel, join(path, "parallel"), in)
	case s.ForEach != nil:
		c.forEach(s.ForEach, join(path, "forEach"), in)
	}
}

// oneKind reports a map that does not have exactly one of the fields. A field that the file contains but whose value could not be
// decoded counts: its error was already reported.
func (c *checker) oneKind(path string, have map[string]bool, kinds []string) {
	n := 0
	for _, k := range kinds {
		if have[k] || c.written(join(path, k)) {
			n++
		}
	}
	if n != 1 {
		c.report(path, "must have exactly one of %s, got %d", strings.Join(kinds, ", "), n)
	}
}

// allAlone reports whether States.ALL, if listed, is the only name: the States Language requires it.
func allAlone(errors []string) bool {
	return len(errors) == 1 || !slices.Contains(errors, stepfn.StatesALL)
}

// jobOptions are the fields that only ray and job steps can have.
var jobOptions = []string{"context", "timeout", "pendingTimeout", "retry", "output", "onFailure"}

// stepOptions checks the fields that are common to several kinds of step.
func (c *checker) stepOptions(s *Step, path string, in scope) {
	if s.Parallel != nil || s.ForEach != nil {
		for _, name := range jobOptions {
			if c.written(join(path, name)) {
				c.report(join(path, name), "is allowed only in ray and job steps; set it in the steps inside this one")
			}
		}
	}
	c.retry(s, join(path, "retry"))
	if f := s.OnFailure; f != nil {
		at := join(path, "onFailure")
		c.oneKind(at, map[string]bool{"ray": f.Ray != nil, "job": f.Job != nil}, []string{"ray", "job"})
		c.ray(f.Ray, join(at, "ray"), in)
		c.job(f.Job, join(at, "job"), in)
	}
}

// retry checks the errors and intervals of a retry. Unknown error names are rejected: a misspelled one would never match, and
// nobody would notice until a retry is needed.
func (c *checker) retry(s *Step, path string) {
	if s.Retry == nil {
		return
	}
	if m := s.Retry.MaxInterval; m > 0 && m <= s.Retry.Interval {
		c.report(join(path, "maxInterval"), "must be longer than interval (%d s), got %d s", s.Retry.Interval, m)
	}
	if !allAlone(s.Retry.Errors) {
		c.report(join(path, "errors"), stepfn.StatesALL+" must be the only name in the list")
	}
	known := RetryableErrors(s.Kind())
	for i, name := range s.Retry.Errors {
		if !slices.Contains(known, name) {
			c.report(element(join(path, "errors"), i), "unknown error %q%s", name, orOneOf(name, known))
		}
	}
}

// orOneOf returns the end of a message about an unknown name: the similar name, or all names if none is similar.
func orOneOf(got string, names []string) string {
	var known []string
	for _, name := range names {
		if name != "" && !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	if h := didYouMean(got, known); h != "" || len(known) == 0 {
		return h
	}
	if len(known) == 1 {
		return "; expected " + known[0]
	}
	return "; expected one of " + strings.Join(known, ", ")
}

// parallel checks the steps of a parallel step. With maxConcurrency they become iterations of a Map, and with toleratedFailures each
// step is a branch that catches its failure: neither supports an order between the steps.
func (c *checker) parallel(p *Parallel, path string, in scope) {
	c.steps(p.Steps, join(path, "steps"), &in, false)
	if p.MaxConcurrency > 0 {
		for i := range p.Steps {
			if after := p.Steps[i].After; after != nil && len(*after) > 0 {
				c.report(join(element(join(path, "steps"), i), "after"), "cannot be combined with maxConcurrency")
			}
		}
	}
	if p.ToleratedFailures > 0 {
		for i := range p.Steps {
			if after := p.Steps[i].After; after != nil && len(*after) > 0 {
				c.report(join(element(join(path, "steps"), i), "after"), "cannot be combined with toleratedFailures")
			}
		}
	}
}

// forEach checks the items in the outer scope, and the steps in a scope that includes the item.
func (c *checker) forEach(f *ForEach, path string, in scope) {
	c.dynamic(f.Items.Value, join(path, "items"), in)
	var item *Param
	switch v := f.Items.Value.(type) {
	case []any:
	case Template:
		list := c.declared(v.Sole(), in)
		if r := v.Sole(); r == nil || r.Root == "run" || r.Root == "storage" || r.Root == "index" || list != nil && list.Type != "list" {
			c.report(join(path, "items"), "must be a list, or a single reference to a list")
		}
		if list != nil {
			item = list.Items
		}
	default:
		if c.written(join(path, "items")) {
			c.report(join(path, "items"), "must be a list, or a single reference to a list")
		}
	}
	_, outer := in.items[f.As]
	if slices.Contains([]string{"params", "steps", "run", "storage", "index", "secrets"}, f.As) || outer && f.As != "item" {
		c.report(join(path, "as"), "%s already has a meaning in references; choose another name", f.As)
	}
	inner := scope{steps: in.steps, loop: true, items: maps.Clone(in.items)}
	inner.items[f.As] = item
	c.steps(f.Steps, join(path, "steps"), &inner, true)
}

// reservedMetadata matches the metadata keys by which rayorch and Ray find jobs. If a file could set them, it could hide its jobs from
// a cleanup, or have the jobs of another run cleaned up.
var reservedMetadata = regexp.MustCompile(`^rayorch\.|^job_(?:name|submission_id)$`)

// ray checks the fields of a Ray job. References to numbers are checked by their declarations only: their values are unknown until
// the run.
func (c *checker) ray(r *RayJob, path string, in scope) {
	if r == nil {
		return
	}
	c.template(r.Entrypoint.Template, join(path, "entrypoint"), in)
	if r.RuntimeEnv != nil {
		c.runtimeEnv(r.RuntimeEnv.Value, join(path, "runtimeEnv"), in)
	}
	c.number(r.CPUs, join(path, "cpus"), in)
	c.number(r.GPUs, join(path, "gpus"), in)
	if r.Memory != nil {
		c.ref(r.Memory.Ref, join(path, "memory"), in)
		c.numeric(r.Memory.Ref, join(path, "memory"), in)
	}
	for _, e := range r.Resources.Entries {
		c.number(&e.Value, join(join(path, "resources"), e.Key), in)
		if e.Key == "CPU" || e.Key == "GPU" || e.Key == "memory" { // Ray rejects these names as custom resources
			c.report(join(join(path, "resources"), e.Key), "is not a custom resource; use the fields cpus, gpus and memory")
		}
	}
	c.environment(r.Env, r.Secrets, r.Metadata, path, in)
}

// runtimeEnv rejects env_vars and working_dir, for which a Ray job has fields. Otherwise the two would have to be merged, and Ray's
// rules for that differ between its versions.
func (c *checker) runtimeEnv(v any, path string, in scope) {
	c.dynamic(v, path, in)
	o, ok := v.(*value.Object)
	if !ok {
		c.report(path, "expected a map with Ray's runtime environment")
		return
	}
	if o.Has("env_vars") {
		c.report(join(path, "env_vars"), "is not allowed here; use the job's field env")
	}
	if o.Has("working_dir") {
		c.report(join(path, "working_dir"), "is not allowed here; use the job's field workingDir")
	}
}

// job checks the fields of a plain job.
func (c *checker) job(j *Job, path string, in scope) {
	if j == nil {
		return
	}
	c.oneKind(path, map[string]bool{"command": len(j.Command) > 0, "shell": j.Shell != nil}, []string{"command", "shell"})
	if c.written(join(path, "command")) && len(j.Command) == 0 {
		c.report(join(path, "command"), "must contain at least the program")
	}
	c.template(j.Image, join(path, "image"), in)
	for i, arg := range j.Command {
		c.template(arg, element(join(path, "command"), i), in)
	}
	if j.Shell != nil {
		c.template(j.Shell.Template, join(path, "shell"), in)
	}
	c.number(j.CPUs, join(path, "cpus"), in)
	c.number(j.GPUs, join(path, "gpus"), in)
	for name, q := range map[string]*Quantity{"memory": j.Memory, "ephemeralStorage": j.EphemeralStorage} {
		if q != nil {
			c.ref(q.Ref, join(path, name), in)
		}
	}
	c.environment(j.Env, j.Secrets, j.Metadata, path, in)
}

// environment checks the fields that both kinds of job have. A variable in both env and secrets is an error, because it suggests that
// the secret was written into env, where everyone can read it.
func (c *checker) environment(env Map[Template], secrets []string, metadata Map[Template], path string, in scope) {
	for _, e := range env.Entries {
		at := join(join(path, "env"), e.Key)
		c.envName(at, e.Key)
		c.template(e.Value, at, in)
	}
	for i, name := range secrets {
		at := element(join(path, "secrets"), i)
		if _, ok := c.p.Secrets.Get(name); !ok {
			c.report(at, "unknown secret %q%s", name, orOneOf(name, c.p.Secrets.Keys()))
		}
		if _, twice := env.Get(name); twice {
			c.report(at, "%s is also in env; remove it there", name)
		}
	}
	for _, e := range metadata.Entries {
		at := join(join(path, "metadata"), e.Key)
		if reservedMetadata.MatchString(e.Key) {
			c.report(at, "is reserved; rayorch or Ray sets it")
		}
		c.template(e.Value, at, in)
	}
}

package pipeline

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// check finds the mistakes that no field shows alone: references, order, bounds that contradict each other, names twice.
func check(p *Pipeline, s *source) {
	c := &checker{source: s, p: p, names: map[string]string{}}
	c.params()
	c.secrets()
	c.targets()
	c.claimNames(p.Steps, "steps")
	top := &scope{items: map[string]*Param{}}
	c.steps(p.Steps, "steps", top, true)
	for _, e := range p.Outputs.Entries {
		c.dynamic(e.Value.Value, join("outputs", e.Key), scope{steps: stepNames(p.Steps)})
	}
}

type checker struct {
	*source
	p     *Pipeline
	names map[string]string // of steps, in lower case, with the path of the first use
}

// scope is what references may name at a place: steps that have ended, names of items with what is declared of them.
type scope struct {
	steps []string
	items map[string]*Param
	loop  bool
}

func stepNames(steps []Step) []string {
	names := make([]string, len(steps))
	for i := range steps {
		names[i] = steps[i].Name
	}
	return names
}

var envPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

func (c *checker) secrets() {
	for _, e := range c.p.Secrets.Entries {
		path := join("secrets", e.Key)
		c.envName(path, e.Key)
		sec := e.Value
		if sec.Env == "" && sec.KubernetesSecret == nil {
			c.report(path, "needs at least one of env, kubernetesSecret")
		}
		if sec.InRayPods && sec.KubernetesSecret == nil {
			c.report(join(path, "inRayPods"), "needs kubernetesSecret, from which Ray's pods read the value")
		}
		if sec.Env != "" && !envPattern.MatchString(sec.Env) {
			c.report(join(path, "env"), "must be the name of an environment variable, never a value")
		}
	}
}

// envName keeps names apart that rayorch sets itself: a job could otherwise be told a wrong run or storage.
func (c *checker) envName(path, name string) {
	switch {
	case !envPattern.MatchString(name):
		c.report(path, "must be a name for an environment variable: letters, digits and underscores")
	case strings.HasPrefix(name, "RAYORCH_"):
		c.report(path, "names that start with RAYORCH_ are set by rayorch")
	}
}

// targets checks what the kinds of targets rule out, as far as no cluster need be asked.
func (c *checker) targets() {
	for _, e := range c.p.Targets.Entries {
		path := join("targets", e.Key)
		if !namePattern.MatchString(e.Key) {
			c.report(path, "a target's name must be letters, digits and dashes")
		}
		c.onlyFields(path, e.Value)
		c.rayNames(join(path, "ray"), e.Value.Ray)
		c.pods(join(path, "pods"), e.Value.Pods)
		spec, submit := e.Value.Ray.ClusterSpec, e.Value.Submit
		if (spec != nil || e.Value.Queue != "") && submit != SubmitRayJob {
			c.report(path, "clusterSpec and queue need submit: rayjob")
		}
		if e.Value.Queue != "" && spec == nil {
			c.report(join(path, "queue"), "needs a cluster of its own (ray.clusterSpec)")
		}
		if submit == SubmitProxy && e.Value.Ray.Token != nil {
			c.report(join(path, "submit"), "proxy cannot send a token; use job or rayjob")
		}
	}
}

// claimNames reports names of steps that are there twice, at any depth: they become names of states, which a machine has once
// at whatever depth, and in lower case names of variables and parts of ids.
func (c *checker) claimNames(steps []Step, path string) {
	for i := range steps {
		at := element(path, i)
		if name := strings.ToLower(steps[i].Name); name != "" {
			if first, taken := c.names[name]; taken {
				c.report(join(at, "name"), "%s is also the name of %s; names differ in more than case", steps[i].Name, first)
			} else {
				c.names[name] = at
			}
		}
		c.claimNames(steps[i].Children(), childPath(&steps[i], at))
	}
}

// childPath is where the steps inside a step stand.
func childPath(s *Step, path string) string { return join(join(path, s.Kind()), "steps") }

// steps checks a list of steps, each with what has ended before it.
func (c *checker) steps(steps []Step, path string, outer *scope, sequential bool) {
	order, ok := c.order(steps, path, sequential)
	for i := range steps {
		inner := scope{steps: outer.steps, items: outer.items, loop: outer.loop}
		if ok {
			inner.steps = append(slices.Clone(outer.steps), order.Before(steps[i].Name)...)
		} else { // the order is wrong and was reported; do not report what follows from it
			inner.steps = append(slices.Clone(outer.steps), stepNames(steps)...)
		}
		c.step(&steps[i], element(path, i), inner)
	}
}

// order reports the mistakes of after; its result says whether the order can be relied on.
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

// step checks one step with all that is inside it.
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

// oneKind counts what the file holds besides what was decoded: a field whose value could not be read is there, too, and
// was reported already.
func (c *checker) oneKind(path string, have map[string]bool, kinds []string) {
	n := 0
	for _, k := range kinds {
		if have[k] || c.written(join(path, k)) {
			n++
		}
	}
	if n != 1 {
		c.report(path, "needs exactly one of %s, not %d", strings.Join(kinds, ", "), n)
	}
}

// States.ALL stands alone in the States Language.
func allAlone(errors []string) bool {
	return len(errors) == 1 || !slices.Contains(errors, stepfn.StatesALL)
}

// groupOptions are a step's fields that only a job has.
var groupOptions = []string{"context", "timeout", "pendingTimeout", "retry", "output", "onFailure"}

func (c *checker) stepOptions(s *Step, path string, in scope) {
	if s.Parallel != nil || s.ForEach != nil {
		for _, name := range groupOptions {
			if c.written(join(path, name)) {
				c.report(join(path, name), "is for ray and job steps only; put it on the steps inside")
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

// retry refuses names that no step raises: a misspelt one would never match, and nobody would notice until it is needed.
func (c *checker) retry(s *Step, path string) {
	if s.Retry == nil {
		return
	}
	if m := s.Retry.MaxInterval; m > 0 && m <= s.Retry.Interval {
		c.report(join(path, "maxInterval"), "must be longer than interval")
	}
	if !allAlone(s.Retry.Errors) {
		c.report(join(path, "errors"), stepfn.StatesALL+" stands for all: name it alone")
	}
	known := RetryableErrors(s.Kind())
	for i, name := range s.Retry.Errors {
		if !slices.Contains(known, name) {
			c.report(element(join(path, "errors"), i), "unknown error %q%s", name, orOneOf(name, known))
		}
	}
}

// orOneOf ends a message with the name that was meant, or with all that there are.
func orOneOf(got string, names []string) string {
	var known []string
	for _, name := range names {
		if name != "" && !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	if h := near(got, known); h != "" || len(known) == 0 {
		return h
	}
	return "; expected one of " + strings.Join(known, ", ")
}

// parallel refuses an order inside it where the steps become iterations of a Map, or are tried one by one.
func (c *checker) parallel(p *Parallel, path string, in scope) {
	c.steps(p.Steps, join(path, "steps"), &in, false)
	if p.MaxConcurrency > 0 {
		for i := range p.Steps {
			if after := p.Steps[i].After; after != nil && len(*after) > 0 {
				c.report(join(element(join(path, "steps"), i), "after"), "cannot be used together with maxConcurrency")
			}
		}
	}
	if p.ToleratedFailures > 0 {
		for i := range p.Steps {
			if after := p.Steps[i].After; after != nil && len(*after) > 0 {
				c.report(join(element(join(path, "steps"), i), "after"), "cannot be used together with toleratedFailures")
			}
		}
	}
}

// forEach checks the items outside of the loop and the steps inside, where the item's name is known.
func (c *checker) forEach(f *ForEach, path string, in scope) {
	c.dynamic(f.Items.Value, join(path, "items"), in)
	var item *Param
	switch v := f.Items.Value.(type) {
	case []any:
	case Template:
		list := c.declared(v.Sole(), in)
		if r := v.Sole(); r == nil || r.Root == "run" || r.Root == "storage" || r.Root == "index" || list != nil && list.Type != "list" {
			c.report(join(path, "items"), "must be a list, or one reference to a list")
		}
		if list != nil {
			item = list.Items
		}
	default:
		if c.written(join(path, "items")) {
			c.report(join(path, "items"), "must be a list, or one reference to a list")
		}
	}
	_, outer := in.items[f.As]
	if slices.Contains([]string{"params", "steps", "run", "storage", "index", "secrets"}, f.As) || outer && f.As != "item" {
		c.report(join(path, "as"), "%s already means something else", f.As)
	}
	inner := scope{steps: in.steps, loop: true, items: maps.Clone(in.items)}
	inner.items[f.As] = item
	c.steps(f.Steps, join(path, "steps"), &inner, true)
}

// reservedMetadata is what jobs are found by: a file that set it could hide its jobs from a cleanup, or give it another's.
var reservedMetadata = regexp.MustCompile(`^rayorch\.|^job_(?:name|submission_id)$`)

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
	// References are checked here, their values only in a run: what they hold is not known before.
	if r.Memory != nil {
		c.ref(r.Memory.Ref, join(path, "memory"), in)
		c.numeric(r.Memory.Ref, join(path, "memory"), in)
	}
	for _, e := range r.Resources.Entries {
		c.number(&e.Value, join(join(path, "resources"), e.Key), in)
		if e.Key == "CPU" || e.Key == "GPU" || e.Key == "memory" { // Ray refuses its own names among custom resources
			c.report(join(join(path, "resources"), e.Key), "has a field of its own: cpus, gpus, memory")
		}
	}
	c.surroundings(r.Env, r.Secrets, r.Metadata, path, in)
}

// runtimeEnv refuses what has fields of its own: two places for one thing would have to be merged, and Ray's own rules for
// that differ by version.
func (c *checker) runtimeEnv(v any, path string, in scope) {
	c.dynamic(v, path, in)
	o, ok := v.(*value.Object)
	if !ok {
		c.report(path, "expected fields of Ray's runtime environment")
		return
	}
	if o.Has("env_vars") {
		c.report(join(path, "env_vars"), "put environment variables into env")
	}
	if o.Has("working_dir") {
		c.report(join(path, "working_dir"), "put it into workingDir")
	}
}

func (c *checker) job(j *Job, path string, in scope) {
	if j == nil {
		return
	}
	c.oneKind(path, map[string]bool{"command": len(j.Command) > 0, "shell": j.Shell != nil}, []string{"command", "shell"})
	if c.written(join(path, "command")) && len(j.Command) == 0 {
		c.report(join(path, "command"), "must name a program")
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
	c.surroundings(j.Env, j.Secrets, j.Metadata, path, in)
}

// surroundings checks what both kinds of job have. A name that is both plain and secret is a mistake whichever would win: one
// day the secret would stand where everybody reads it.
func (c *checker) surroundings(env Map[Template], secrets []string, metadata Map[Template], path string, in scope) {
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
			c.report(at, "%s is in env, too", name)
		}
	}
	for _, e := range metadata.Entries {
		at := join(join(path, "metadata"), e.Key)
		if reservedMetadata.MatchString(e.Key) {
			c.report(at, "is set by rayorch or Ray")
		}
		c.template(e.Value, at, in)
	}
}

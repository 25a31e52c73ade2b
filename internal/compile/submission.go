package compile

import (
	"fmt"
	"strings"

	"github.com/rayorch/rayorch/internal/annotation"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// submission is what one job of the pipeline wants: the job of a step, the one that cleans up after it, or the one that places files.
// It is resolved once from the pipeline's types, and a submission mode carries it in its own terms: a new field of a step is read here
// and nowhere else. Texts named expressions are JSONata; fields of type any are values of a state's field.
type submission struct {
	step      string // the step's name
	state     string // the state that runs the attempts; ids contain it
	kind      string // kindRay or kindJob
	context   string // the kubeconfig context of a cluster of its own
	timeout   pipeline.Duration
	pending   pipeline.Duration
	retry     *pipeline.Retry
	before    []string // steps whose outputs it sees
	failure   string   // the variable with the failure that is cleaned up after
	placing   bool     // it places files, for no step
	in        *scope
	clustered bool // an attempt is counted by a variable of the definition

	command   string        // an expression: what sh runs, with the wrapper
	env       string        // an expression: the environment variables
	secrets   []string      // names of the secrets that the job gets
	metadata  *value.Object // the file's own
	resources resources

	runtimeEnv *value.Object // of a Ray job; env_vars included
	packages   packages      // of a Ray job
	workingDir string        // as the file says
	inPlace    bool
	pod        podFields // of a plain job in a cluster
}

// Kinds of work.
const (
	kindRay = "ray" // a job on Ray
	kindJob = "job" // a plain job: a process, or a Kubernetes Job
)

// packages are what a Ray job in a cluster takes along.
type packages struct {
	dir     *workingDir   // nil for none
	modules []*workingDir // of py_modules
}

// podFields are what only the pod of a plain job has.
type podFields struct {
	image          string
	nodeSelector   pipeline.Map[string]
	tolerations    []pipeline.Toleration
	mounts         []pipeline.Mount
	serviceAccount string
	security       *pipeline.SecurityContext // nil for the default
	token          bool                      // the service account's token is mounted
}

// body is a Ray or a plain job, of a step or of its cleanup.
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

// stepSubmission is the job of a step.
func (c *compiler) stepSubmission(n *node, in *scope) *submission {
	s := n.step
	return c.resolved(&submission{step: s.Name, state: s.Name, context: s.Context, timeout: s.Timeout, pending: s.PendingTimeout,
		retry: s.Retry, before: in.before(n.order, s.Name), in: in}, body{s.Ray, s.Job})
}

// cleanupSubmission is the job that cleans up after a step. It is tried once.
func (c *compiler) cleanupSubmission(n *node, in *scope) *submission {
	s := n.step
	return c.resolved(&submission{step: s.Name, state: "Clean up after " + s.Name, context: s.Context, timeout: s.OnFailure.Timeout,
		pending: s.PendingTimeout, before: in.before(n.order, s.Name), failure: "$" + in.variable("failure", s.Name), in: in},
		body{s.OnFailure.Ray, s.OnFailure.Job})
}

// placingSubmission is the job that places files.
func placingSubmission() *submission {
	return &submission{step: "files", state: "Place files", kind: kindJob, placing: true, clustered: true, timeout: placeTimeout,
		pending: placeTimeout, retry: &pipeline.Retry{Attempts: 3, Interval: 5, Backoff: 2}, in: &scope{}}
}

// resolved reads a body's fields.
func (c *compiler) resolved(s *submission, b body) *submission {
	s.clustered = c.at != nil
	if b.ray != nil {
		c.resolveRay(s, b.ray)
	} else {
		c.resolveJob(s, b.job)
	}
	return s
}

func (c *compiler) resolveRay(s *submission, r *pipeline.RayJob) {
	s.kind, s.secrets, s.metadata, s.workingDir = kindRay, r.Secrets, c.texts(r.Metadata, s.in), r.WorkingDir
	command := c.shell(r.Entrypoint, s.in)
	if c.at != nil {
		s.packages = packages{c.workingDirOf(r), c.at.modules[r]}
		command = c.wantSecrets(r.Secrets, c.inWorkingDir(s.packages.dir, command))
	}
	s.command, s.env = wrapper(command), c.environment(s, r.Env)
	s.runtimeEnv = c.runtimeEnv(s, c.envs[r])
	s.resources = resources{cpus: c.amount(r.CPUs, s.in), gpus: c.amount(r.GPUs, s.in), memory: c.bytes(r.Memory, s.in)}
	if len(r.Resources.Entries) > 0 {
		s.resources.custom = &value.Object{}
		for _, e := range r.Resources.Entries {
			s.resources.custom.Set(e.Key, c.number(&e.Value, s.in))
		}
	}
}

// resolveJob reads a plain job. What only a pod has is not looked at for a process: the mode's check has said so.
func (c *compiler) resolveJob(s *submission, j *pipeline.Job) {
	s.kind, s.secrets, s.metadata, s.workingDir, s.inPlace = kindJob, j.Secrets, c.texts(j.Metadata, s.in), j.WorkingDir, j.InPlace
	command := ""
	if j.Shell != nil {
		command = c.shell(*j.Shell, s.in)
	} else {
		command = c.argv(j.Command, s.in)
	}
	s.command, s.env = wrapper(command), c.environment(s, j.Env)
	if c.at == nil {
		return
	}
	s.resources = resources{cpus: c.amount(j.CPUs, s.in), gpus: c.amount(j.GPUs, s.in), memory: c.bytes(j.Memory, s.in),
		scratch: c.bytes(j.EphemeralStorage, s.in)}
	s.pod = podFields{image: c.imageField(j, s.in), nodeSelector: j.NodeSelector, tolerations: j.Tolerations, mounts: j.Mounts,
		serviceAccount: j.ServiceAccount, security: c.securityOf(j), token: c.getsToken(j)}
}

// texts are templates as the fields of an object.
func (c *compiler) texts(m pipeline.Map[pipeline.Template], in *scope) *value.Object {
	o := &value.Object{}
	for _, e := range m.Entries {
		o.Set(e.Key, c.textField(e.Value, in))
	}
	return o
}

// scope is which work of the step it is.
func (s *submission) scope() annotation.Scope {
	switch {
	case s.failure != "":
		return annotation.OnFailure
	case s.placing:
		return annotation.Files
	}
	return ""
}

// variable is the name of a variable of the attempts in a cluster.
func (s *submission) variable(kind string) string {
	if s.failure != "" {
		kind += "c"
	}
	return s.in.inner(nil).variable(kind, s.step)
}

// attempt is the expression of which attempt this is, from 1, as text.
func (s *submission) attempt() string {
	if s.clustered {
		return "$string($" + s.variable("try") + ")"
	}
	return "$string($states.context.State.RetryCount + 1)"
}

// marks are the metadata of a job: what started it, so that people and the cleanup machine find it, and the file's own.
func (c *compiler) marks(s *submission) *value.Object {
	o := value.Obj("rayorch.execution", "{% $states.context.Execution.Id %}", "rayorch.pipeline", c.p.Name,
		"rayorch.step", s.step, "rayorch.attempt", wrap(s.attempt()))
	merge(o, s.metadata)
	return o
}

// runtimeEnv is Ray's runtime environment, from the file's with the files read; environment variables are in it.
func (c *compiler) runtimeEnv(s *submission, given *value.Object) *value.Object {
	env := &value.Object{}
	if given != nil {
		if o, ok := c.dynamic(given, s.in, strict).(*value.Object); ok {
			env = o
		}
	}
	if c.at != nil { // here Ray's runner reads it; in a cluster it counted when the directory was packed
		env = env.Without("excludes")
	}
	env.Set("env_vars", s.env)
	switch {
	case c.at != nil:
		placeWorkingDir(env, s)
	case s.workingDir != "" && !remote(s.workingDir):
		c.excludeStorage(env, c.beside(s.workingDir))
	}
	return env
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
func (c *compiler) environment(s *submission, own pipeline.Map[pipeline.Template]) string {
	pairs := []string{"'RAYORCH_STEP': " + str(s.step), "'RAYORCH_ATTEMPT': " + s.attempt(),
		"'RAYORCH_OUTPUTS': ($o := $string(" + record(s.before, s.in) + "); $length($o) > " + c.maxOutputsEnv() + " ? '' : $o)"}
	if l := s.in.loop(); l != nil {
		pairs = append(pairs, "'RAYORCH_ITEM': $string($item_"+l.name+")", "'RAYORCH_INDEX': $string($index_"+l.name+")")
	}
	if s.failure != "" {
		pairs = append(pairs, "'RAYORCH_ERROR': "+s.failure+".Error", "'RAYORCH_CAUSE': "+cause(s.failure))
	}
	for _, e := range own.Entries {
		pairs = append(pairs, str(e.Key)+": "+c.text(e.Value, s.in))
	}
	shared := "$env"
	if c.at != nil && s.kind == kindJob && c.paramsOnce() { // a pod has nobody to make them
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

// shownID is the expression of the part of an id that tells people what it is.
func (s *submission) shownID() string {
	name := strings.ToLower(s.step)
	return "$run.prefix & " + str(name[:min(len(name), idStep)]+"-")
}

// prefix is the expression of what the ids of all jobs of an execution start with.
func prefix(execution string) string {
	return "'r' & $substring($hash(" + execution + ", 'SHA-256'), 0, 12) & '-'"
}

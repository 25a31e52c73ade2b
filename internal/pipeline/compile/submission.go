package compile

import (
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// submission describes a job of the pipeline: the job of a step, its cleanup, or the job that places files. It is resolved once from the
// pipeline's types, and then each submission mode translates it. A new field of a step is read only here.
type submission struct {
	step      string // the step's name
	state     string // the name of the state that runs the attempts. Ids depend on it, so it must not depend on the mode
	kind      string // kindRay or kindJob
	context   string // the kubeconfig context of another cluster, or ""
	timeout   pipeline.Duration
	pending   pipeline.Duration
	retry     *pipeline.Retry
	before    []string // the steps whose outputs the job gets
	failure   string   // for a cleanup: the variable with the step's failure
	placing   bool     // the job places files and does not belong to a step
	in        *scope
	clustered bool // a variable of the definition counts the attempts (type attempts)

	command   query.Expr    // the command for sh, with the wrapper
	env       query.Expr    // the environment variables
	secrets   []string      // names of the secrets that the job gets
	metadata  *value.Object // the metadata in the file
	resources resources

	runtimeEnv *value.Object // of a Ray job, including env_vars
	packages   packages      // of a Ray job in a cluster
	workingDir string        // as in the file
	inPlace    bool
	pod        podFields // of a plain job in a cluster
}

// Kinds of jobs.
const (
	kindRay = "ray" // a Ray job
	kindJob = "job" // a plain job: a process, or a Kubernetes Job
)

// packages are the packages of a Ray job in a cluster.
type packages struct {
	dir     *workingDir   // nil if the job has none
	modules []*workingDir // of py_modules
}

// podFields are the fields that only the pod of a plain job has.
type podFields struct {
	image          string
	nodeSelector   pipeline.Map[string]
	tolerations    []pipeline.Toleration
	mounts         []pipeline.Mount
	serviceAccount string
	security       *pipeline.SecurityContext // nil for the default
	token          bool                      // the service account's token is mounted
}

// body is a Ray job or a plain job, of a step or of its cleanup.
type body struct {
	ray *pipeline.RayJob
	job *pipeline.Job
}

// secrets returns the names of the secrets that the job gets.
func (b body) secrets() []string {
	switch {
	case b.ray != nil:
		return b.ray.Secrets
	case b.job != nil:
		return b.job.Secrets
	}
	return nil
}

// stepSubmission returns the job of a step.
func (c *compiler) stepSubmission(n *node, in *scope) *submission {
	s := n.step
	return c.resolved(&submission{step: s.Name, state: s.Name, context: s.Context, timeout: s.Timeout, pending: s.PendingTimeout,
		retry: s.Retry, before: in.before(n.order, s.Name), in: in}, body{s.Ray, s.Job})
}

// cleanupSubmission returns the job that cleans up after a step. It has only one attempt.
func (c *compiler) cleanupSubmission(n *node, in *scope) *submission {
	s := n.step
	return c.resolved(&submission{step: s.Name, state: "Clean up after " + s.Name, context: s.Context, timeout: s.OnFailure.Timeout,
		pending: s.PendingTimeout, before: in.before(n.order, s.Name), failure: in.variable("failure", s.Name), in: in},
		body{s.OnFailure.Ray, s.OnFailure.Job})
}

// placingSubmission returns the job that places files.
func placingSubmission() *submission {
	return &submission{step: "files", state: "Place files", kind: kindJob, placing: true, clustered: true, timeout: placeTimeout,
		pending: placeTimeout, retry: &pipeline.Retry{Attempts: 3, Interval: 5, Backoff: 2}, in: &scope{}}
}

// resolved sets the fields of a submission from a body.
func (c *compiler) resolved(s *submission, b body) *submission {
	s.clustered = c.at != nil
	if b.ray != nil {
		c.resolveRay(s, b.ray)
	} else {
		c.resolveJob(s, b.job)
	}
	return s
}

// resolveRay sets the fields of a Ray job.
func (c *compiler) resolveRay(s *submission, r *pipeline.RayJob) {
	s.kind, s.secrets, s.metadata, s.workingDir = kindRay, r.Secrets, c.texts(r.Metadata, s.in), r.WorkingDir
	command := c.script(r.Entrypoint, s.in)
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

// resolveJob sets the fields of a plain job. On this machine, the fields of a pod are ignored; the check of the mode has added a note.
func (c *compiler) resolveJob(s *submission, j *pipeline.Job) {
	s.kind, s.secrets, s.metadata, s.workingDir, s.inPlace = kindJob, j.Secrets, c.texts(j.Metadata, s.in), j.WorkingDir, j.InPlace
	var command query.Expr
	if j.Shell != nil {
		command = c.script(*j.Shell, s.in)
	} else {
		command = c.commandLine(j.Command, s.in)
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

// texts returns an object with templates as field values.
func (c *compiler) texts(m pipeline.Map[pipeline.Template], in *scope) *value.Object {
	o := &value.Object{}
	for _, e := range m.Entries {
		o.Set(e.Key, c.textField(e.Value, in))
	}
	return o
}

// scope returns the annotation's scope of the submission.
func (s *submission) scope() annotation.Scope {
	switch {
	case s.failure != "":
		return annotation.OnFailure
	case s.placing:
		return annotation.Files
	}
	return ""
}

// attempt returns the number of the attempt, from 1, as a string.
func (s *submission) attempt() query.Expr {
	if s.clustered {
		return query.Call("string", query.Var("try"))
	}
	return query.Call("string", query.Op(query.States("context", "State", "RetryCount"), "+", query.Int(1)))
}

// marks returns the metadata of a job: the run, step and attempt, by which people and the cleanup machine find the job, and the metadata in
// the file.
func (c *compiler) marks(s *submission) *value.Object {
	o := value.Obj("rayorch.execution", executionID.Value(), "rayorch.pipeline", c.p.Name,
		"rayorch.step", s.step, "rayorch.attempt", s.attempt().Value())
	merge(o, s.metadata)
	return o
}

// runtimeEnv returns Ray's runtime environment: that of the file, with the contents of the files that it names, and the environment
// variables.
func (c *compiler) runtimeEnv(s *submission, given *value.Object) *value.Object {
	env := &value.Object{}
	if given != nil {
		if o, ok := c.dynamic(given, s.in, strict).(*value.Object); ok {
			env = o
		}
	}
	if c.at != nil { // the patterns were applied when the directory was packed; on this machine, the task runner packs it later
		env = env.Without("excludes")
	}
	env.Set("env_vars", s.env.Value())
	switch {
	case c.at != nil:
		placeWorkingDir(env, s)
	case s.workingDir != "" && !remote(s.workingDir):
		c.excludeStorage(env, c.absPath(s.workingDir))
	}
	return env
}

// maxOutputsEnv returns the maximum number of characters of RAYORCH_OUTPUTS. Linux allows 128 KiB for a variable, and long parameters count
// towards the same limit on a task's input. In a cluster, a Job and its pods contain the variable, and a list of pods must be smaller than
// Step Functions' 262,144 bytes.
func (c *compiler) maxOutputsEnv() query.Expr {
	switch {
	case c.at != nil:
		return query.Int(30_000)
	case c.paramsOnce():
		return query.If(shortParams, query.Int(100_000), query.Op(query.Int(240_000), "-", query.Call("length", paramsText)))
	}
	return query.Int(100_000)
}

var (
	sharedEnv   = query.Var("env") // environment variables of all jobs of a run
	paramsText  = query.Call("string", query.Var("params"))
	shortParams = query.Call("exists", sharedEnv.Get("RAYORCH_PARAMS")) // whether sharedEnv has the parameters: they are not too long
	executionID = query.States("context", "Execution", "Id")
)

// environment returns a job's environment: the variables that all jobs of the run get, those of this job, and those in the file.
func (c *compiler) environment(s *submission, own pipeline.Map[pipeline.Template]) query.Expr {
	o := query.Var("o")
	outputs := query.Block(query.If(query.Op(query.Call("length", o), ">", c.maxOutputsEnv()), query.Str(""), o),
		query.Bind("o", query.Call("string", outputsOf(s.before, s.in))))
	vars := []query.Binding{query.Bind("RAYORCH_STEP", query.Str(s.step)), query.Bind("RAYORCH_ATTEMPT", s.attempt()),
		query.Bind("RAYORCH_OUTPUTS", outputs)}
	if l := s.in.loop(); l != nil {
		vars = append(vars, query.Bind("RAYORCH_ITEM", query.Call("string", query.Var("item_"+l.name))),
			query.Bind("RAYORCH_INDEX", query.Call("string", query.Var("index_"+l.name))))
	}
	if failure := query.Var(s.failure); s.failure != "" {
		vars = append(vars, query.Bind("RAYORCH_ERROR", failure.Get("Error")), query.Bind("RAYORCH_CAUSE", cause(failure)))
	}
	for _, e := range own.Entries {
		vars = append(vars, query.Bind(e.Key, c.template(e.Value, s.in)))
	}
	parts := []query.Expr{sharedEnv}
	if c.at != nil && s.kind == kindJob && c.paramsOnce() { // pods of plain jobs have no task runner that adds the parameters
		parts = append(parts, query.If(shortParams, query.Object(), query.Inline(c.paramVariables())))
	}
	return query.Call("merge", query.Array(append(parts, query.Object(vars...))...))
}

// sharedEnvironment returns the environment variables that all jobs of a run get: the run and its parameters.
func (c *compiler) sharedEnvironment() any {
	run := query.Var("run")
	env := value.Obj("RAYORCH_RUN_ID", run.Get("id").Value(), "RAYORCH_STORAGE", run.Get("storage").Value(), "RAYORCH_PIPELINE", c.p.Name)
	params := c.paramVariables()
	if c.paramsOnce() {
		long := query.Op(query.Call("length", paramsText), ">", query.Int(textParams))
		return query.Call("merge", query.Array(query.Inline(env), query.If(long, query.Object(), query.Inline(params)))).Value()
	}
	merge(env, params)
	return env
}

// paramVariables returns the environment variables that contain the parameters.
func (c *compiler) paramVariables() *value.Object {
	o := &value.Object{}
	for _, e := range c.p.Params.Entries {
		o.Set("RAYORCH_PARAM_"+strings.ToUpper(e.Key), query.Call("string", query.Var("params").Get(e.Key)).Value())
	}
	o.Set("RAYORCH_PARAMS", paramsText.Value())
	return o
}

// idStep is the maximum number of characters of a step's name in an id. The id as a whole is a DNS label of at most 47 characters.
const idStep = 20

// hashedID returns the id of an attempt: the run's prefix, the step's name (for people), and a hash of the execution, of parts, which
// identify the attempt, and of the iteration.
func (s *submission) hashedID(parts ...query.Expr) query.Expr {
	name := strings.ToLower(s.step)
	shown := query.Str(name[:min(len(name), idStep)] + "-")
	made := executionID
	for _, part := range append(parts, s.in.iteration()) {
		if !part.IsZero() {
			made = query.Concat(made, query.Str("/"), part)
		}
	}
	return query.Concat(query.Var("run").Get("prefix"), shown, hashed10(made))
}

// hashed10 returns the first 10 hexadecimal digits of a string's hash.
func hashed10(text query.Expr) query.Expr {
	return query.Call("substring", query.Call("hash", text, query.Str("SHA-256")), query.Int(0), query.Int(10))
}

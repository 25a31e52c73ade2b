package pipeline

// Step is one step: exactly one of Ray, Job, Parallel and ForEach is set.
type Step struct {
	Name           string      `yaml:"name" need:"1" kind:"name" doc:"The step's name: letters, digits and dashes, at most 40, once in the file."`
	Description    string      `yaml:"description" doc:"What the step does."`
	After          *[]string   `yaml:"after" doc:"The steps beside it that must end first. By default the step before it; [] starts it at once."`
	When           *Condition  `yaml:"when" doc:"A condition; where it does not hold, the step is skipped and its output is null."`
	Ray            *RayJob     `yaml:"ray" doc:"A job on Ray."`
	Job            *Job        `yaml:"job" doc:"A plain job: a process here, a Kubernetes Job elsewhere."`
	Parallel       *Parallel   `yaml:"parallel" doc:"Steps that run at the same time."`
	ForEach        *ForEach    `yaml:"forEach" doc:"Steps that run once for each item of a list."`
	Context        string      `yaml:"context" doc:"The kubeconfig context of another cluster that this step runs in (ray, job; kubernetes)."`
	Timeout        Duration    `yaml:"timeout" doc:"The longest that one attempt may run (ray, job)."`
	PendingTimeout Duration    `yaml:"pendingTimeout" def:"15m" doc:"The longest that an attempt may wait before it runs (ray; job in a cluster)."`
	Retry          *Retry      `yaml:"retry" doc:"Whether and how a failed attempt is repeated (ray, job)."`
	Output         Map[Output] `yaml:"output" doc:"The keys of the step's output, each with a type or rules (ray, job). A job that returns something else fails with Step.OutputInvalid."`
	OnFailure      *Cleanup    `yaml:"onFailure" doc:"A job that cleans up when the step has finally failed (ray, job)."`
}

// DefaultPendingTimeout is Step.PendingTimeout where the file has none.
const DefaultPendingTimeout Duration = 15 * 60

// RayJob is a job on a Ray cluster: its entry point is run by the shell where the driver runs.
type RayJob struct {
	Entrypoint Shell         `yaml:"entrypoint" need:"1" doc:"The command that starts the driver, for sh."`
	WorkingDir string        `yaml:"workingDir" doc:"A directory beside the pipeline file, uploaded to Ray, or a gcs://, s3:// or https:// address of a package."`
	RuntimeEnv *Dynamic      `yaml:"runtimeEnv" doc:"Ray's runtime environment (pip, py_modules ...), without env_vars and working_dir, which have fields here."`
	CPUs       *Number       `yaml:"cpus" doc:"CPUs that the driver reserves."`
	GPUs       *Number       `yaml:"gpus" doc:"GPUs that the driver reserves."`
	Memory     *Quantity     `yaml:"memory" doc:"Memory that the driver reserves: bytes, or 512Mi, 4Gi ..."`
	Resources  Map[Number]   `yaml:"resources" doc:"Custom resources that the driver reserves."`
	Env        Map[Template] `yaml:"env" doc:"Environment variables."`
	Secrets    []string      `yaml:"secrets" doc:"Names of secrets that the job gets as environment variables."`
	Metadata   Map[Template] `yaml:"metadata" doc:"Metadata of the Ray job."`
}

// Job is a plain job.
type Job struct {
	Image                        Template         `yaml:"image" doc:"The container image (kubernetes, aws; ignored here)."`
	Command                      []Template       `yaml:"command" doc:"The program and its arguments."`
	Shell                        *Shell           `yaml:"shell" doc:"A command for sh, in place of command."`
	WorkingDir                   string           `yaml:"workingDir" doc:"The directory to run in: here, beside the pipeline file (each attempt runs in a copy of it); elsewhere, in the image."`
	InPlace                      bool             `yaml:"inPlace" doc:"Run in the directory itself instead of a copy (local; ignored elsewhere)."`
	CPUs                         *Number          `yaml:"cpus" doc:"CPUs that the pod asks for (kubernetes, aws)."`
	GPUs                         *Number          `yaml:"gpus" doc:"GPUs that the pod asks for (kubernetes, aws)."`
	Memory                       *Quantity        `yaml:"memory" doc:"Memory that the pod asks for (kubernetes, aws)."`
	EphemeralStorage             *Quantity        `yaml:"ephemeralStorage" doc:"Scratch space that the pod asks for (kubernetes, aws)."`
	NodeSelector                 Map[string]      `yaml:"nodeSelector" doc:"Labels of the nodes to run on (kubernetes, aws)."`
	Tolerations                  []Toleration     `yaml:"tolerations" doc:"Taints to tolerate (kubernetes, aws)."`
	Mounts                       []Mount          `yaml:"mounts" doc:"Claims to mount besides the pipeline's storage (kubernetes, aws)."`
	ServiceAccount               string           `yaml:"serviceAccount" doc:"The pod's service account (kubernetes, aws); by default the target's."`
	SecurityContext              *SecurityContext `yaml:"securityContext" doc:"The security context of the pod (kubernetes, aws); by default the target's."`
	AutomountServiceAccountToken *bool            `yaml:"automountServiceAccountToken" doc:"Mount the service account's token into the pod (kubernetes, aws); by default as in the target."`
	Env                          Map[Template]    `yaml:"env" doc:"Environment variables."`
	Secrets                      []string         `yaml:"secrets" doc:"Names of secrets that the job gets as environment variables."`
	Metadata                     Map[Template]    `yaml:"metadata" doc:"Annotations of the job."`
}

// Toleration is a Kubernetes toleration.
type Toleration struct {
	Key               string `yaml:"key" doc:"The taint's key; none for all."`
	Operator          string `yaml:"operator" def:"Equal" enum:"Equal|Exists" doc:"How value is compared."`
	Value             string `yaml:"value" doc:"The taint's value."`
	Effect            string `yaml:"effect" enum:"NoSchedule|PreferNoSchedule|NoExecute" doc:"The taint's effect; none for all."`
	TolerationSeconds *int   `yaml:"tolerationSeconds" min:"0" doc:"How long NoExecute is borne."`
}

// Mount is one more claim in a plain job's pod.
type Mount struct {
	Claim    string `yaml:"claim" need:"1" doc:"The PersistentVolumeClaim."`
	Path     string `yaml:"path" need:"1" doc:"Where it is mounted."`
	SubPath  string `yaml:"subPath" doc:"The directory of the claim that is mounted."`
	ReadOnly bool   `yaml:"readOnly" doc:"Mount it read-only."`
}

// Parallel is steps that run at the same time.
type Parallel struct {
	Steps             []Step `yaml:"steps" need:"1" min:"1" doc:"The steps. They start together unless after orders them."`
	MaxConcurrency    int    `yaml:"maxConcurrency" min:"0" doc:"How many run at once; 0 is all. Not together with after."`
	ToleratedFailures int    `yaml:"toleratedFailures" min:"0" doc:"How many may fail; the output of one that failed is null."`
}

// ForEach is steps that run once for each item.
type ForEach struct {
	Items             Dynamic `yaml:"items" need:"1" doc:"A list, or a reference to one."`
	As                string  `yaml:"as" def:"item" kind:"ident" doc:"The item's name in references."`
	Steps             []Step  `yaml:"steps" need:"1" min:"1" doc:"The steps, one after another unless after says otherwise."`
	MaxConcurrency    int     `yaml:"maxConcurrency" min:"0" doc:"How many items run at once; 0 is all."`
	ToleratedFailures int     `yaml:"toleratedFailures" min:"0" doc:"How many items may fail; the output of one that failed is null."`
}

// Retry says how a failed attempt is repeated.
type Retry struct {
	Attempts    int      `yaml:"attempts" def:"3" min:"1" max:"1000" doc:"How often the step is tried in all, the first time included."`
	Interval    Duration `yaml:"interval" def:"5s" doc:"The wait before the second attempt."`
	Backoff     float64  `yaml:"backoff" def:"2" min:"1" doc:"What each further wait is multiplied by."`
	MaxInterval Duration `yaml:"maxInterval" doc:"The longest wait."`
	Jitter      bool     `yaml:"jitter" doc:"Wait a random part of the interval."`
	Errors      []string `yaml:"errors" doc:"The errors to retry; by default all that another attempt can mend (docs/pipeline.md)."`
}

// Cleanup is a job that runs when a step has failed; exactly one of Ray and Job is set.
type Cleanup struct {
	Ray     *RayJob  `yaml:"ray" doc:"A job on Ray."`
	Job     *Job     `yaml:"job" doc:"A plain job."`
	Timeout Duration `yaml:"timeout" def:"10m" doc:"The longest that it may run."`
}

// Kind names what the step is: ray, job, parallel or forEach.
func (s *Step) Kind() string {
	switch {
	case s.Ray != nil:
		return "ray"
	case s.Job != nil:
		return "job"
	case s.Parallel != nil:
		return "parallel"
	case s.ForEach != nil:
		return "forEach"
	}
	return ""
}

// Children are the steps inside a parallel or forEach step.
func (s *Step) Children() []Step {
	switch {
	case s.Parallel != nil:
		return s.Parallel.Steps
	case s.ForEach != nil:
		return s.ForEach.Steps
	}
	return nil
}

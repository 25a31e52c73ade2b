package pipeline

// Step is a step of a pipeline. Exactly one of Ray, Job, Parallel and ForEach is set.
type Step struct {
	Name           string      `yaml:"name" need:"1" kind:"name" doc:"The step's name: letters, digits and dashes, at most 40 characters, unique in the file."`
	Description    string      `yaml:"description" doc:"What the step does."`
	After          *[]string   `yaml:"after" doc:"Steps in the same list that must end first. Default: the previous step. With [], the step starts immediately."`
	When           *Condition  `yaml:"when" doc:"Condition. If it is false, the step is skipped and its output is null."`
	Ray            *RayJob     `yaml:"ray" doc:"A Ray job."`
	Job            *Job        `yaml:"job" doc:"A plain job: a process on this machine, or a Kubernetes Job in a cluster."`
	Parallel       *Parallel   `yaml:"parallel" doc:"Steps that run at the same time."`
	ForEach        *ForEach    `yaml:"forEach" doc:"Steps that run once for each item of a list."`
	Context        string      `yaml:"context" doc:"The kubeconfig context of another cluster in which this step runs (ray, job; kubernetes)."`
	Timeout        Duration    `yaml:"timeout" doc:"Maximum run time of an attempt (ray, job)."`
	PendingTimeout Duration    `yaml:"pendingTimeout" def:"15m" doc:"Maximum time that an attempt waits before it runs (ray; job in a cluster)."`
	Retry          *Retry      `yaml:"retry" doc:"Whether and how to retry a failed attempt (ray, job)."`
	Output         Map[Output] `yaml:"output" doc:"The keys of the step's output, each with a type or rules (ray, job). If the job returns something else, the attempt fails with Step.OutputInvalid."`
	OnFailure      *Cleanup    `yaml:"onFailure" doc:"A cleanup job that runs when the step has failed and has no attempts left (ray, job)."`
}

// DefaultPendingTimeout is the default of Step.PendingTimeout, in seconds.
const DefaultPendingTimeout Duration = 15 * 60

// RayJob is a job on a Ray cluster. A shell runs the entrypoint on the node of the driver.
type RayJob struct {
	Entrypoint Shell         `yaml:"entrypoint" need:"1" doc:"The command that starts the driver, run by sh."`
	WorkingDir string        `yaml:"workingDir" doc:"A directory, relative to the pipeline file, that rayorch uploads to Ray; or the gcs://, s3:// or https:// URL of a package."`
	RuntimeEnv *Dynamic      `yaml:"runtimeEnv" doc:"Ray's runtime environment (pip, py_modules ...), except env_vars and working_dir, for which a step has fields."`
	CPUs       *Number       `yaml:"cpus" doc:"CPUs that the driver reserves."`
	GPUs       *Number       `yaml:"gpus" doc:"GPUs that the driver reserves."`
	Memory     *Quantity     `yaml:"memory" doc:"Memory that the driver reserves, in bytes or with a unit: 512Mi, 4Gi."`
	Resources  Map[Number]   `yaml:"resources" doc:"Custom resources that the driver reserves."`
	Env        Map[Template] `yaml:"env" doc:"Environment variables."`
	Secrets    []string      `yaml:"secrets" doc:"Secrets that the job gets as environment variables, by name."`
	Metadata   Map[Template] `yaml:"metadata" doc:"Metadata of the Ray job."`
}

// Job is a plain job, which does not use Ray. Either Command or Shell is set.
type Job struct {
	Image                        Template         `yaml:"image" doc:"Container image (kubernetes, aws; ignored on this machine)."`
	Command                      []Template       `yaml:"command" doc:"The program and its arguments."`
	Shell                        *Shell           `yaml:"shell" doc:"A command for sh, instead of command."`
	WorkingDir                   string           `yaml:"workingDir" doc:"Working directory. On this machine, relative to the pipeline file, and each attempt runs in a copy; in a cluster, a path in the image."`
	InPlace                      bool             `yaml:"inPlace" doc:"Run in the directory itself instead of a copy (local; ignored elsewhere)."`
	CPUs                         *Number          `yaml:"cpus" doc:"CPUs that the pod requests (kubernetes, aws)."`
	GPUs                         *Number          `yaml:"gpus" doc:"GPUs that the pod requests (kubernetes, aws)."`
	Memory                       *Quantity        `yaml:"memory" doc:"Memory that the pod requests (kubernetes, aws)."`
	EphemeralStorage             *Quantity        `yaml:"ephemeralStorage" doc:"Scratch space that the pod requests (kubernetes, aws)."`
	NodeSelector                 Map[string]      `yaml:"nodeSelector" doc:"Labels of the nodes that the pod can run on (kubernetes, aws)."`
	Tolerations                  []Toleration     `yaml:"tolerations" doc:"Taints that the pod tolerates (kubernetes, aws)."`
	Mounts                       []Mount          `yaml:"mounts" doc:"Volume claims to mount in addition to the pipeline's storage (kubernetes, aws)."`
	ServiceAccount               string           `yaml:"serviceAccount" doc:"The pod's service account. Default: the target's (kubernetes, aws)."`
	SecurityContext              *SecurityContext `yaml:"securityContext" doc:"The pod's security context. Default: the target's (kubernetes, aws)."`
	AutomountServiceAccountToken *bool            `yaml:"automountServiceAccountToken" doc:"Whether to mount the service account's token into the pod. Default: the target's setting (kubernetes, aws)."`
	Env                          Map[Template]    `yaml:"env" doc:"Environment variables."`
	Secrets                      []string         `yaml:"secrets" doc:"Secrets that the job gets as environment variables, by name."`
	Metadata                     Map[Template]    `yaml:"metadata" doc:"Annotations of the Kubernetes Job."`
}

// Toleration is a Kubernetes toleration.
type Toleration struct {
	Key               string `yaml:"key" doc:"The taint's key. Default: all keys."`
	Operator          string `yaml:"operator" def:"Equal" enum:"Equal|Exists" doc:"How to compare the value."`
	Value             string `yaml:"value" doc:"The taint's value."`
	Effect            string `yaml:"effect" enum:"NoSchedule|PreferNoSchedule|NoExecute" doc:"The taint's effect. Default: all effects."`
	TolerationSeconds *int   `yaml:"tolerationSeconds" min:"0" doc:"How long, in seconds, the pod tolerates a NoExecute taint."`
}

// Mount is a volume claim in the pod of a plain job, in addition to the pipeline's storage.
type Mount struct {
	Claim    string `yaml:"claim" need:"1" doc:"The PersistentVolumeClaim."`
	Path     string `yaml:"path" need:"1" doc:"Mount path."`
	SubPath  string `yaml:"subPath" doc:"Directory of the claim to mount."`
	ReadOnly bool   `yaml:"readOnly" doc:"Mount read-only."`
}

// Parallel runs steps at the same time.
type Parallel struct {
	Steps             []Step `yaml:"steps" need:"1" min:"1" doc:"The steps. They start together unless after says otherwise."`
	MaxConcurrency    int    `yaml:"maxConcurrency" min:"0" doc:"Maximum number of steps that run at the same time; 0 means no limit. Cannot be combined with after."`
	ToleratedFailures int    `yaml:"toleratedFailures" min:"0" doc:"Number of steps that may fail; the output of a failed step is null. Cannot be combined with after."`
}

// ForEach runs steps once for each item of a list.
type ForEach struct {
	Items             Dynamic `yaml:"items" need:"1" doc:"A list, or a reference to a list."`
	As                string  `yaml:"as" def:"item" kind:"ident" doc:"The item's name in references."`
	Steps             []Step  `yaml:"steps" need:"1" min:"1" doc:"The steps. They run one after another unless after says otherwise."`
	MaxConcurrency    int     `yaml:"maxConcurrency" min:"0" doc:"Maximum number of items that run at the same time; 0 means no limit."`
	ToleratedFailures int     `yaml:"toleratedFailures" min:"0" doc:"Number of items that may fail; the output of a failed item is null."`
}

// Retry configures how failed attempts are retried.
type Retry struct {
	Attempts    int      `yaml:"attempts" def:"3" min:"1" max:"1000" doc:"Maximum number of attempts, including the first one."`
	Interval    Duration `yaml:"interval" def:"5s" doc:"Time to wait before the second attempt."`
	Backoff     float64  `yaml:"backoff" def:"2" min:"1" doc:"Factor by which each further wait is longer than the one before."`
	MaxInterval Duration `yaml:"maxInterval" doc:"Maximum time to wait between two attempts."`
	Jitter      bool     `yaml:"jitter" doc:"Wait for a random part of the interval."`
	Errors      []string `yaml:"errors" doc:"Errors to retry. Default: all errors that another attempt can fix (docs/pipeline.md)."`
}

// Cleanup is a job that runs when a step has failed. Exactly one of Ray and Job is set.
type Cleanup struct {
	Ray     *RayJob  `yaml:"ray" doc:"A Ray job."`
	Job     *Job     `yaml:"job" doc:"A plain job."`
	Timeout Duration `yaml:"timeout" def:"10m" doc:"Maximum run time of the cleanup."`
}

// Kind returns the kind of step: ray, job, parallel or forEach.
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

// Children returns the steps inside a parallel or forEach step.
func (s *Step) Children() []Step {
	switch {
	case s.Parallel != nil:
		return s.Parallel.Steps
	case s.ForEach != nil:
		return s.ForEach.Steps
	}
	return nil
}

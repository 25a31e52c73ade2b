package stepfn

// The error names of the States Language and of Step Functions.
const (
	// StatesALL and StatesTaskFailed in ErrorEquals match errors with other names; StatesTaskFailed is also an error itself.
	StatesALL                             = "States.ALL"
	StatesTaskFailed                      = "States.TaskFailed"
	StatesTimeout                         = "States.Timeout"
	StatesHeartbeatTimeout                = "States.HeartbeatTimeout"
	StatesRuntime                         = "States.Runtime"
	StatesPermissions                     = "States.Permissions"
	StatesParameterPathFailure            = "States.ParameterPathFailure"
	StatesReferencePathConflict           = "States.ReferencePathConflict"
	StatesResultPathMatchFailure          = "States.ResultPathMatchFailure"
	StatesIntrinsicFailure                = "States.IntrinsicFailure"
	StatesQueryEvaluationError            = "States.QueryEvaluationError"
	StatesDataLimitExceeded               = "States.DataLimitExceeded"
	StatesItemReaderFailed                = "States.ItemReaderFailed"
	StatesResultWriterFailed              = "States.ResultWriterFailed"
	StatesExceedToleratedFailureThreshold = "States.ExceedToleratedFailureThreshold"
)

// The errors of a Ray step. The list is the same for every target and submission mode, and complete (docs/pipeline.md).
const (
	RayJobFailed    = "Ray.JobFailed"
	RayJobStopped   = "Ray.JobStopped"
	RayHeadLost     = "Ray.HeadLost"
	RaySubmitFailed = "Ray.SubmitFailed"
	// RayRuntimeEnvFailed is also matched by rules with RaySubmitFailed, because earlier releases did not distinguish the
	// two.
	RayRuntimeEnvFailed = "Ray.RuntimeEnvFailed"
	RayPendingTimeout   = "Ray.PendingTimeout"
	RayUnreachable      = "Ray.Unreachable"
	RayUnauthorized     = "Ray.Unauthorized"
)

// The errors of a plain job, in addition to StatesTimeout.
const (
	JobFailed      = "Job.Failed"
	JobStartFailed = "Job.StartFailed"
	JobStopped     = "Job.Stopped"
)

// The errors of a step whose output does not match its declaration in the pipeline file, and of a step that references a missing value.
const (
	StepOutputInvalid = "Step.OutputInvalid"
	StepInputMissing  = "Step.InputMissing"
)

// EKS is the prefix of the errors of eks:call and eks:runJob; an HTTP status of the API server follows it, as in EKS.404. Step
// Functions does not document the names of the other two: the API server does not respond in time, and the cluster is unknown.
const (
	EKS                = "EKS."
	EKSUnreachable     = "EKS.Unreachable"
	EKSClusterNotFound = "EKS.ClusterNotFound"
)

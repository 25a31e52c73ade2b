package stepfn

// The error names of the States Language and of Step Functions.
const (
	// StatesALL and StatesTaskFailed, in ErrorEquals, match errors of other names; StatesTaskFailed is also an error by itself.
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

// The errors of a Ray step: one closed list for every target and submission mode (docs/pipeline.md).
const (
	RayJobFailed    = "Ray.JobFailed"
	RayJobStopped   = "Ray.JobStopped"
	RayHeadLost     = "Ray.HeadLost"
	RaySubmitFailed = "Ray.SubmitFailed"
	// RayRuntimeEnvFailed also matches rules that name RaySubmitFailed, which included it in earlier releases.
	RayRuntimeEnvFailed = "Ray.RuntimeEnvFailed"
	RayPendingTimeout   = "Ray.PendingTimeout"
	RayUnreachable      = "Ray.Unreachable"
	RayUnauthorized     = "Ray.Unauthorized"
)

// The errors of a plain job, besides StatesTimeout.
const (
	JobFailed      = "Job.Failed"
	JobStartFailed = "Job.StartFailed"
	JobStopped     = "Job.Stopped"
)

// The errors of a step whose output is not what the pipeline file declares, and of one that refers to what is missing.
const (
	StepOutputInvalid = "Step.OutputInvalid"
	StepInputMissing  = "Step.InputMissing"
)

// EKS is the prefix of the errors of eks:call and eks:runJob that the API server answers: EKS.404. Step Functions does not document
// the names of the other two: an API server that does not answer in time, and a cluster that is not known.
const (
	EKS                = "EKS."
	EKSUnreachable     = "EKS.Unreachable"
	EKSClusterNotFound = "EKS.ClusterNotFound"
)

package pipeline

// The errors of steps are a closed list (docs/pipeline.md). These are the names of those that a retry can name, by kind
// of step; what a step retries by default leaves out what another attempt cannot mend or somebody did on purpose.
var (
	rayErrors = []string{"Ray.JobFailed", "Ray.HeadLost", "Ray.SubmitFailed", "Ray.PendingTimeout", "Ray.Unreachable",
		"States.Timeout", "Ray.JobStopped", "Ray.Unauthorized", "States.TaskFailed", "States.ALL"}
	jobErrors = []string{"Job.Failed", "Job.StartFailed", "States.Timeout", "Job.Stopped", "States.TaskFailed", "States.ALL"}
)

// RetryableErrors are the names that retry.errors of a step of this kind may hold.
func RetryableErrors(kind string) []string {
	switch kind {
	case "ray":
		return rayErrors
	case "job":
		return jobErrors
	}
	return nil
}

// DefaultRetry are the names retried when retry.errors is left out.
func DefaultRetry(kind string) []string {
	switch kind {
	case "ray":
		return rayErrors[:6]
	case "job":
		return jobErrors[:3]
	}
	return nil
}

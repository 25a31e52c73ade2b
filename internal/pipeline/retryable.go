package pipeline

import (
	"slices"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// The errors of steps are a closed list (docs/pipeline.md). These are the names of those that a retry can name, by kind
// of step; what a step retries by default leaves out what another attempt cannot mend or somebody did on purpose.
var (
	rayErrors = []string{stepfn.RayJobFailed, stepfn.RayHeadLost, stepfn.RaySubmitFailed, stepfn.RayRuntimeEnvFailed, stepfn.RayPendingTimeout,
		stepfn.RayUnreachable, stepfn.StatesTimeout, stepfn.RayJobStopped, stepfn.RayUnauthorized, stepfn.StepOutputInvalid, stepfn.StatesTaskFailed, stepfn.StatesALL}
	jobErrors = []string{stepfn.JobFailed, stepfn.JobStartFailed, stepfn.StatesTimeout, stepfn.JobStopped, stepfn.StepOutputInvalid, stepfn.StatesTaskFailed, stepfn.StatesALL}
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
		return rayErrors[:7]
	case "job":
		return jobErrors[:3]
	}
	return nil
}

// Retried are the names of errors that a retry of a step of this kind repeats. Ray.SubmitFailed includes Ray.RuntimeEnvFailed,
// which was part of it.
func (r *Retry) Retried(kind string) []string {
	if len(r.Errors) == 0 {
		return DefaultRetry(kind)
	}
	i := slices.Index(r.Errors, stepfn.RaySubmitFailed)
	if i < 0 || slices.Contains(r.Errors, stepfn.RayRuntimeEnvFailed) {
		return r.Errors
	}
	return slices.Insert(slices.Clone(r.Errors), i+1, stepfn.RayRuntimeEnvFailed)
}

package pipeline

import (
	"slices"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// rayErrors and jobErrors are the errors that retry.errors can list, by kind of step. They are documented in docs/pipeline.md. The
// first ones in each list are retried by default (DefaultRetry): those that another attempt can fix and that nobody caused on purpose.
var (
	rayErrors = []string{stepfn.RayJobFailed, stepfn.RayHeadLost, stepfn.RaySubmitFailed, stepfn.RayRuntimeEnvFailed, stepfn.RayPendingTimeout,
		stepfn.RayUnreachable, stepfn.StatesTimeout, stepfn.RayJobStopped, stepfn.RayUnauthorized, stepfn.StepOutputInvalid, stepfn.StatesTaskFailed, stepfn.StatesALL}
	jobErrors = []string{stepfn.JobFailed, stepfn.JobStartFailed, stepfn.StatesTimeout, stepfn.JobStopped, stepfn.StepOutputInvalid, stepfn.StatesTaskFailed, stepfn.StatesALL}
)

// RetryableErrors returns the names that retry.errors can contain in a step of this kind.
func RetryableErrors(kind string) []string {
	switch kind {
	case "ray":
		return rayErrors
	case "job":
		return jobErrors
	}
	return nil
}

// DefaultRetry returns the errors that a step of this kind retries if it has no retry.errors.
func DefaultRetry(kind string) []string {
	switch kind {
	case "ray":
		return rayErrors[:7]
	case "job":
		return jobErrors[:3]
	}
	return nil
}

// Retried returns the errors that the retry of a step of this kind repeats. Ray.SubmitFailed includes Ray.RuntimeEnvFailed, because
// earlier releases reported both as Ray.SubmitFailed.
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

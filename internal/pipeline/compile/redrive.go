package compile

import "github.com/rayorch/rayorch/internal/pipeline/compile/query"

// A redrive restarts an execution at the states that failed. A step that gives up ends in a Fail state, because only a Fail state can
// raise an error whose name is computed, and a redriven Fail state fails again (Step Functions' developer guide says so, and recordings
// show it: docs/conformance.md). Therefore, the Fail state checks whether the execution was redriven after the failure. If it was, the
// state raises another error, which the Parallel state around it retries: the step starts again. The ids of its new attempts depend on
// the new redrive count.

const (
	// redriven is the error that a Fail state raises after a redrive. Users see it only in histories.
	redriven = "Step.Redriven"
	// maxRedrives is not a limit in practice: each redrive restarts a step at most once.
	maxRedrives = 1000
)

// redrives returns the execution's redrive count.
func redrives() query.Expr { return query.States("context", "Execution", "RedriveCount") }

// failureOrRedriven returns the error that a Fail state raises: failure, or redriven if the execution was redriven in the meantime. then
// is the redrive count at the time of the failure.
func failureOrRedriven(failure, then query.Expr) query.Expr {
	return query.If(query.Op(redrives(), "!=", then), query.Str(redriven), failure)
}

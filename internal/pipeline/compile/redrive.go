package compile

import "github.com/rayorch/rayorch/internal/pipeline/compile/query"

// A redrive restarts an execution at the states that failed, and a Fail state fails again, as Step Functions' developer guide says and
// recordings show (docs/conformance.md). A step that gave up ends in a Fail state, because only that can raise an error whose name is
// computed. So the Fail state checks whether the execution was redriven after the failure. If it was, the state raises another error,
// which the Parallel state around it retries: the step starts again. The ids of its new attempts contain the new redrive count.

const (
	// redriven is the error that a Fail state raises instead of an old failure. Only histories show it.
	redriven = "Step.Redriven"
	// maxRedrives limits nothing in practice: a redrive restarts a step at most once.
	maxRedrives = 1000
)

// redrives is how often the execution was redriven.
func redrives() query.Expr { return query.States("context", "Execution", "RedriveCount") }

// failureOrRedriven is the error that a Fail state raises: failure, or redriven if the execution was redriven since. then is the
// redrive count when the failure was new.
func failureOrRedriven(failure, then query.Expr) query.Expr {
	return query.If(query.Op(redrives(), "!=", then), query.Str(redriven), failure)
}

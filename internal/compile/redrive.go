package compile

import "github.com/rayorch/rayorch/internal/compile/query"

// A redrive begins again at the states that failed, and a Fail state fails again: so says Step Functions' developer guide, and
// so it was recorded (docs/conformance.md). A step that gave up ends in a Fail state, for nothing else raises an error of a name that a run computes.
// So the Fail state looks whether the execution was redriven since the failure that it gives on; if it was, it raises
// another error, which the Parallel state around it takes as the order to begin the step anew. The ids of the new attempts
// hold the new redrive count.

const (
	// redriven is the error that a Fail state raises in place of an old failure. It is seen in histories only.
	redriven = "Step.Redriven"
	// maxRedrives is no limit: each redrive begins a step anew at most once.
	maxRedrives = 1000
)

// redrives is how often the execution was redriven.
func redrives() query.Expr { return query.States("context", "Execution", "RedriveCount") }

// failureOrRedriven is the error that a Fail state raises: failure, or redriven if the execution was redriven since. then is the
// redrive count when the failure was new.
func failureOrRedriven(failure, then query.Expr) query.Expr {
	return query.If(query.Op(redrives(), "!=", then), query.Str(redriven), failure)
}

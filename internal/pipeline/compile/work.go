package compile

import (
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// work adds the states of a ray or job step.
func (c *compiler) work(states *value.Object, n *node, in *scope, next string) {
	s := n.step
	in = in.askedBy(s.Name)
	sub := c.stepSubmission(n, in)
	state := c.modeOf(sub.kind).state(sub)
	raises := c.at == nil && (in.asks.mayFail || s.Output.Len() > 0) // in a cluster, the states of the attempts do this
	switch failure := query.States("errorOutput"); {
	case s.OnFailure != nil && raises:
		state.Set("Catch", catchFailure(s, in, stepfn.StatesALL, raisedError(failure, failure), "Clean up after "+s.Name))
	case s.OnFailure != nil:
		state.Set("Catch", catchFailure(s, in, stepfn.StatesALL, failure, "Clean up after "+s.Name))
	case raises:
		c.catchRaised(states, state, s, in)
	}
	if s.Output.Len() > 0 && c.at == nil {
		setCheckedResult(state, s, in, c.jobOutput())
	} else {
		setResult(state, s, in, c.jobOutput())
	}
	put(states, s.Name, annotation.State{Step: s.Name, Role: annotation.Run}, follow(state, next))
	if s.OnFailure != nil {
		c.onFailure(states, n, in)
	}
}

// catchFailure returns a Catch that assigns the failure, with the current redrive count, to a variable.
func catchFailure(s *pipeline.Step, in *scope, name string, failure query.Expr, next string) []any {
	kept := query.Call("merge", query.Array(failure, query.Object(query.Bind("redrive", redrives()))))
	return caughtBy(name, value.Obj(in.variable("failure", s.Name), kept.Value()), next)
}

// catchRaised fails the step with the error that an expression of the state raised. Without it, the cause would quote the whole expression.
func (c *compiler) catchRaised(states, state *value.Object, s *pipeline.Step, in *scope) {
	failure := query.States("errorOutput")
	state.Set("Catch", catchFailure(s, in, stepfn.StatesQueryEvaluationError, raisedError(failure, failure), "Fail "+s.Name))
	c.rethrow(states, s, in)
}

// jobOutput returns a job's output from the result of its state.
func (c *compiler) jobOutput() query.Expr {
	if c.at != nil {
		return query.States("result").At(0).Get("Output")
	}
	return query.States("result", "Output")
}

// onFailure adds the cleanup of a step, and the state that then fails with the step's failure, even if the cleanup fails.
func (c *compiler) onFailure(states *value.Object, n *node, in *scope) {
	s, fail := n.step, "Fail "+n.step.Name
	sub := c.cleanupSubmission(n, in)
	state := c.modeOf(sub.kind).state(sub)
	state.Set("Catch", []any{value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Next", fail)})
	put(states, sub.state, annotation.State{Step: s.Name, Role: annotation.Run, Scope: annotation.OnFailure}, follow(state, fail))
	c.rethrow(states, s, in)
}

// rethrow adds the state that fails with the failure in the variable. A redrive restarts the step from this state.
func (c *compiler) rethrow(states *value.Object, s *pipeline.Step, in *scope) {
	failure := query.Var(in.variable("failure", s.Name))
	raise := value.Obj("Type", "Fail", "Error", failureOrRedriven(failure.Get("Error"), failure.Get("redrive")).Value(),
		"Cause", cause(failure).Value())
	inner, say := &value.Object{}, annotation.State{Step: s.Name, Role: annotation.Fail}
	put(inner, "Raise failure of "+s.Name, say, raise)
	put(states, "Fail "+s.Name, say, value.Obj("Type", "Parallel",
		"Branches", []any{value.Obj("StartAt", "Raise failure of "+s.Name, "States", inner)},
		"Catch", []any{value.Obj("ErrorEquals", []any{redriven}, "Next", s.Name)}, "End", true)) // it never succeeds
}

// cause returns a failure's cause, or "" if it has none.
func cause(failure query.Expr) query.Expr {
	given := failure.Get("Cause")
	return query.If(query.Call("exists", given), given, query.Str(""))
}

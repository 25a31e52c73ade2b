package compile

import (
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// A step can declare its output. The definition checks the output by the rules of parameters, but accepts undeclared keys: a job that
// ran for hours must not fail because of an additional key.

// problemsOf returns variables for an expression: o is the output, and p its problems as text, or "".
func problemsOf(s *pipeline.Step, output query.Expr) []query.Binding {
	o := query.Var("o")
	keys, checks := make([]string, s.Output.Len()), make([]query.Expr, s.Output.Len())
	for i := range s.Output.Entries {
		e := &s.Output.Entries[i]
		keys[i], checks[i] = e.Key, check(&e.Value.Param, o.Get(e.Key), spot{text: e.Key, output: true})
	}
	something := query.And(query.Call("exists", o), query.Op(o, "!=", query.Null))
	noObject := query.Concat(query.Str("it must be an object with the keys "+strings.Join(keys, ", ")),
		query.If(something, query.Call("got", o), query.Str(", got nothing")))
	return []query.Binding{query.Bind("o", output), query.Bind("got", query.File("got", query.Bind("most", query.Int(maxShown)))),
		query.Bind("p", query.If(notOfType(o, "object"), noObject, problemText(checks)))}
}

// checked returns accepted if the output is valid, and otherwise the result of refused for its problems. Both can use the variables of
// problemsOf.
func checked(s *pipeline.Step, output, accepted query.Expr, refused func(problems query.Expr) query.Expr) query.Expr {
	p := query.Var("p")
	return query.Block(query.If(query.Eq(p, query.Str("")), accepted, refused(p)), problemsOf(s, output)...)
}

// invalid returns the start of the cause of an invalid output.
func invalid(s *pipeline.Step) string { return "the output of step " + s.Name + " is invalid: " }

// withDefaults returns an output with the defaults of missing keys.
func withDefaults(s *pipeline.Step, output query.Expr) query.Expr {
	defaults := &value.Object{}
	for _, e := range s.Output.Entries {
		if e.Value.Default != nil {
			defaults.Set(e.Key, e.Value.Default.Value)
		}
	}
	if defaults.Len() == 0 {
		return output
	}
	return query.If(query.Eq(query.Call("type", output), query.Str("object")),
		query.Call("merge", query.Array(query.Literal(defaults), output)), output)
}

// setCheckedResult sets a step's variable and output from its state's result, on this machine. An invalid output fails the state.
func setCheckedResult(state *value.Object, s *pipeline.Step, in *scope, output query.Expr) {
	accepted := checked(s, output, withDefaults(s, query.Var("o")), func(problems query.Expr) query.Expr {
		return query.Call("error", query.Concat(query.Str(stepfn.StepOutputInvalid+": "+invalid(s)), problems))
	})
	state.Set("Assign", value.Obj(in.variable("step", s.Name), accepted.Value()))
	state.Set("Output", value.Obj(s.Name, withDefaults(s, output).Value()))
}

// retriesOutput returns the errors of a Retry rule. Step.OutputInvalid is raised by an expression, for which a Retry rule needs
// States.QueryEvaluationError in addition.
func retriesOutput(s *pipeline.Step, errors []string) []string {
	if s.Output.Len() == 0 || !slices.Contains(errors, stepfn.StepOutputInvalid) {
		return errors
	}
	return append(slices.Clone(errors), stepfn.StatesQueryEvaluationError)
}

// checkOutput adds the states that check the output of a successful job in a cluster. Their input is {"Output": ...}. An invalid output
// fails the attempt, like any other failure.
func (a *attempts) checkOutput() {
	s := a.c.steps[a.sub.step]
	end := checked(s, query.States("input", "Output"), query.Object(), func(problems query.Expr) query.Expr {
		reason := query.States("input", "Reason")
		unread := query.If(query.Call("exists", reason), query.Concat(query.Str(" (the output could not be read: "), reason, query.Str(")")), query.Str(""))
		return query.Object(query.Bind("Error", query.Str(stepfn.StepOutputInvalid)), query.Bind("Cause", query.Concat(query.Str(invalid(s)), problems, unread)))
	})
	a.put("Check output of", annotation.CheckOutput, value.Obj("Type", "Pass", "Assign", value.Obj("end", end.Value()),
		"Output", value.Obj("Output", withDefaults(s, query.States("input", "Output")).Value()), "Next", a.goTo("Accept output of")))
	failed := query.Call("exists", a.v("end").Get("Error"))
	a.put("Accept output of", annotation.CheckOutput, value.Obj("Type", "Choice", "Choices", []any{
		value.Obj("Condition", failed.Value(), "Next", a.goTo("Decide on"))}, "Default", a.goTo("Return output of")))
	a.put("Return output of", annotation.CheckOutput, value.Obj("Type", "Succeed"))
}

// succeed sets the next state of a state that ends an attempt with {"Output": ...}.
func (a *attempts) succeed(state *value.Object) *value.Object {
	if a.declares() {
		return follow(state, a.goTo("Check output of"))
	}
	return follow(state, "")
}

// declares reports whether the job belongs to a step with a declared output.
func (a *attempts) declares() bool {
	s := a.c.steps[a.sub.step]
	return s != nil && s.Output.Len() > 0 && a.sub.failure == "" && !a.sub.placing
}

package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// A step may declare its output. The definition checks it by the rules of parameters, and keeps undeclared keys: a job that ran
// for hours does not fail because of an extra key.

// problemsOf returns assignments for an expression: $o is the output, an expression itself, and $p the list of its problems as text,
// empty if there are none.
func problemsOf(s *pipeline.Step, output string) string {
	keys, checks := make([]string, s.Output.Len()), make([]string, s.Output.Len())
	for i := range s.Output.Entries {
		e := &s.Output.Entries[i]
		keys[i], checks[i] = e.Key, check(&e.Value.Param, "$o"+field(e.Key), spot{text: e.Key, output: true})
	}
	return fmt.Sprintf("$o := %s; "+
		"$got := function($x) { ', got ' & ($type($x) = 'string' ? '\"' & $substring($x, 0, %d) & '\"' : $substring($string($x), 0, %[2]d)) }; "+
		"$p := $type($o) != 'object' ? %s & ($exists($o) and $o != null ? $got($o) : ', got nothing') : $join([%s], '; '); ",
		output, maxShown, str("it must be an object with the keys "+strings.Join(keys, ", ")), strings.Join(checks, ", "))
}

// invalid begins the cause of an invalid output.
func invalid(s *pipeline.Step) string { return "the output of step " + s.Name + " is invalid: " }

// withDefaults is the expression of an output with the defaults of the keys that it lacks.
func withDefaults(s *pipeline.Step, output string) string {
	defaults := &value.Object{}
	for _, e := range s.Output.Entries {
		if e.Value.Default != nil {
			defaults.Set(e.Key, e.Value.Default.Value)
		}
	}
	if defaults.Len() == 0 {
		return output
	}
	return fmt.Sprintf("($type(%s) = 'object' ? $merge([%s, %[1]s]) : %[1]s)", output, literal(defaults))
}

// checkedResult sets a step's variable and output if the state's own result contains the job's output. An invalid output fails
// the state.
func checkedResult(state *value.Object, s *pipeline.Step, in *scope, output string) {
	state.Set("Assign", value.Obj(in.variable("step", s.Name), wrap(fmt.Sprintf("(%s$p = '' ? %s : $error(%s & $p))",
		problemsOf(s, output), withDefaults(s, "$o"), str(errOutputInvalid+": "+invalid(s))))))
	state.Set("Output", value.Obj(s.Name, wrap(withDefaults(s, output))))
}

// retriesOutput returns the error names for a retrier: an error that an expression raises has another name there.
func retriesOutput(s *pipeline.Step, errors []string) []string {
	if s.Output.Len() == 0 || !slices.Contains(errors, errOutputInvalid) {
		return errors
	}
	return append(slices.Clone(errors), stepfn.StatesQueryEvaluationError)
}

// checkOutput adds the states between a job that succeeded in a cluster, with the result {"Output": ...}, and the end of the step.
// An invalid output ends the attempt like any other failure.
func (a *attempts) checkOutput() {
	s := a.c.steps[a.t.step]
	end := fmt.Sprintf("(%s$p = '' ? {} : {'Error': '%s', 'Cause': %s & $p & "+
		"($exists($states.input.Reason) ? ' (the output could not be read: ' & $states.input.Reason & ')' : '')})",
		problemsOf(s, "$states.input.Output"), errOutputInvalid, str(invalid(s)))
	a.put("Check output of", value.Obj("Type", "Pass", "Assign", a.assign("end", wrap(end)),
		"Output", value.Obj("Output", wrap(withDefaults(s, "$states.input.Output"))), "Next", a.goTo("Accept output of")))
	a.put("Accept output of", value.Obj("Type", "Choice", "Choices", []any{
		value.Obj("Condition", wrap("$exists("+a.v("end")+".Error)"), "Next", a.goTo("Decide on"))}, "Default", a.goTo("Return output of")))
	a.put("Return output of", value.Obj("Type", "Succeed"))
}

// succeed sets what follows a state that ends an attempt with {"Output": ...}.
func (a *attempts) succeed(state *value.Object) *value.Object {
	if a.declares() {
		return follow(state, a.goTo("Check output of"))
	}
	return follow(state, "")
}

// declares reports whether the job belongs to a step with a declared output.
func (a *attempts) declares() bool {
	s := a.c.steps[a.t.step]
	return s != nil && s.Output.Len() > 0 && a.t.failure == "" && !a.t.placing
}

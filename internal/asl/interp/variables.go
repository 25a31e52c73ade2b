package interp

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxVariables is the limit of Step Functions on all variables of an execution, in bytes of their JSON texts (10 MiB). A
// single variable, and all variables that one state assigns, are limited to stepfn.MaxPayload.
const maxVariables = 10 << 20

// variableLimit checks the variables that a state is about to assign against the limits of a single variable, of the state,
// and of the execution. Names do not count; the quotes of strings do.
func (r *Run) variableLimit(f *frame, assigned *value.Object) *failure {
	sum := 0
	for i := range assigned.Len() {
		name, v := assigned.At(i)
		size := len(value.Bytes(v))
		if size > stepfn.MaxPayload {
			return variableFailure(f, "Variable size limit exceeded. Variable '%s' in state '%s' was assigned %d bytes.",
				name, f.state.Name, size)
		}
		if sum += size; sum > stepfn.MaxPayload {
			return variableFailure(f, "State total variable size limit exceeded. Variable '%s' in state '%s' was assigned %d bytes, "+
				"which caused the size of variables assigned in the state to exceed its limit by %d bytes.",
				name, f.state.Name, size, sum-stepfn.MaxPayload)
		}
	}
	if over := r.visibleSize(f, assigned) + sum - maxVariables; over > 0 {
		return variableFailure(f, "Execution total variable size limit exceeded. State '%s' assigned variables that exceed the "+
			"total execution limit by %d bytes.", f.state.Name, over)
	}
	return nil
}

// visibleSize returns the size of the variables that the line can read and that the state does not replace. Variables of
// sibling lines are not counted: there is no recording that shows whether Step Functions counts them, and in a Map with many
// lines each Assign would become expensive.
func (r *Run) visibleSize(f *frame, assigned *value.Object) int {
	sum := 0
	for line := f; ; line = r.frames[r.frames[line.parent].parent] {
		for name, d := range line.vars {
			if _, replaced := assigned.Get(name); !replaced || line != f {
				sum += len(d.bytes())
			}
		}
		if line.id == rootFrame {
			return sum
		}
	}
}

// variableFailure returns a failure whose cause does not start with the state's name (recorded).
func variableFailure(f *frame, format string, args ...any) *failure {
	return &failure{name: stepfn.StatesDataLimitExceeded, cause: fmt.Sprintf(format, args...), location: "Assign", evaluation: f.state.JSONata}
}

package interp

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxVariables is Step Functions' limit on what an execution's variables hold together, in bytes of their JSON texts. A
// single variable, and those that one state assigns, may have maxPayload.
const maxVariables = 10 << 20

// variableLimit checks what a state is about to assign. Names do not count; a string's quotes do.
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
	if over := r.kept(f, assigned) + sum - maxVariables; over > 0 {
		return variableFailure(f, "Execution total variable size limit exceeded. State '%s' assigned variables that exceed the "+
			"total execution limit by %d bytes.", f.state.Name, over)
	}
	return nil
}

// kept is the size of the variables that the line sees and the state does not replace. Those of lines beside it are not
// counted: no recording says whether they are, and a Map of many lines would pay for it with every Assign.
func (r *Run) kept(f *frame, assigned *value.Object) int {
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

// variableFailure has causes that do not begin with the state, as they were recorded.
func variableFailure(f *frame, format string, args ...any) *failure {
	return &failure{name: stepfn.StatesDataLimitExceeded, cause: fmt.Sprintf(format, args...), location: "Assign", evaluation: f.state.JSONata}
}

package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxDefinition is the maximum size of a definition in Step Functions, in bytes.
const maxDefinition = 1 << 20

// Check returns a message for each quota of Step Functions that the compiled pipeline exceeds. Step Functions itself only
// enforces most of them while an execution runs.
func Check(r *compile.Result) []string {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if r.Bounds.Events > stepfn.MaxEvents {
		add("a run can have %d events before it times out; the maximum in Step Functions is %d: shorten timeouts or reduce retry attempts",
			r.Bounds.Events, stepfn.MaxEvents)
	}
	if r.Bounds.Payload > stepfn.MaxPayload {
		add("a payload can have %d bytes; the maximum in Step Functions is %d: store large data in the storage and pass its path", r.Bounds.Payload, stepfn.MaxPayload)
	}
	for name, text := range map[string][]byte{"definition": r.Definition, "definition of the cleanup state machine": r.Cleanup} {
		if len(text) > maxDefinition {
			add("the %s has %d bytes; the maximum in Step Functions is %d", name, len(text), maxDefinition)
		}
	}
	slices.Sort(problems)
	return problems
}

// hasDistributedMap reports whether a definition has a distributed Map state, which starts child executions.
func hasDistributedMap(definition []byte) bool {
	return strings.Contains(string(definition), `"DISTRIBUTED"`)
}

// valueText returns a value as JSON text, the form in which sources pass parameters of kind Map.
func valueText(v any) string { return value.Text(v) }

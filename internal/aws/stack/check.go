package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxDefinition is what Step Functions takes as a definition, in bytes.
const maxDefinition = 1 << 20

// Check returns the limits of Step Functions that a compiled pipeline exceeds, in words, before anything is deployed.
func Check(r *compile.Result) []string {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if r.Bounds.Events > stepfn.MaxEvents {
		say("the longest run that the timeouts allow has %d events; Step Functions ends an execution at %d: shorten timeouts or lower attempts",
			r.Bounds.Events, stepfn.MaxEvents)
	}
	if r.Bounds.Payload > stepfn.MaxPayload {
		say("a payload may reach %d bytes; Step Functions takes %d: keep large things on the storage", r.Bounds.Payload, stepfn.MaxPayload)
	}
	for name, text := range map[string][]byte{"definition": r.Definition, "cleanup's definition": r.Cleanup} {
		if len(text) > maxDefinition {
			say("the %s has %d bytes; Step Functions takes %d", name, len(text), maxDefinition)
		}
	}
	slices.Sort(problems)
	return problems
}

// hasDistributedMap reports whether a definition has a Map that starts executions.
func hasDistributedMap(definition []byte) bool {
	return strings.Contains(string(definition), `"DISTRIBUTED"`)
}

// valueText is a value as the JSON text that parameters of kind object are given as.
func valueText(v any) string { return value.Text(v) }

package progress

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// warn notes which keys a condition, or the pipeline's outputs, refers to and no step returned: most often a typo. In a compiled
// definition, the output of the condition's state contains them.
func (v *View) warn(e *types.HistoryEvent) {
	d := e.StateExitedEventDetails
	if d == nil {
		return
	}
	name := aws.ToString(d.Name)
	step, condition := strings.CutPrefix(name, "When ")
	if !condition && name != "Check outputs" {
		return
	}
	var said struct {
		Condition string
		Values    json.RawMessage // only where the condition did not hold
		Missing   []string
	}
	if json.Unmarshal([]byte(aws.ToString(d.Output)), &said) != nil || condition && said.Condition == "" {
		return // an output of the step before
	}
	begin := ""
	switch {
	case condition && said.Values != nil:
		begin = "step " + step + " was skipped: its condition refers to "
	case condition:
		begin = "step " + step + " was not skipped, but its condition refers to "
	}
	for _, missing := range said.Missing {
		if text := begin + missing; !slices.Contains(v.Warnings, text) { // iterations of a Map say the same
			v.Warnings = append(v.Warnings, text)
		}
	}
}

// raised is the error of an expression. An error that a compiled definition raises itself has its own name and message, which follow
// the expression.
func raised(d *types.EvaluationFailedEventDetails) (name, cause string) {
	name, cause = aws.ToString(d.Error), aws.ToString(d.Cause)
	if _, text, ok := strings.Cut(cause, " threw an error during evaluation. D3137: "); ok && strings.HasPrefix(text, "Step.") {
		if own, sentence, ok := strings.Cut(text, ": "); ok {
			return own, sentence
		}
	}
	return name, cause
}

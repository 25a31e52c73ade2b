package progress

import (
	"encoding/json"
	"strings"
	"time"
)

// skipped is a step whose condition did not hold. What the condition was and found is in the input of the state that stands for
// it then.
func skipped(step, input string, when time.Time) *Step {
	return &Step{State: step, Status: Skipped, Ended: when, SkipReason: skipReason(input)}
}

// skipReason is a condition with its values: "steps.eval.output.acc > 0.9 (steps.eval.output.acc is 0.5)".
func skipReason(input string) string {
	var said struct {
		Condition string
		Values    json.RawMessage
	}
	if json.Unmarshal([]byte(input), &said) != nil || said.Condition == "" {
		return ""
	}
	var values []string
	d := json.NewDecoder(strings.NewReader(string(said.Values)))
	for _, _ = d.Token(); d.More(); { // in order, which a map does not keep
		name, err := d.Token()
		var v json.RawMessage
		if text, ok := name.(string); err == nil && ok && d.Decode(&v) == nil {
			values = append(values, text+" is "+string(v))
			continue
		}
		break
	}
	if len(values) == 0 {
		return said.Condition
	}
	return said.Condition + " (" + strings.Join(values, ", ") + ")"
}

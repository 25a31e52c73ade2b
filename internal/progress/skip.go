package progress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// skipped is a step whose condition did not hold. The input of the state that replaces the step contains the condition and its
// values.
func skipped(step, input string, when time.Time) *Step {
	return &Step{State: step, Status: Skipped, Ended: when, SkipReason: skipReason(input)}
}

// skipReason is a condition with its values: "steps.eval.output.acc > 0.9 (steps.eval.output.acc is 0.5)".
func skipReason(input string) string {
	var said struct {
		Condition string
		Values    json.RawMessage
	}
	if json.Unmarshal([]byte(input), &said) != nil || said.Condition == "" || said.Values == nil {
		return ""
	}
	var values []string
	d := json.NewDecoder(bytes.NewReader(said.Values)) // in order, which a map does not keep
	_, err := d.Token()
	for err == nil && d.More() {
		var name json.Token
		var v json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&v)
		}
		if err == nil {
			values = append(values, fmt.Sprintf("%v is %s", name, v))
		}
	}
	if len(values) == 0 {
		return said.Condition
	}
	return said.Condition + " (" + strings.Join(values, ", ") + ")"
}

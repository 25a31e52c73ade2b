package progress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// The states around the steps of a compiled pipeline show the parameters, the conditions that did not hold, and the references that
// found nothing.

// Begun is what a run started with. It is empty for definitions without annotations.
type Begun struct {
	Params  json.RawMessage // an object, with the defaults of those that were not given
	Storage string          // the run's directory
}

// begin folds the result of the state that reads the parameters.
func (v *View) begin(e *Event) {
	if v.Begun.Params != nil || v.says[e.Name].Role != annotation.Params {
		return
	}
	var run struct{ Storage string }
	params := []byte(e.Assigned["params"])
	if json.Unmarshal([]byte(e.Assigned["run"]), &run) == nil && json.Valid(params) { // else AWS truncated it
		v.Begun = Begun{params, run.Storage}
	}
}

// skip adds an entry of a step whose condition did not hold: its own state was not entered. The input of the state that replaces it
// contains the condition and its values.
func (v *View) skip(step string, in *frame, e *Event) {
	x := v.add(&Entry{State: v.says.mainState(step), Kind: kindSkipped, SkipReason: skipReason(e.Input)}, in, e)
	x.Ended = e.Time
	v.set(x, Skipped)
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

// warn adds a warning for each key that a condition or an output of the pipeline refers to and that no step returned, most often because
// of a typo. The output of the state contains these keys.
func (v *View) warn(e *Event) {
	says := v.says[e.Name]
	condition := says.Role == annotation.Condition
	if !condition && (says.Role != annotation.Outputs || e.stateKind() == "Succeed") { // the latter has the outputs themselves
		return
	}
	var said struct {
		Condition string
		Values    json.RawMessage // only where the condition did not hold
		Missing   []string
	}
	if json.Unmarshal([]byte(e.Output), &said) != nil || condition && said.Condition == "" {
		return // an output of the step before
	}
	begin := ""
	switch {
	case condition && said.Values != nil:
		begin = "step " + says.Step + " was skipped: its condition refers to "
	case condition:
		begin = "step " + says.Step + " was not skipped, but its condition refers to "
	}
	for _, missing := range said.Missing {
		if text := begin + missing; !slices.Contains(v.Warnings, text) { // iterations of a Map say the same
			v.Warnings = append(v.Warnings, text)
		}
	}
}

// raised is the error of an expression. An error that a compiled definition raises itself has its own name and message, which follow
// the expression.
func raised(name, cause string) (string, string) {
	if _, text, ok := strings.Cut(cause, " threw an error during evaluation. D3137: "); ok && strings.HasPrefix(text, "Step.") {
		if own, sentence, ok := strings.Cut(text, ": "); ok {
			return own, sentence
		}
	}
	return name, cause
}

package progress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// This file reads events of the states that the compiler adds around steps. They contain the parameters, the conditions that were false,
// and the references that found nothing.

// Start is the parameters and the storage of a run. It is empty for definitions without annotations.
type Start struct {
	Params  json.RawMessage // an object that includes the defaults of missing parameters
	Storage string          // the storage directory of the run
}

// begin applies the exit of the state that reads the parameters.
func (v *View) begin(e *Event) {
	if v.Start.Params != nil || v.annotations[e.Name].Role != annotation.Params {
		return
	}
	var run struct{ Storage string }
	params := []byte(e.Assigned["params"])
	if json.Unmarshal([]byte(e.Assigned["run"]), &run) == nil && json.Valid(params) { // AWS truncates long variables
		v.Start = Start{params, run.Storage}
	}
}

// skip adds an entry for a step whose condition was false, because the step's state is not entered. e is the entry of the state that is
// entered instead: its input contains the condition with its values.
func (v *View) skip(step string, in *frame, e *Event) {
	x := v.add(&Entry{State: v.annotations.mainState(step), Kind: kindSkipped, SkipReason: skipReason(e.Input)}, in, e)
	x.Ended = e.Time
	v.set(x, Skipped)
}

// skipReason formats a condition with its values: "steps.eval.output.acc > 0.9 (steps.eval.output.acc is 0.5)".
func skipReason(input string) string {
	var recorded struct {
		Condition string
		Values    json.RawMessage
	}
	if json.Unmarshal([]byte(input), &recorded) != nil || recorded.Condition == "" || recorded.Values == nil {
		return ""
	}
	var values []string
	d := json.NewDecoder(bytes.NewReader(recorded.Values)) // preserves the order, unlike a map
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
		return recorded.Condition
	}
	return recorded.Condition + " (" + strings.Join(values, ", ") + ")"
}

// warn adds a warning for each key that a condition or an output of the pipeline refers to although the step did not return it, most
// often because of a typo. The output of the state that evaluates the condition or the outputs contains these keys.
func (v *View) warn(e *Event) {
	meta := v.annotations[e.Name]
	condition := meta.Role == annotation.Condition
	if !condition && (meta.Role != annotation.Outputs || e.stateKind() == "Succeed") { // the Succeed state has the outputs themselves
		return
	}
	var recorded struct {
		Condition string
		Values    json.RawMessage // missing if the condition was true
		Missing   []string
	}
	if json.Unmarshal([]byte(e.Output), &recorded) != nil || condition && recorded.Condition == "" {
		return // not from the compiler: the output of the previous step
	}
	begin := ""
	switch {
	case condition && recorded.Values != nil:
		begin = "step " + meta.Step + " was skipped: its condition refers to "
	case condition:
		begin = "step " + meta.Step + " was not skipped, but its condition refers to "
	}
	for _, missing := range recorded.Missing {
		if text := begin + missing; !slices.Contains(v.Warnings, text) { // iterations of a Map repeat it
			v.Warnings = append(v.Warnings, text)
		}
	}
}

// ownError returns the name and the message of an error of an expression. If the compiler's expression raised the error with $error, they
// are in the cause, after the text of the expression and JSONata's error code.
func ownError(name, cause string) (string, string) {
	if _, text, ok := strings.Cut(cause, " threw an error during evaluation. D3137: "); ok && strings.HasPrefix(text, "Step.") {
		if own, sentence, ok := strings.Cut(text, ": "); ok {
			return own, sentence
		}
	}
	return name, cause
}

package progress_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// exits returns a view of Choice states that exited with outputs.
func exits(annotations progress.States, namesAndOutputs ...string) *progress.View {
	v := progress.New(annotations)
	for i := 0; i < len(namesAndOutputs); i += 2 {
		v.Add(&types.HistoryEvent{Id: int64(i + 1), PreviousEventId: int64(i), Type: types.HistoryEventTypeChoiceStateExited,
			StateExitedEventDetails: &types.StateExitedEventDetails{Name: &namesAndOutputs[i], Output: &namesAndOutputs[i+1]}})
	}
	return v
}

func TestWarnings(t *testing.T) {
	annotations := progress.States{"Check outputs": {Role: annotation.Outputs}, "Give outputs": {Role: annotation.Outputs}}
	for _, step := range []string{"a", "b", "c", "old", "text", "none", "odd"} {
		annotations["When "+step] = annotation.State{Step: step, Role: annotation.Condition}
	}
	v := exits(annotations,
		"When a", `{"condition":"x","values":{"x":1},"missing":[]}`,
		"When b", `{"condition":"x","values":{"x":null},"missing":["x, which was not returned","y, too"]}`,
		"When b", `{"condition":"x","values":{"x":null},"missing":["x, which was not returned"]}`,
		"When c", `{"condition":"x","missing":["z, which was not returned"]}`,
		"When old", `{"before":null}`,
		"When old", `{"missing":["an output of a step of that name"]}`,
		"When text", `"text"`,
		"When none", ``,
		"Elsewhere", `{"missing":["not ours"]}`,
		"When odd", `{"missing":7}`,
		"Check outputs", `{"missing":["output o refers to w, which was not returned"]}`,
	)
	want := []string{
		"step b was skipped: its condition refers to x, which was not returned",
		"step b was skipped: its condition refers to y, too",
		"step c was not skipped, but its condition refers to z, which was not returned",
		"output o refers to w, which was not returned",
	}
	if diff := cmp.Diff(want, v.Warnings); diff != "" {
		t.Error(diff)
	}
}

// If an expression of the compiler raised an error, the step has that error rather than the error of the expression.
func TestRaisedErrors(t *testing.T) {
	const expression = "An error occurred while executing the state 'a' (entered at the event id #2). The JSONata expression '$error('Step.X: no')' " +
		"specified for the field 'Arguments' threw an error during evaluation. "
	for cause, want := range map[string][2]string{
		expression + "D3137: Step.InputMissing: step a needs x: y": {"Step.InputMissing", "step a needs x: y"},
		expression + "D3137: too many":                             {"States.QueryEvaluationError", expression + "D3137: too many"},
		expression + "T2001: Step.X: no":                           {"States.QueryEvaluationError", expression + "T2001: Step.X: no"},
		"":                                                         {"States.QueryEvaluationError", ""},
	} {
		v := progress.New(nil)
		v.Add(&types.HistoryEvent{Id: 1, Type: types.HistoryEventTypeTaskStateEntered,
			StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String("a")}})
		v.Add(&types.HistoryEvent{Id: 2, PreviousEventId: 1, Type: types.HistoryEventTypeEvaluationFailed,
			EvaluationFailedEventDetails: &types.EvaluationFailedEventDetails{State: aws.String("a"),
				Error: aws.String("States.QueryEvaluationError"), Cause: &cause}})
		if got := [2]string{v.Steps()[0].Error, v.Steps()[0].Cause}; got != want {
			t.Errorf("%q is %q, want %q", cause, got, want)
		}
	}
}

package progress_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/view/progress"
)

const (
	passIn      = types.HistoryEventTypePassStateEntered
	passOut     = types.HistoryEventTypePassStateExited
	parallelIn  = types.HistoryEventTypeParallelStateEntered
	parallelOut = types.HistoryEventTypeParallelStateExited
)

// assigned adds the exit of a state that assigns a variable.
func (s *script) assigned(kind types.HistoryEventType, state, name, text string) {
	s.add(kind, -1, func(e *types.HistoryEvent) {
		e.StateExitedEventDetails = &types.StateExitedEventDetails{
			Name: aws.String(state), Output: aws.String("{}"), AssignedVariables: map[string]string{name: text},
		}
	})
}

// attempt adds an attempt of a step in a cluster, up to the running Job.
func (s *script) attempt(step, id string) {
	s.enter(passIn, "Attempt "+step, -1)
	s.assigned(passOut, "Attempt "+step, "id1_"+step, `"`+id+`"`)
	s.enter(parallelIn, "Run "+step, -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.enter(taskIn, "Submit "+step, -1)
	s.add(scheduled, -1, nil)
}

// A Parallel whose states make the attempts of a step is one step, with its attempts, its job and the job's output.
func TestStepInACluster(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(parallelIn, "train", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.attempt("train", "first")
	s.failed("States.TaskFailed", "the Job failed")
	s.exit(parallelOut, "Run train", "{}", -1)
	s.enter(taskIn, "Ask why train failed", -1) // has no annotation: not a state of the step
	s.enter(taskIn, "Ask why failed train", -1)
	s.assigned(taskOut, "Ask why failed train", "end1_train", `{"Error": "Ray.JobFailed", "Cause": "exit code 1"}`)
	s.enter(types.HistoryEventTypeWaitStateEntered, "Wait to retry train", -1)
	if got := s.view().Steps()[0]; got.Status != "retrying" || got.Error != "Ray.JobFailed" || got.Cause != "exit code 1" {
		t.Errorf("while it waits to retry: %+v", got)
	}
	s.attempt("train", "second")
	s.exit(taskOut, "Submit train", `{"Output":{"loss":1}}`, -1)
	s.exit(parallelOut, "Run train", `{"Output":{"loss":1}}`, -1)
	s.exit(parallelOut, "train", `{"train":{"loss":1}}`, -1)
	v := s.view()
	step := v.Steps()[0]
	if step.Name != "train" || step.Status != "succeeded" || step.Attempt != 2 || step.Error != "" || step.Output != `{"loss":1}` ||
		step.Job.SubmissionID != "second" || !step.IsStep() {
		t.Errorf("%+v", step)
	}
	first, second := step.Tasks(1), step.Tasks(2)
	if len(first) != 1 || len(second) != 1 || first[0] >= second[0] || s.events[first[0]-1].Type != scheduled {
		t.Errorf("tasks that may have the logs: %v and %v", first, second)
	}
}

// A Parallel of several steps is not a step itself.
func TestGroupOfSteps(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(parallelIn, "both", -1)
	branches := s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.enter(taskIn, "left", branches)
	s.enter(taskIn, "right", branches)
	var names []string
	for _, step := range s.view().Steps() {
		names = append(names, step.Name)
	}
	if diff := cmp.Diff([]string{"left", "right"}, names); diff != "" {
		t.Error(diff)
	}
}

// A step that is followed by its cleanup stays failed.
func TestGivenUpAndCaught(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(parallelIn, "train", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.attempt("train", "first")
	s.assigned(taskOut, "Submit train", "end1_train", `{"Error": "Ray.HeadLost", "Cause": "it went"}`)
	s.exit(parallelOut, "Run train", "{}", -1)
	s.enter(types.HistoryEventTypeFailStateEntered, "Give up train", -1)
	s.add(types.HistoryEventTypeParallelStateFailed, -1, nil)
	s.exit(parallelOut, "train", "{}", -1)
	s.enter(parallelIn, "Clean up after train", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.enter(passIn, "Begin cleaning up after train", -1)
	v := s.view()
	if got := v.Steps()[0]; got.Status != "failed" || got.Error != "Ray.HeadLost" {
		t.Errorf("%+v", got)
	}
	if got := v.Steps()[1]; got.Name != "Clean up after train" || got.Status != "pending" {
		t.Errorf("%+v", got)
	}
}

// If the inner Parallel that watches the pod gives up, the step does not end: another attempt can follow.
func TestGivenUpByWatch(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(parallelIn, "train", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.attempt("train", "first")
	s.enter(types.HistoryEventTypeFailStateEntered, "Give up train", -1)
	s.add(types.HistoryEventTypeParallelStateFailed, -1, nil)
	s.exit(parallelOut, "Run train", "{}", -1)
	s.attempt("train", "second")
	s.exit(parallelOut, "Run train", `{"Output":1}`, -1)
	s.exit(parallelOut, "train", `{"train":1}`, -1)
	if got := s.view().Steps()[0]; got.Status != "succeeded" || got.Attempt != 2 || got.Output != "1" {
		t.Errorf("%+v", got)
	}
}

// A redrive resumes two concurrent steps: one that had given up, which starts again from the beginning, and one that was stopped, which
// continues.
func TestRedriveInACluster(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(parallelIn, "both", -1)
	group := s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.enter(parallelIn, "calm", group)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.attempt("calm", "one")
	s.enter(parallelIn, "train", group)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.attempt("train", "first")
	s.enter(types.HistoryEventTypeFailStateEntered, "Give up train", -1)
	s.add(types.HistoryEventTypeParallelStateFailed, -1, nil)
	s.add(types.HistoryEventTypeParallelStateFailed, -1, nil)
	s.add(types.HistoryEventTypeExecutionFailed, -1, nil)
	again := s.add(types.HistoryEventTypeExecutionRedriven, -1, nil)
	s.add(scheduled, again, nil)
	s.exit(taskOut, "Submit calm", `{"Output":1}`, -1)
	s.enter(passIn, "Hand over output of calm", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, again, nil)
	s.enter(passIn, "Begin train", -1)
	s.attempt("train", "second")
	v := s.view()
	var got []string
	for _, step := range v.Steps() {
		got = append(got, step.Name+" "+string(step.Status)+" "+step.Job.SubmissionID)
	}
	if diff := cmp.Diff([]string{"calm running one", "train pending second"}, got); diff != "" {
		t.Error(diff)
	}
}

// The status of a Ray job is in the variable that contains the job's record.
func TestPendingInACluster(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(parallelIn, "train", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.attempt("train", "first")
	for _, c := range []struct {
		job  string
		want progress.Status
	}{{`{}`, progress.Pending}, {`{"status":"PENDING"}`, progress.Pending}, {`{"status":""}`, progress.Pending}, {`{"status":"RUNNING"}`, progress.Running}} {
		s.enter(taskIn, "Look at train", -1)
		s.assigned(taskOut, "Look at train", "job1_train", c.job)
		if got := s.view().Steps()[0].Status; got != c.want {
			t.Errorf("%s: %s, want %s", c.job, got, c.want)
		}
	}
}

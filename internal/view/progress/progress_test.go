package progress_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// annotations are the annotations of the states that these tests enter.
var annotations = func() progress.States {
	all := progress.States{
		"When promote": {Step: "promote", Role: annotation.Condition}, "Skip promote": {Step: "promote", Role: annotation.Skip},
	}
	for _, step := range []string{"train", "calm"} {
		for of, scope := range map[string]annotation.Scope{step: "", "cleaning up after " + step: annotation.OnFailure} {
			for words, role := range map[string]annotation.Role{
				"Begin": annotation.Begin, "Attempt": annotation.Attempt, "Run": annotation.Watch, "Submit": annotation.Submit,
				"Look for pod of": annotation.PollStart, "Leave alone": annotation.Started, "Look at": annotation.Poll,
				"Ask why failed": annotation.Diagnose, "Hand over output of": annotation.ReadOutput, "Wait to retry": annotation.Retry,
				"Give up": annotation.GiveUp,
			} {
				all[words+" "+of] = annotation.State{Step: step, Role: role, Scope: scope}
			}
		}
		all[step] = annotation.State{Step: step, Role: annotation.Run}
		all["Clean up after "+step] = annotation.State{Step: step, Role: annotation.Run, Scope: annotation.OnFailure}
	}
	return all
}()

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// script builds a history with one event per second. If previous is negative, an event follows the one before it.
type script struct{ events []types.HistoryEvent }

func (s *script) add(kind types.HistoryEventType, previous int64, fill func(*types.HistoryEvent)) int64 {
	id := int64(len(s.events) + 1)
	if previous < 0 {
		previous = id - 1
	}
	e := types.HistoryEvent{Id: id, PreviousEventId: previous, Type: kind, Timestamp: aws.Time(start.Add(time.Duration(id) * time.Second))}
	if fill != nil {
		fill(&e)
	}
	s.events = append(s.events, e)
	return id
}

func (s *script) enter(kind types.HistoryEventType, name string, previous int64) int64 {
	return s.add(kind, previous, func(e *types.HistoryEvent) {
		e.StateEnteredEventDetails = &types.StateEnteredEventDetails{Name: aws.String(name)}
	})
}

func (s *script) exit(kind types.HistoryEventType, name, output string, previous int64) int64 {
	return s.add(kind, previous, func(e *types.HistoryEvent) {
		e.StateExitedEventDetails = &types.StateExitedEventDetails{Name: aws.String(name), Output: aws.String(output)}
	})
}

func (s *script) submitted(output string) int64 {
	return s.add(types.HistoryEventTypeTaskSubmitted, -1, func(e *types.HistoryEvent) {
		e.TaskSubmittedEventDetails = &types.TaskSubmittedEventDetails{Output: aws.String(output)}
	})
}

func (s *script) failed(name, cause string) int64 {
	return s.add(types.HistoryEventTypeTaskFailed, -1, func(e *types.HistoryEvent) {
		e.TaskFailedEventDetails = &types.TaskFailedEventDetails{Error: aws.String(name), Cause: aws.String(cause)}
	})
}

func (s *script) view() *progress.View {
	v := progress.New(annotations)
	for i := range s.events {
		v.Add(&s.events[i])
		v.Add(&s.events[i]) // adding an event again has no effect
	}
	return v
}

// lines returns one line per step.
func lines(v *progress.View) []string {
	var out []string
	for _, s := range v.Steps() {
		out = append(out, fmt.Sprintf("%s %s attempt=%d took=%s error=%s output=%s",
			s.Name, s.Status, s.Attempt, s.Duration(start.Add(time.Hour)), s.Error, s.Output))
	}
	return out
}

const (
	started   = types.HistoryEventTypeExecutionStarted
	taskIn    = types.HistoryEventTypeTaskStateEntered
	taskOut   = types.HistoryEventTypeTaskStateExited
	scheduled = types.HistoryEventTypeTaskScheduled
	succeeded = types.HistoryEventTypeTaskSucceeded
)

func TestRetryThenSuccess(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(taskIn, "train", 0)
	s.add(scheduled, -1, nil)
	s.submitted(`{"SubmissionId":"a-1","Address":"http://127.0.0.1:8265/"}`)
	s.failed("Ray.JobFailed", "boom")
	if got := lines(s.view()); got[0] != "train retrying attempt=1 took=59m58s error=Ray.JobFailed output=" {
		t.Fatal(got)
	}
	s.add(scheduled, -1, nil)
	s.submitted(`{"SubmissionId":"a-2","Address":"http://127.0.0.1:8265/"}`)
	s.add(succeeded, -1, func(e *types.HistoryEvent) {
		e.TaskSucceededEventDetails = &types.TaskSucceededEventDetails{Output: aws.String(`{"SubmissionId":"a-2","Address":"http://127.0.0.1:8265/","Output":{"loss":1}}`)}
	})
	s.exit(taskOut, "train", `{"train":{"loss":1}}`, -1)
	v := s.view()
	want := []string{`train succeeded attempt=2 took=7s error= output={"loss":1}`}
	if diff := cmp.Diff(want, lines(v)); diff != "" {
		t.Fatal(diff)
	}
	if got := v.Steps()[0].Job.Dashboard(); got != "http://127.0.0.1:8265/#/jobs/a-2" {
		t.Fatal(got)
	}
}

func TestConcurrentIterations(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(types.HistoryEventTypeMapStateEntered, "each", 0)
	m := s.add(types.HistoryEventTypeMapStateStarted, -1, nil)
	var in [2]int64
	for i := range in {
		it := s.add(types.HistoryEventTypeMapIterationStarted, m, func(e *types.HistoryEvent) {
			e.MapIterationStartedEventDetails = &types.MapIterationEventDetails{Name: aws.String("each"), Index: int32(i)}
		})
		in[i] = s.enter(taskIn, "eval", it)
	}
	a := s.add(scheduled, in[0], nil)
	b := s.add(scheduled, in[1], nil)
	out := s.exit(taskOut, "eval", "1", b)
	s.add(types.HistoryEventTypeMapIterationSucceeded, out, nil)
	fail := s.add(types.HistoryEventTypeTaskFailed, a, func(e *types.HistoryEvent) {
		e.TaskFailedEventDetails = &types.TaskFailedEventDetails{Error: aws.String("Ray.JobFailed")}
	})
	s.exit(taskOut, "eval", "2", fail)
	want := []string{
		"eval[0] caught attempt=1 took=8s error=Ray.JobFailed output=2",
		"eval[1] succeeded attempt=1 took=3s error= output=1",
	}
	if diff := cmp.Diff(want, lines(s.view())); diff != "" {
		t.Fatal(diff)
	}
}

func TestEndOfExecutionClosesOpenSteps(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  types.HistoryEventType
		fail bool
		want progress.Status
	}{
		{"failed", types.HistoryEventTypeExecutionFailed, true, progress.Failed},
		{"aborted", types.HistoryEventTypeExecutionAborted, false, progress.Cancelled},
		{"timed out", types.HistoryEventTypeExecutionTimedOut, false, progress.Cancelled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s script
			s.add(started, 0, nil)
			s.enter(taskIn, "train", 0)
			s.add(scheduled, -1, nil)
			if tc.fail {
				s.failed("Ray.JobFailed", "boom")
			}
			s.add(tc.end, -1, nil)
			v := s.view()
			if got := v.Steps()[0].Status; got != tc.want {
				t.Errorf("status %s, want %s", got, tc.want)
			}
			if v.Steps()[0].Ended != v.Stopped || v.Status == types.ExecutionStatusRunning {
				t.Errorf("the view is not closed: %+v", v)
			}
		})
	}
}

func (s *script) iteration(kind types.HistoryEventType, name string, index int32, previous int64) int64 {
	return s.add(kind, previous, func(e *types.HistoryEvent) {
		d := &types.MapIterationEventDetails{Name: aws.String(name), Index: index}
		if kind == types.HistoryEventTypeMapIterationStarted {
			e.MapIterationStartedEventDetails = d
		} else {
			e.MapIterationSucceededEventDetails = d
		}
	})
}

// Iterations that run one after the other, each following the end of the previous one, are not nested in each other.
func TestSequentialIterations(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(types.HistoryEventTypeMapStateEntered, "each", 0)
	s.add(types.HistoryEventTypeMapStateStarted, -1, nil)
	for i := range int32(3) {
		s.iteration(types.HistoryEventTypeMapIterationStarted, "each", i, -1)
		s.enter(taskIn, "one", -1)
		s.add(scheduled, -1, nil)
		s.exit(taskOut, "one", "1", -1)
		s.iteration(types.HistoryEventTypeMapIterationSucceeded, "each", i, -1)
	}
	s.exit(types.HistoryEventTypeMapStateExited, "each", "[]", -1)
	s.enter(taskIn, "after", -1)
	var names []string
	for _, st := range s.view().Steps() {
		names = append(names, st.Name)
	}
	if diff := cmp.Diff([]string{"one[0]", "one[1]", "one[2]", "after"}, names); diff != "" {
		t.Fatal(diff)
	}
}

// The failure of a Parallel does not change the branch that failed first, and cancels the others.
func TestParallelFailure(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(types.HistoryEventTypeParallelStateEntered, "both", 0)
	p := s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.enter(taskIn, "good", p)
	s.enter(taskIn, "bad", p)
	s.add(scheduled, -1, nil)
	s.failed("Ray.JobFailed", "boom")
	s.add(types.HistoryEventTypeParallelStateFailed, -1, nil)
	s.exit(types.HistoryEventTypeParallelStateExited, "both", "{}", -1)
	s.add(types.HistoryEventTypeExecutionFailed, -1, nil)
	want := []string{"good cancelled attempt=0 took=4s error= output=", "bad failed attempt=1 took=3s error=Ray.JobFailed output="}
	if diff := cmp.Diff(want, lines(s.view())); diff != "" {
		t.Fatal(diff)
	}
}

// A redrive resumes two iterations that an abort stopped. The events of the resumed tasks follow the old entries or, in histories of
// earlier releases, the redrive.
func TestRedriveAfterAbort(t *testing.T) {
	for _, followsEntry := range []bool{true, false} {
		redriveAfterAbort(t, followsEntry)
	}
}

func redriveAfterAbort(t *testing.T, followsEntry bool) {
	t.Helper()
	var s script
	var entries []int64
	s.add(types.HistoryEventTypeExecutionStarted, 0, nil)
	entered := s.enter(types.HistoryEventTypeMapStateEntered, "each", -1)
	for i := range 2 {
		begun := s.add(types.HistoryEventTypeMapIterationStarted, entered, func(e *types.HistoryEvent) {
			e.MapIterationStartedEventDetails = &types.MapIterationEventDetails{Name: aws.String("each"), Index: int32(i)}
		})
		entries = append(entries, s.enter(types.HistoryEventTypeTaskStateEntered, "work", begun))
		s.add(types.HistoryEventTypeTaskScheduled, -1, nil)
	}
	s.add(types.HistoryEventTypeExecutionAborted, 0, nil)
	again := s.add(types.HistoryEventTypeExecutionRedriven, -1, nil)
	for i := range 2 {
		if followsEntry {
			again = entries[i]
		}
		s.add(types.HistoryEventTypeTaskScheduled, again, nil)
		s.submitted(fmt.Sprintf(`{"Id":"again-%d"}`, i))
		if i == 0 {
			s.exit(types.HistoryEventTypeTaskStateExited, "work", "1", -1)
		}
	}
	v := s.view()
	if len(v.Steps()) != 2 {
		t.Fatalf("got %d steps, want 2", len(v.Steps()))
	}
	for i, want := range []progress.Status{progress.Succeeded, progress.Running} {
		got := v.Steps()[i]
		if got.Status != want || got.Attempt != 2 || got.Job.ID != fmt.Sprintf("again-%d", i) || got.Ended.IsZero() != (want == progress.Running) {
			t.Errorf("step %d: %+v", i, got)
		}
	}
}

// A skipped step has its condition, with the values in the order in which the condition refers to them.
func TestSkipped(t *testing.T) {
	all := `{"condition": "steps.eval.output.acc > params.least", "values": {"steps.eval.output.acc": 0.5, "params.least": null}, "missing": []}`
	for input, want := range map[string]string{
		all:                                    "steps.eval.output.acc > params.least (steps.eval.output.acc is 0.5, params.least is null)",
		`{"condition": "false", "values": {}}`: "false",
		`{"condition": "params.x"}`:            "", // the output of a step named condition
		`{"eval": {"acc": 0.5}}`:               "", // from a definition that does not record the condition
		`[1]`:                                  "",
	} {
		var s script
		s.add(started, 0, nil)
		s.enter(types.HistoryEventTypeChoiceStateEntered, "When promote", -1)
		s.exit(types.HistoryEventTypeChoiceStateExited, "When promote", input, -1)
		s.add(passIn, -1, func(e *types.HistoryEvent) {
			e.StateEnteredEventDetails = &types.StateEnteredEventDetails{Name: aws.String("Skip promote"), Input: aws.String(input)}
		})
		s.exit(passOut, "Skip promote", `{"promote":null}`, -1)
		v := s.view()
		if len(v.Steps()) != 1 {
			t.Fatalf("got %d steps, want 1", len(v.Steps()))
		}
		got := v.Steps()[0]
		if got.Name != "promote" || got.Status != progress.Skipped || got.SkipReason != want || got.Ended != got.Entered || got.Attempt != 0 {
			t.Errorf("%s: %+v", input, got)
		}
	}
}

// A task that a service runs later is pending until the service has accepted it. Other tasks run when they have started.
func TestPendingUntilSubmitted(t *testing.T) {
	for resource, want := range map[string]progress.Status{
		"submitJob.sync": progress.Pending, "sendMessage.waitForTaskToken": progress.Pending, "stopJobs": progress.Running,
	} {
		var s script
		s.add(started, 0, nil)
		s.enter(taskIn, "train", -1)
		s.add(scheduled, -1, nil)
		s.add(types.HistoryEventTypeTaskStarted, -1, func(e *types.HistoryEvent) {
			e.TaskStartedEventDetails = &types.TaskStartedEventDetails{Resource: aws.String(resource)}
		})
		if got := s.view().Steps()[0]; got.Status != want || got.Scheduled != start.Add(3*time.Second) {
			t.Errorf("%s: %+v", resource, got)
		}
		s.submitted(`{"Id":"x"}`)
		if got := s.view().Steps()[0].Status; got != progress.Running {
			t.Errorf("%s, after TaskSubmitted: %s", resource, got)
		}
	}
}

// Events in a random order, which no execution produces, cause no panic, and exactly the entries that have ended have an end time.
func TestAnyHistory(t *testing.T) {
	kinds := types.HistoryEventType("").Values()
	names := []string{"a", "b", "c", "d"}
	roles := []annotation.Role{annotation.Run, annotation.Condition, annotation.Skip, annotation.Fail, annotation.Group, annotation.Try, annotation.Tolerated,
		annotation.Refuse, annotation.Begin, annotation.Attempt, annotation.Submit, annotation.Poll, annotation.GiveUp, annotation.Retry, annotation.Started}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		name := func() *string { return aws.String(names[r.IntN(len(names))]) }
		annotations := progress.States{}
		for _, n := range names {
			annotations[n] = annotation.State{Step: names[r.IntN(2)], Role: roles[r.IntN(len(roles))], Scope: []annotation.Scope{"", annotation.OnFailure}[r.IntN(2)]}
		}
		v := progress.New(annotations)
		for id := int64(1); id < 60; id++ {
			e := types.HistoryEvent{Id: id, PreviousEventId: r.Int64N(id), Type: kinds[r.IntN(len(kinds))], Timestamp: aws.Time(start)}
			if r.IntN(2) == 0 {
				e.PreviousEventId = id - 1
			}
			switch kind := string(e.Type); {
			case strings.HasSuffix(kind, "StateEntered"):
				e.StateEnteredEventDetails = &types.StateEnteredEventDetails{Name: name()}
			case strings.HasSuffix(kind, "StateExited"):
				e.StateExitedEventDetails = &types.StateExitedEventDetails{Name: name(), AssignedVariables: map[string]string{"job": `{"status":"RUNNING"}`, "end": `{"Error":"x"}`}}
			case kind == "MapIterationStarted":
				e.MapIterationStartedEventDetails = &types.MapIterationEventDetails{Name: name(), Index: r.Int32N(3)}
			case kind == "MapIterationFailed":
				e.MapIterationFailedEventDetails = &types.MapIterationEventDetails{Name: name(), Index: r.Int32N(3)}
			case kind == "EvaluationFailed":
				e.EvaluationFailedEventDetails = &types.EvaluationFailedEventDetails{State: name()}
			case kind == "ExecutionSucceeded":
				e.ExecutionSucceededEventDetails = &types.ExecutionSucceededEventDetails{}
			}
			v.Add(&e)
			for _, s := range v.Entries {
				if s.Status.Ended() == s.Ended.IsZero() {
					t.Fatalf("seed %d, after %s: %+v", seed, e.Type, s)
				}
			}
		}
	}
}

package progress_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/view/progress"
)

func TestShowWaiting(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(types.HistoryEventTypeTaskStateEntered, "train", -1)
	event := s.add(scheduled, -1, nil)
	v := s.view()
	v.ShowWaiting([]progress.Waiting{{Event: event, Reason: "the previous attempt is being stopped"}})
	v.ShowWaiting(nil)
	if got := v.Steps()[0]; got.Status != progress.Pending || got.Waiting != nil {
		t.Errorf("before submission: %+v", got)
	}
	s.add(types.HistoryEventTypeTaskSubmitted, -1, func(e *types.HistoryEvent) {
		e.TaskSubmittedEventDetails = &types.TaskSubmittedEventDetails{Output: aws.String(`{"SubmissionId":"one"}`)}
	})
	v = s.view()
	since := time.Now()
	v.ShowWaiting([]progress.Waiting{{Event: event, Since: since, Reason: "no room"}, {Event: 99, Reason: "of another view"}})
	if got := v.Steps()[0]; got.Status != progress.Pending || got.Waiting == nil || got.Waiting.Reason != "no room" {
		t.Errorf("while it waits: %+v", got)
	}
	if got := v.Steps()[0].Waiting.Duration(since.Add(time.Minute)); got != time.Minute {
		t.Errorf("waited for %s, want 1m", got)
	}
	v.ShowWaiting(nil)
	if got := v.Steps()[0]; got.Status != progress.Running || got.Waiting != nil {
		t.Errorf("after waiting: %+v", got)
	}
	s.add(types.HistoryEventTypeExecutionAborted, -1, nil)
	v = s.view()
	v.ShowWaiting([]progress.Waiting{{Event: event, Since: since, Reason: "no room"}})
	if got := v.Steps()[0]; got.Status != progress.Cancelled || got.Waiting != nil {
		t.Errorf("after the end of the execution: %+v", got)
	}
}

// In a cluster, the results of the states inside a step contain the reason why the step waits.
func TestWaitingInACluster(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(parallelIn, "train", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.enter(passIn, "Attempt train", -1)
	for _, c := range []struct{ state, name, text, output, want string }{
		{"Attempt train", "job1_train", `{}`, "{}", ""},
		{"Look for pod of train", "", "", `{"started": false, "why": "Unschedulable: no node"}`, "Unschedulable: no node"},
		{"Look at train", "job1_train", `{"status": "", "deployment": "Suspended", "reason": "", "message": ""}`, "{}", "RayJob Suspended"},
		{"Look at train", "job1_train", `{"status": "PENDING", "message": "Job has not started yet."}`, "{}", "Job has not started yet."},
		{"Look at train", "job1_train", `{"status": "RUNNING", "message": "Job is currently running."}`, "{}", ""},
	} {
		s.enter(taskIn, c.state, -1)
		s.add(taskOut, -1, func(e *types.HistoryEvent) {
			e.StateExitedEventDetails = &types.StateExitedEventDetails{Name: aws.String(c.state), Output: aws.String(c.output)}
			if c.name != "" {
				e.StateExitedEventDetails.AssignedVariables = map[string]string{c.name: c.text}
			}
		})
		v := s.view()
		v.ShowWaiting(nil) // the engine reports nothing
		got := ""
		if st := v.Steps()[0]; st.Status == progress.Pending && st.Waiting != nil {
			if got = st.Waiting.Reason; st.Waiting.Since.IsZero() {
				t.Error("Since is zero")
			}
		}
		if got != c.want {
			t.Errorf("after %s %s%s: %q, want %q", c.state, c.text, c.output, got, c.want)
		}
	}
}

// If a task inside a step waits, the step waits.
func TestShowWaitingInACluster(t *testing.T) {
	var s script
	s.add(started, 0, nil)
	s.enter(types.HistoryEventTypeParallelStateEntered, "train", -1)
	s.add(types.HistoryEventTypeParallelStateStarted, -1, nil)
	s.enter(passIn, "Attempt train", -1)
	s.enter(types.HistoryEventTypeTaskStateEntered, "Run train", -1)
	event := s.add(scheduled, -1, nil)
	v := s.view()
	v.ShowWaiting([]progress.Waiting{{Event: event, Reason: "no node has room"}})
	if got := v.Steps()[0]; len(v.Steps()) != 1 || got.Name != "train" || got.Status != progress.Pending || got.Waiting == nil {
		t.Errorf("%+v", got)
	}
}

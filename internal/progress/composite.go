package progress

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// A Parallel state may stand for one step of a pipeline in a cluster. The names of the states inside it then end with its name, as in
// "Submit train". This distinguishes it from a group of steps: users see it as one step.

// of returns what the names of the states inside end with.
func (s *scope) of() string {
	if step, ok := strings.CutPrefix(s.state, "Clean up after "); ok {
		return "cleaning up after " + step
	}
	if s.state == "Place files" {
		return "placing of files"
	}
	return s.state
}

// words returns what a state inside does for the step.
func (s *scope) words(state string) (string, bool) { return strings.CutSuffix(state, " "+s.of()) }

// around returns the nearest scope that stands for a step and contains a state.
func (s *scope) around(state string) *scope {
	for ; s != nil; s = s.outer {
		if _, ok := s.words(state); ok && s.parallel {
			return s
		}
	}
	return nil
}

// enterInside folds the entry of a state inside.
func (v *View) enterInside(c *scope, state string, when time.Time) {
	if c.step == nil {
		c.step = &Step{State: c.state, Status: Pending, Inside: true}
		v.add(c.step, c.outer, c.entered)
	}
	c.reopen()
	switch words, _ := c.words(state); words {
	case "Attempt":
		c.step.begin(when)
		c.failed = false
	case "Leave alone": // its pod has started
		c.step.runs()
	case "Wait to retry":
		c.step.fails()
	case "Give up":
		c.step.fails()
		c.failed = true // unless the step's exit shows that it was caught
	}
}

// reopen folds the resumption of the step by a redrive.
func (s *scope) reopen() {
	if s.step.Status.undone() {
		s.step.Status, s.step.Ended, s.failed = Running, time.Time{}, false
	}
}

// event folds an event of a state inside that is not a Map or Parallel.
func (s *scope) event(e *types.HistoryEvent, state string, when time.Time) {
	kind := string(e.Type)
	switch {
	case e.StateExitedEventDetails != nil:
		s.exitInside(e.StateExitedEventDetails)
	case e.Type == types.HistoryEventTypeTaskScheduled:
		s.reopen()
		s.scheduled(state, when)
	case strings.HasSuffix(kind, "Failed"), strings.HasSuffix(kind, "TimedOut"):
		s.failure, s.cause = failure(e)
	}
}

// fails folds the failure of the Parallel or Map.
func (s *scope) fails() {
	if s.step == nil {
		return
	}
	if !s.failed {
		s.failed, s.step.Error, s.step.Cause = true, s.failure, s.cause
	}
	s.step.fails()
}

// scheduled records a task that may have the log of the job: the task that runs the job, or a call about the job.
func (s *scope) scheduled(state string, when time.Time) {
	switch words, _ := s.words(state); words {
	case "Submit", "Run", "Look at":
		s.step.Logs = append(s.step.Logs, LogAt{state, s.step.Attempt, when})
	}
}

// exitInside folds the result of a state inside. The prefix of a variable's name says what the variable holds: id the job's ID, end
// how an attempt failed, job the status of the job in Ray.
func (s *scope) exitInside(d *types.StateExitedEventDetails) {
	for _, name := range slices.Sorted(maps.Keys(d.AssignedVariables)) {
		text := d.AssignedVariables[name]
		var end struct{ Error, Cause string }
		var job rayJob
		switch {
		case strings.HasPrefix(name, "id"):
			_ = json.Unmarshal([]byte(text), &s.step.Job.SubmissionID) // otherwise, it is another ID
		case strings.HasPrefix(name, "end") && json.Unmarshal([]byte(text), &end) == nil && end.Error != "":
			s.step.Error, s.step.Cause = end.Error, end.Cause
		case strings.HasPrefix(name, "job") && json.Unmarshal([]byte(text), &job) == nil:
			if job.runs() {
				s.step.runs()
			}
			s.step.waits(job.pending())
		}
	}
	var given map[string]json.RawMessage
	if json.Unmarshal([]byte(aws.ToString(d.Output)), &given) == nil && len(given) == 1 && given["Output"] != nil {
		s.step.Job.Output = given["Output"]
	}
	var pod struct{ Why string }
	if words, _ := s.words(aws.ToString(d.Name)); words == "Look for pod of" {
		_ = json.Unmarshal([]byte(aws.ToString(d.Output)), &pod) // otherwise, the reason is unknown
		s.step.waits(pod.Why)
	}
}

// rayJob is what the definition keeps of a Ray job's record, or of a RayJob's status.
type rayJob struct{ Status, Deployment, Reason, Message string }

func (j *rayJob) runs() bool { return j.Status != "" && j.Status != "PENDING" }

// pending returns the reason why the job does not run yet, "" if unknown.
func (j *rayJob) pending() string {
	switch {
	case j.Status == "PENDING":
		return j.Message
	case j.Status == "" && j.Deployment != "":
		return strings.Join(slices.DeleteFunc([]string{"RayJob " + j.Deployment, j.Reason, j.Message}, func(s string) bool { return s == "" }), ": ")
	}
	return ""
}

// leave folds the end of the state itself and returns the step that it stands for, if any.
func (s *scope) leave(output string, when time.Time) *Step {
	if s.step == nil {
		return nil
	}
	if !s.failed {
		s.step.Error, s.step.Cause = "", ""
	}
	s.step.exit(output, s.failed, when)
	return s.step
}

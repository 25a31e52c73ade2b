// Package progress folds an execution's history into what a person wants to see: each step with its status, attempt,
// times, output and error. It reads the Step Functions API's own events, so that it tells the same story of an execution
// here, on Kubernetes and on AWS. The terminal view and the console's server use it; it draws nothing itself.
package progress

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Status of a step, in the words of the console's legend.
type Status string

// The statuses.
const (
	Running   Status = "running"
	Retrying  Status = "retrying"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Caught    Status = "caught"
	Cancelled Status = "cancelled"
)

// Ended says that the status will not change again.
func (s Status) Ended() bool { return s != Running && s != Retrying }

// Step is one entry of a Task or Wait state, or of a Parallel that stands for a step: what a pipeline calls a step. A state that is entered twice (a loop, a Map
// iteration) makes two.
type Step struct {
	Name    string    // the state's name, with [index] inside a Map
	State   string    // the state's name alone
	Wait    bool      // a Wait state, not a Task
	Inside  bool      // a Parallel whose states inside do the step's work
	Status  Status    //
	Attempt int       // from 1; 0 before the first
	Entered time.Time //
	Ended   time.Time // zero while it runs
	Output  string    // JSON of what the job gave back, or of the state's output where the task is no job of ours
	Error   string    // of the last failed attempt
	Cause   string    //
	Job     Job       // the newest attempt's
	Logs    []LogAt   // of a step with states inside: which of them may have the log, in order
}

// LogAt is a task inside a step that may have the log of an attempt of the step.
type LogAt struct {
	State   string
	Attempt int // the step's
	At      time.Time
}

// Duration is how long the step has taken, up to now while it runs.
func (s *Step) Duration(now time.Time) time.Duration {
	if !s.Ended.IsZero() {
		now = s.Ended
	}
	return max(0, now.Sub(s.Entered))
}

// Job is what an attempt started outside: taken from the output that its submission or its end showed.
type Job struct {
	SubmissionID string `json:"SubmissionId"`
	Address      string `json:"Address"`
	ID           string `json:"Id"`
	Pid          int    `json:"Pid"`

	// Output is what the job gave back; only the task's end shows it.
	Output json.RawMessage `json:"Output"`
}

// Dashboard is the page of Ray's dashboard that shows the job, or empty.
func (j Job) Dashboard() string {
	if j.SubmissionID == "" || j.Address == "" {
		return ""
	}
	return strings.TrimSuffix(j.Address, "/") + "/#/jobs/" + j.SubmissionID
}

// View is the fold: feed it every event once, in order.
type View struct {
	Steps   []*Step
	Status  types.ExecutionStatus
	Started time.Time
	Stopped time.Time
	Output  string
	Error   string
	Cause   string
	Last    int64 // id of the last event seen

	// Warnings are sentences about references that found nothing, where that failed no step.
	Warnings []string

	at       map[int64]place
	stood    map[*Step]place
	redriven int64   // the newest ExecutionRedriven
	undone   []place // steps that it takes up again

	composites []*composite // all that were entered, in order
}

// place is where an event stands: the step that it belongs to, if any, and the Map iterations around it, the outermost
// first.
type place struct {
	step *Step
	in   []iteration
	of   *composite // the innermost Parallel around, which may stand for a step
	at   string     // the state inside that composite
}

type iteration struct {
	of    string // the Map state's name
	index int32
}

// outside is the place without the iterations of a Map and of all that is inside it. An iteration may follow upon
// another one's end, or a later state upon an iteration's, so that events do not say by their order what they are in.
func (p place) outside(name string) []iteration {
	for i, it := range p.in {
		if it.of == name {
			return p.in[:i:i]
		}
	}
	return p.in
}

func suffix(in []iteration) string {
	var b strings.Builder
	for _, it := range in {
		fmt.Fprintf(&b, "[%d]", it.index)
	}
	return b.String()
}

// New makes an empty view of a running execution.
func New() *View {
	return &View{Status: types.ExecutionStatusRunning, at: map[int64]place{}, stood: map[*Step]place{}}
}

// Add folds one event.
func (v *View) Add(e *types.HistoryEvent) {
	if e.Id <= v.Last {
		return
	}
	v.Last = e.Id
	p := v.resumed(e, v.at[e.PreviousEventId])
	when := aws.ToTime(e.Timestamp)
	kind := string(e.Type)
	switch {
	case strings.HasPrefix(kind, "Execution"):
		v.execution(e, when)
	case e.StateEnteredEventDetails != nil:
		p = v.enter(e, p, when)
	case strings.HasPrefix(kind, "Map"), strings.HasPrefix(kind, "Parallel"):
		p = group(e, p, when)
	case e.StateExitedEventDetails != nil && p.of.around(aws.ToString(e.StateExitedEventDetails.Name)) != nil:
		p.of.around(aws.ToString(e.StateExitedEventDetails.Name)).exitInside(e.StateExitedEventDetails)
	case p.step != nil:
		p.step.event(e, when)
	case p.at != "" && e.Type == types.HistoryEventTypeTaskScheduled:
		p.of.scheduled(p.at, when)
	}
	v.warn(e)
	v.at[e.Id] = p
}

// group folds an event of a Map or Parallel state itself: it belongs to no step, and moves in or out of an iteration.
func group(e *types.HistoryEvent, p place, when time.Time) place {
	if d := e.MapIterationStartedEventDetails; d != nil {
		name := aws.ToString(d.Name)
		return place{in: append(p.outside(name), iteration{name, d.Index}), of: p.of}
	}
	for _, d := range []*types.MapIterationEventDetails{
		e.MapIterationSucceededEventDetails, e.MapIterationFailedEventDetails, e.MapIterationAbortedEventDetails,
	} {
		if d != nil {
			return place{in: p.outside(aws.ToString(d.Name)), of: p.of}
		}
	}
	if d := e.StateExitedEventDetails; d != nil {
		return place{in: p.outside(aws.ToString(d.Name)), of: p.of.exit(d, when)}
	}
	return place{in: p.in, of: p.of}
}

// exit folds the end of a Map or Parallel and returns what is around it.
func (c *composite) exit(d *types.StateExitedEventDetails, when time.Time) *composite {
	name := aws.ToString(d.Name)
	if inside := c.around(name); inside != nil {
		inside.exitInside(d)
		return inside
	}
	if ended := c.named(name); ended != nil {
		ended.leave(aws.ToString(d.Output), when)
		return ended.outer
	}
	return c
}

func (v *View) enter(e *types.HistoryEvent, p place, when time.Time) place {
	p.step, p.at = nil, ""
	name := aws.ToString(e.StateEnteredEventDetails.Name)
	c := p.of.around(name)
	if c == nil {
		c = v.takenUp(name)
	}
	if c != nil {
		v.enterInside(c, name)
		p.of, p.at = c, name
		return p
	}
	if e.Type == types.HistoryEventTypeParallelStateEntered {
		p.of = &composite{name: name, in: p.in, entered: when, outer: p.of}
		v.composites = append(v.composites, p.of)
		return p
	}
	task := e.Type == types.HistoryEventTypeTaskStateEntered
	if !task && e.Type != types.HistoryEventTypeWaitStateEntered {
		return p
	}
	p.step = &Step{Name: name + suffix(p.in), State: name, Wait: !task, Status: Running, Entered: when}
	v.Steps = append(v.Steps, p.step)
	v.stood[p.step] = p
	return p
}

// event folds what happens inside a Task: the suffix of the type says what, whatever kind of task it is.
func (s *Step) event(e *types.HistoryEvent, when time.Time) {
	kind := string(e.Type)
	switch {
	case e.StateExitedEventDetails != nil:
		s.exit(aws.ToString(e.StateExitedEventDetails.Output), when)
	case strings.HasSuffix(kind, "Scheduled"):
		s.Status, s.Attempt, s.Job, s.Ended = Running, s.Attempt+1, Job{}, time.Time{}
	case e.TaskSubmittedEventDetails != nil:
		s.job(aws.ToString(e.TaskSubmittedEventDetails.Output))
	case e.TaskSucceededEventDetails != nil:
		s.job(aws.ToString(e.TaskSucceededEventDetails.Output))
		s.Error, s.Cause = "", ""
	case strings.HasSuffix(kind, "Failed"), strings.HasSuffix(kind, "TimedOut"):
		s.Status = Retrying // unless an exit or the execution's end says otherwise
		s.Error, s.Cause = failure(e)
	case strings.HasSuffix(kind, "Aborted"):
		s.Status, s.Ended = Cancelled, when
	}
}

func (s *Step) exit(output string, when time.Time) {
	s.Ended, s.Output, s.Status = when, output, Succeeded
	if len(s.Job.Output) > 0 {
		s.Output = string(s.Job.Output)
	}
	if s.Error != "" {
		s.Status = Caught
	}
}

func (s *Step) job(output string) {
	var j Job
	if json.Unmarshal([]byte(output), &j) == nil && (j.SubmissionID != "" || j.ID != "") {
		s.Job = j
	}
}

func failure(e *types.HistoryEvent) (name, cause string) {
	switch {
	case e.TaskFailedEventDetails != nil:
		d := e.TaskFailedEventDetails
		return aws.ToString(d.Error), aws.ToString(d.Cause)
	case e.TaskTimedOutEventDetails != nil:
		d := e.TaskTimedOutEventDetails
		return aws.ToString(d.Error), aws.ToString(d.Cause)
	case e.TaskStartFailedEventDetails != nil:
		d := e.TaskStartFailedEventDetails
		return aws.ToString(d.Error), aws.ToString(d.Cause)
	case e.TaskSubmitFailedEventDetails != nil:
		d := e.TaskSubmitFailedEventDetails
		return aws.ToString(d.Error), aws.ToString(d.Cause)
	case e.ActivityFailedEventDetails != nil:
		d := e.ActivityFailedEventDetails
		return aws.ToString(d.Error), aws.ToString(d.Cause)
	case e.EvaluationFailedEventDetails != nil:
		return raised(e.EvaluationFailedEventDetails)
	}
	return string(e.Type), ""
}

func (v *View) execution(e *types.HistoryEvent, when time.Time) {
	switch e.Type {
	case types.HistoryEventTypeExecutionStarted:
		v.Started = when
	case types.HistoryEventTypeExecutionRedriven:
		v.reopen(e)
	case types.HistoryEventTypeExecutionSucceeded:
		v.close(types.ExecutionStatusSucceeded, when)
		v.Output = aws.ToString(e.ExecutionSucceededEventDetails.Output)
	case types.HistoryEventTypeExecutionFailed:
		v.close(types.ExecutionStatusFailed, when)
		if d := e.ExecutionFailedEventDetails; d != nil {
			v.Error, v.Cause = aws.ToString(d.Error), aws.ToString(d.Cause)
		}
	case types.HistoryEventTypeExecutionTimedOut:
		v.close(types.ExecutionStatusTimedOut, when)
		if d := e.ExecutionTimedOutEventDetails; d != nil {
			v.Error, v.Cause = aws.ToString(d.Error), aws.ToString(d.Cause)
		}
	case types.HistoryEventTypeExecutionAborted:
		v.close(types.ExecutionStatusAborted, when)
		if d := e.ExecutionAbortedEventDetails; d != nil {
			v.Error, v.Cause = aws.ToString(d.Error), aws.ToString(d.Cause)
		}
	}
}

// close ends the steps that were open: the ones whose last attempt failed have failed, the others were cut off.
func (v *View) close(status types.ExecutionStatus, when time.Time) {
	v.Status, v.Stopped = status, when
	for _, s := range v.Steps {
		if s.Status.Ended() {
			continue
		}
		s.Ended = when
		if s.Status == Retrying {
			s.Status = Failed
		} else {
			s.Status = Cancelled
		}
	}
}

func (v *View) reopen(e *types.HistoryEvent) {
	v.Status, v.Stopped = types.ExecutionStatusRunning, time.Time{}
	v.Output, v.Error, v.Cause = "", "", ""
	v.redrive(e)
}

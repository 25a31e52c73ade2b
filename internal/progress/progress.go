// Package progress folds an execution's history into what a person wants to see: each step with its status, attempt,
// times, output and error. It reads the Step Functions API's own events, so that it tells the same story of an execution
// here, on Kubernetes and on AWS. The terminal view and the console's server use it; it draws nothing itself.
package progress

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Step is what a pipeline calls a step: one entry of a Task or Wait state, or of a Parallel that stands for a step, or a step that
// was skipped. A state that is entered twice (a loop, a Map iteration) makes two.
type Step struct {
	Name    string // the state's name, with [index] inside a Map
	State   string // the state's name alone
	Wait    bool   // a Wait state, not a Task
	Inside  bool   // a Parallel whose states inside do the step's work
	Status  Status
	Attempt int       // from 1; 0 before the first
	Entered time.Time //
	Ended   time.Time // zero while it runs
	Output  string    // JSON of what the job gave back, or of the state's output where the task is no job of ours
	Error   string    // of the last failed attempt
	Cause   string    //
	Job     Job       // the newest attempt's
	Logs    []LogAt   // of a step with states inside: which of them may have the log, in order
	Waiting *Waiting  // why it is pending, if that is known

	Scheduled  time.Time // the newest attempt
	Tolerated  bool      // it failed, and its parallel or forEach tolerates that
	SkipReason string    // the condition that did not hold, and its values; empty if the definition does not record it

	in    *scope
	group *scope // of a Parallel or Map that failed before anything in it started
	left  bool   // its state exited: a redrive does not run it again
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
	SessionName  string `json:"SessionName"`
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
	Begun   Begun

	// Warnings are messages about references that found nothing, if that did not fail a step.
	Warnings []string

	at       map[int64]place
	entered  map[entry]place
	redriven int64   // the newest ExecutionRedriven
	undone   []place // steps that it takes up again

	groups []*scope // Parallel and Map states that were entered, in order
}

// entry identifies a state's entry by the event that it follows. Only the first states of other branches follow the same event.
type entry struct {
	previous int64
	state    string
}

// New makes an empty view of a running execution.
func New() *View {
	return &View{Status: types.ExecutionStatusRunning, at: map[int64]place{}, entered: map[entry]place{}}
}

// Add folds one event.
func (v *View) Add(e *types.HistoryEvent) {
	if e.Id <= v.Last {
		return
	}
	v.Last = e.Id
	v.begin(e)
	p := v.resumed(e, v.at[e.PreviousEventId])
	when := aws.ToTime(e.Timestamp)
	kind := string(e.Type)
	switch {
	case strings.HasPrefix(kind, "Execution"):
		v.execution(e, p.of(), when)
	case e.StateEnteredEventDetails != nil:
		p = v.enter(e, p, when)
		v.entered[entry{e.PreviousEventId, p.at}] = p
	case strings.HasPrefix(kind, "Map"), strings.HasPrefix(kind, "Parallel"):
		p = v.group(e, p, when)
	default:
		p = v.evaluating(e, p)
		p.event(e, when)
	}
	v.warn(e)
	v.at[e.Id] = p
}

// evaluating is the place of an event, or of the state that the failure of an expression names: in Step Functions' histories, that
// failure follows the event before the state's entry.
func (v *View) evaluating(e *types.HistoryEvent, p place) place {
	if d := e.EvaluationFailedEventDetails; d != nil {
		if named, ok := v.entered[entry{e.PreviousEventId, aws.ToString(d.State)}]; ok {
			return named
		}
	}
	return p
}

// of is the step that a place belongs to, if any.
func (p place) of() *Step {
	if c := p.in.around(p.at); c != nil {
		return c.step
	}
	return p.step
}

// event folds what happens inside a state that is no Map or Parallel.
func (p place) event(e *types.HistoryEvent, when time.Time) {
	if c := p.in.around(p.at); c != nil {
		c.event(e, p.at, when)
	} else if p.step != nil {
		p.step.event(e, when)
	} else if s := p.in.group(); s != nil && s.state == p.at && e.EvaluationFailedEventDetails != nil {
		s.failure, s.cause = failure(e)
	}
}

// group folds an event of a Map or Parallel state itself, which moves in or out of it.
func (v *View) group(e *types.HistoryEvent, p place, when time.Time) place {
	if d := e.MapIterationStartedEventDetails; d != nil {
		name := aws.ToString(d.Name)
		return place{in: &scope{state: name, iteration: d.Index, outer: v.find(p.in, name)}}
	}
	for _, d := range []*types.MapIterationEventDetails{
		e.MapIterationSucceededEventDetails, e.MapIterationFailedEventDetails, e.MapIterationAbortedEventDetails,
	} {
		if d != nil {
			return place{in: v.find(p.in, aws.ToString(d.Name)), step: p.step}
		}
	}
	if d := e.StateExitedEventDetails; d != nil {
		return v.exitGroup(d, p, when)
	}
	switch e.Type {
	case types.HistoryEventTypeParallelStateStarted, types.HistoryEventTypeMapStateStarted:
		s := p.in.group()
		if s != nil && p.at != s.state && e.PreviousEventId != v.redriven { // a retrier starts it again
			v.settle(s, p.step, when)
		}
		return place{in: s}
	case types.HistoryEventTypeParallelStateFailed, types.HistoryEventTypeMapStateFailed:
		if e.PreviousEventId != v.redriven {
			return v.groupFails(p, when)
		}
	}
	return p
}

// exitGroup folds the end of a Map or Parallel that succeeded, or that has just failed and was caught.
func (v *View) exitGroup(d *types.StateExitedEventDetails, p place, when time.Time) place {
	name := aws.ToString(d.Name)
	s := p.left
	if s == nil || s.state != name || s.exited {
		s = v.find(p.in, name)
	}
	if s == nil {
		return p
	}
	s.exited = true
	p = place{step: s.leave(aws.ToString(d.Output), when), at: name, in: s.outer, left: s}
	if c := p.in.around(name); c != nil {
		c.exitInside(d)
	}
	return p
}

func (v *View) enter(e *types.HistoryEvent, p place, when time.Time) place {
	name := aws.ToString(e.StateEnteredEventDetails.Name)
	p.step.followedBy(name)
	v.tolerate(name, p.left)
	c := p.in.around(name)
	if c == nil {
		if c = v.resumedStep(name); c != nil {
			p.in = c
		}
	}
	after := p.at
	p.step, p.at = nil, name
	if c != nil {
		v.enterInside(c, name, when)
	}
	switch e.Type {
	case types.HistoryEventTypeParallelStateEntered:
		p.in = v.enterGroup(&scope{state: name, iteration: noIteration, outer: p.in, entered: when, parallel: true})
	case types.HistoryEventTypeMapStateEntered:
		p.in = v.enterGroup(&scope{state: name, iteration: noIteration, outer: p.in, entered: when})
	default:
		if c == nil {
			p.step = v.add(newStep(e, after, when), p.in, when)
		}
	}
	return p
}

func (v *View) enterGroup(s *scope) *scope {
	v.groups = append(v.groups, s)
	return s
}

// newStep is the step of a state that was entered after another one; nil if the state is not a step.
func newStep(e *types.HistoryEvent, after string, when time.Time) *Step {
	name := aws.ToString(e.StateEnteredEventDetails.Name)
	switch e.Type {
	case types.HistoryEventTypeTaskStateEntered:
		return &Step{State: name, Status: Pending}
	case types.HistoryEventTypeWaitStateEntered:
		return &Step{State: name, Status: Running, Wait: true}
	}
	if step, ok := strings.CutPrefix(name, "Skip "); ok && after == "When "+step {
		return skipped(step, aws.ToString(e.StateEnteredEventDetails.Input), when)
	}
	return nil
}

// add adds a step that was entered in a scope, unless it is nil.
func (v *View) add(s *Step, in *scope, when time.Time) *Step {
	if s != nil {
		s.Name, s.Entered, s.in = s.State+in.suffix(), when, in
		v.Steps = append(v.Steps, s)
	}
	return s
}

// followedBy folds which state follows a step that a catcher left. In a compiled definition that is the step's cleanup, after
// which the run fails all the same, or the failure of a step without one, or of a cleanup that failed itself.
func (s *Step) followedBy(state string) {
	if s == nil || s.Status != Caught {
		return
	}
	const cleanup = "Clean up after "
	if state == cleanup+s.State || state == "Fail "+strings.TrimPrefix(s.State, cleanup) {
		s.Status = Failed
	}
}

// event folds what happens inside a Task: the suffix of the type says what, whatever kind of task it is.
func (s *Step) event(e *types.HistoryEvent, when time.Time) {
	kind := string(e.Type)
	switch {
	case e.StateExitedEventDetails != nil:
		s.exit(aws.ToString(e.StateExitedEventDetails.Output), s.Error != "", when)
	case strings.HasSuffix(kind, "Scheduled"):
		s.begin(when)
	case e.TaskStartedEventDetails != nil && !submits(aws.ToString(e.TaskStartedEventDetails.Resource)),
		kind == "ActivityStarted", kind == "LambdaFunctionStarted":
		s.runs()
	case e.TaskSubmittedEventDetails != nil:
		s.runs()
		s.job(aws.ToString(e.TaskSubmittedEventDetails.Output))
	case e.TaskSucceededEventDetails != nil:
		s.job(aws.ToString(e.TaskSucceededEventDetails.Output))
		s.Error, s.Cause = "", ""
	case strings.HasSuffix(kind, "Failed"), strings.HasSuffix(kind, "TimedOut"):
		s.fails()
		s.Error, s.Cause = failure(e)
	}
}

// submits reports whether a task's work waits until the service has accepted it.
func submits(resource string) bool {
	return strings.Contains(resource, ".sync") || strings.HasSuffix(resource, ".waitForTaskToken")
}

func (s *Step) exit(output string, failed bool, when time.Time) {
	s.left = true
	if s.Status == Skipped {
		return
	}
	s.Ended, s.Output, s.Status = when, output, Succeeded
	if len(s.Job.Output) > 0 {
		s.Output = string(s.Job.Output)
	}
	if failed {
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

// execution folds an event of the execution; at is the step that it follows, if any.
func (v *View) execution(e *types.HistoryEvent, at *Step, when time.Time) {
	switch e.Type {
	case types.HistoryEventTypeExecutionStarted:
		v.Started = when
	case types.HistoryEventTypeExecutionRedriven:
		v.reopen(e)
	case types.HistoryEventTypeExecutionSucceeded:
		v.Output = aws.ToString(e.ExecutionSucceededEventDetails.Output)
		v.close(types.ExecutionStatusSucceeded, when)
	case types.HistoryEventTypeExecutionFailed:
		if d := e.ExecutionFailedEventDetails; d != nil {
			v.Error, v.Cause = aws.ToString(d.Error), aws.ToString(d.Cause)
		}
		v.failed(at, when)
		v.close(types.ExecutionStatusFailed, when)
	case types.HistoryEventTypeExecutionTimedOut:
		if d := e.ExecutionTimedOutEventDetails; d != nil {
			v.Error, v.Cause = aws.ToString(d.Error), aws.ToString(d.Cause)
		}
		v.close(types.ExecutionStatusTimedOut, when)
	case types.HistoryEventTypeExecutionAborted:
		if d := e.ExecutionAbortedEventDetails; d != nil {
			v.Error, v.Cause = aws.ToString(d.Error), aws.ToString(d.Cause)
		}
		v.close(types.ExecutionStatusAborted, when)
	}
}

// failed ends the step that failed the execution. Its own events may not say why.
func (v *View) failed(s *Step, when time.Time) {
	if s == nil || s.Status.Ended() {
		return
	}
	if s.Error == "" {
		s.Error, s.Cause = v.Error, v.Cause
	}
	s.end(Failed, when)
}

// close ends the steps that were still open.
func (v *View) close(status types.ExecutionStatus, when time.Time) {
	v.Status, v.Stopped = status, when
	for _, s := range v.Steps {
		s.end(Cancelled, when)
	}
}

func (v *View) reopen(e *types.HistoryEvent) {
	v.Status, v.Stopped = types.ExecutionStatusRunning, time.Time{}
	v.Output, v.Error, v.Cause = "", "", ""
	v.redrive(e)
}

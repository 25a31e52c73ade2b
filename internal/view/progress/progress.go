// Package progress computes from the history of an execution what users want to see: the entries into states, among them the steps of the
// pipeline, with their statuses, attempts, times, outputs and errors. It uses only events of the Step Functions API and the annotations
// in the definition (internal/pipeline/annotation), so that it works in the same way for executions on this machine, on Kubernetes and on
// AWS. It never interprets the name of a state.
//
// A View is a fold: events are added one by one, in order, and each changes the view. Package progress/live serves views over HTTP;
// packages terminal and console display them. This package does no I/O.
package progress

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// View is the state of an execution according to the events added so far. Add each event of the history, in order. A View is not safe for
// concurrent use.
type View struct {
	Entries []*Entry
	Status  types.ExecutionStatus
	Started time.Time
	Stopped time.Time
	Output  string
	Error   string
	Cause   string
	Last    int64 // id of the last event added
	Start   Start
	Parked  string // why the execution is parked; set by the caller, because events do not contain it

	// Warnings are messages about references that found nothing but did not fail a step.
	Warnings []string

	annotations States          // nil if the definition is not known yet
	at          map[int64]place // by event id: each event can be the previous one of a later event
	entered     map[entry]place // for events of expressions that failed, which name the state
	states      map[string]*stateCount

	redriven  int64    // the id of the last ExecutionRedriven event, 0 if there is none
	undone    []*Entry // entries that this redrive resumes, until their first event
	resumable []*Entry // steps in a cluster that this redrive resumes, for events that do not show their step

	waiting []*Entry // entries whose tasks wait, according to the last call of ShowWaiting
	touched []touch  // all changes, in order; an entry is in it once for each tick that changed it
	tick    int      // the number of events and of calls of ShowWaiting
	limit   int      // maximum size of texts in bytes, 0 for no limit
}

// entry identifies an entry into a state by the previous event and the name. Several entries can have the same previous event: the first
// states of the branches of a Parallel.
type entry struct {
	previous int64
	state    string
}

// New returns the view of an execution without events. s are the annotations of its definition. If s is nil, the caller must call Describe
// before it adds the first event.
func New(s States) *View {
	return &View{Status: types.ExecutionStatusRunning, annotations: s, at: map[int64]place{}, entered: map[entry]place{}, states: map[string]*stateCount{}}
}

// Described reports whether the view has the annotations of the definition.
func (v *View) Described() bool { return v.annotations != nil }

// Describe sets the annotations of the definition.
func (v *View) Describe(s States) { v.annotations = s }

// Steps returns the entries that are steps of the pipeline, in order.
func (v *View) Steps() []*Entry {
	var out []*Entry
	for _, e := range v.Entries {
		if e.IsStep() {
			out = append(out, e)
		}
	}
	return out
}

// Closed reports whether the execution has ended. A redrive reopens it.
func (v *View) Closed() bool { return v.Status != types.ExecutionStatusRunning }

// Add adds an event of the API. It ignores events that were added before.
func (v *View) Add(e *types.HistoryEvent) {
	if e.Id > v.Last {
		event := FromAPI(e)
		v.Fold(&event)
	}
}

// Fold adds an event. It ignores events that were added before.
func (v *View) Fold(e *Event) {
	if e.ID <= v.Last {
		return
	}
	v.Last = e.ID
	v.tick++
	p := v.fold(e, v.placeBefore(e))
	if e.exited() {
		v.begin(e)
		v.warn(e)
	}
	v.at[e.ID] = p
}

// fold applies an event whose previous event is at p, and returns the place of the event itself.
func (v *View) fold(e *Event, p place) place {
	switch {
	case e.ofExecution():
		v.execution(e, p)
		return p
	case e.entered():
		return v.enter(e, p)
	case e.inGroup():
		return v.group(e, p)
	case p.entry == nil:
	case e.exited():
		v.exit(p.entry, e)
	default:
		v.taskEvent(p.entry, e)
	}
	return p
}

// enter applies a StateEntered event.
func (v *View) enter(e *Event, p place) place {
	meta := v.annotations[e.Name]
	v.afterCatch(p.entry, meta)
	v.tolerate(p.left, meta)
	in := p.in
	within := in.step()
	if within == nil {
		if within = v.resumedStep(meta); within != nil {
			in = &frame{within, -1, within.in}
		}
	}
	x := v.add(&Entry{State: e.Name, Kind: e.stateKind(), Input: v.shortText(e.Input), Within: within, meta: meta}, in, e)
	switch {
	case x.Kind == kindFail:
		v.set(x, Failed)
		x.Ended = e.Time
	case x.Kind == kindTask, x.composite:
		v.set(x, Pending)
	default:
		v.set(x, Running)
	}
	if within != nil {
		v.enterInside(within, x, e.Time)
	}
	if meta.Role == annotation.Skip && p.entry != nil && p.entry.meta.Role == annotation.Condition && p.entry.meta.Step == meta.Step {
		v.skip(meta.Step, in, e)
	}
	here := place{x, in, p.left}
	v.entered[entry{e.Previous, e.Name}] = here
	return here
}

// add adds an entry. e is the event that creates it.
func (v *View) add(x *Entry, in *frame, e *Event) *Entry {
	x.N, x.Event, x.Entered, x.in = len(v.Entries), e.ID, e.Time, in
	x.Name, x.Depth, x.Index = x.State+in.suffix(), in.depth(), in.iteration()
	x.composite = x.Kind == kindParallel && x.meta.Role == annotation.Run && x.Within == nil
	v.Entries = append(v.Entries, x)
	if in != nil {
		in.group.children = append(in.group.children, x)
	}
	v.count(x)
	v.touch(x)
	return x
}

// afterCatch makes a caught step Failed if the state to which the catcher led shows that the pipeline does not handle the failure. In a
// compiled definition, that is the step's cleanup (onFailure), after which the run fails, or the Fail state that follows a step without a
// cleanup, or whose cleanup failed.
func (v *View) afterCatch(x *Entry, next annotation.State) {
	if x == nil || x.Status != Caught || next.Step == "" || next.Step != x.meta.Step {
		return
	}
	if next.Role == annotation.Fail || next.Role == annotation.Run && next.Scope == annotation.OnFailure {
		v.set(x, Failed)
	}
}

// taskEvent applies the other events of a state that is not a Map or Parallel, and failures of expressions of any state. The suffix of the
// event's type determines what happened, whatever the kind of task.
func (v *View) taskEvent(x *Entry, e *Event) {
	v.touch(x)
	switch {
	case e.is("Scheduled"):
		if x.Within != nil {
			v.scheduledInside(x.Within, x, e)
		}
		v.beginAttempt(x, e.Time)
		x.newest().Tasks = []int64{e.ID}
	case e.failed():
		v.stateFails(x, e)
	case e.is("Started"):
		if a := x.newest(); a != nil {
			a.Started = e.Time
		}
		if !submits(e.Resource) {
			v.markRunning(x)
		}
	case e.is("Submitted"), e.is("Succeeded"):
		v.markRunning(x)
		x.job(e.Output)
		if e.is("Succeeded") {
			x.Error, x.Cause = "", ""
			x.endAttempt(Succeeded, e.Time)
		}
	}
}

// submits reports whether a task starts work that a service runs later. Such a task is pending until the service has accepted it; other
// tasks run when they have started.
func submits(resource string) bool {
	return strings.Contains(resource, ".sync") || strings.HasSuffix(resource, ".waitForTaskToken")
}

// stateFails applies a failure. A task or a wait is Retrying at first: only the next events show whether it is retried.
func (v *View) stateFails(x *Entry, e *Event) {
	x.Error, x.Cause = failure(e)
	x.Cause = v.truncated(x.Cause)
	if x.Kind == kindTask || x.Kind == kindWait {
		v.set(x, Retrying)
		x.Ended = time.Time{}
	} else {
		v.set(x, Failed)
		x.Ended = e.Time
	}
	x.neverStarted = x.neverStarted || x.isGroup()
	if a := x.newest(); a != nil {
		a.Status, a.Ended, a.Error, a.Cause = Failed, e.Time, x.Error, x.Cause
	}
}

// failure returns the error and the cause of a failed attempt. Some types of events have neither: the error is then the type.
func failure(e *Event) (name, cause string) {
	switch {
	case e.evaluationFailed():
		return ownError(e.Error, e.Cause)
	case e.Error == "" && e.Cause == "":
		return e.Type, ""
	}
	return e.Error, e.Cause
}

// job reads the job that a task started from the task's output.
func (e *Entry) job(output string) {
	var j Job
	if json.Unmarshal([]byte(output), &j) != nil || j.SubmissionID == "" && j.ID == "" {
		return
	}
	e.Job = j
}

// exit applies the end of a state that succeeded, or whose failure was caught.
func (v *View) exit(x *Entry, e *Event) {
	v.touch(x)
	x.exited = true
	if x.Within != nil {
		v.exitInside(x.Within, x, e)
	}
	if x.composite && !x.gaveUp {
		x.Error, x.Cause = "", ""
	}
	x.Ended, x.Output, x.OutputEvent = e.Time, v.shortText(e.Output), e.ID
	if len(x.Job.Output) > 0 {
		x.Output = v.shortText(string(x.Job.Output))
	}
	if v.limit > 0 {
		x.Job.Output = nil
	}
	x.endAttempt(Succeeded, e.Time)
	switch {
	case x.Kind == kindFail:
		v.set(x, Failed)
	case x.Error != "" || x.gaveUp:
		v.set(x, Caught)
	default:
		v.set(x, Succeeded)
	}
}

// execution applies an event of the execution itself.
func (v *View) execution(e *Event, p place) {
	switch types.HistoryEventType(e.Type) {
	case types.HistoryEventTypeExecutionStarted:
		v.Started = e.Time
	case types.HistoryEventTypeExecutionRedriven:
		v.Status, v.Stopped = types.ExecutionStatusRunning, time.Time{}
		v.Output, v.Error, v.Cause = "", "", ""
		v.redrive(e.ID)
	case types.HistoryEventTypeExecutionSucceeded:
		v.end(types.ExecutionStatusSucceeded, e, p)
	case types.HistoryEventTypeExecutionTimedOut:
		v.end(types.ExecutionStatusTimedOut, e, p)
	case types.HistoryEventTypeExecutionAborted:
		v.end(types.ExecutionStatusAborted, e, p)
	default:
		v.end(types.ExecutionStatusFailed, e, p)
	}
}

// end applies the end of the execution. Of the entries that are still open, the one that failed the execution becomes Failed, with the
// execution's error if it has no error itself; all others become Cancelled.
func (v *View) end(status types.ExecutionStatus, e *Event, p place) {
	v.Status, v.Stopped, v.Output, v.Error, v.Cause = status, e.Time, v.shortText(e.Output), e.Error, e.Cause
	for _, x := range v.Entries {
		if x.Status.Ended() {
			continue
		}
		here := status == types.ExecutionStatusFailed && p.entry != nil && (x == p.entry || x == p.entry.Within)
		if here && x.Error == "" {
			x.Error, x.Cause = v.Error, v.Cause
		}
		v.close(x, map[bool]Status{true: Failed, false: Cancelled}[here], e.Time)
	}
}

// close ends an entry and its attempt if they are open.
func (v *View) close(x *Entry, status Status, when time.Time) {
	if x.open() != nil {
		x.endAttempt(status, when)
		v.touch(x)
	}
	if !x.Status.Ended() {
		v.set(x, status)
		x.Ended = when
	}
}

// Limit limits the size of texts in the view, in bytes: it omits longer inputs and outputs, and truncates longer causes. The events have
// the full texts. Call it before the first event is added.
func (v *View) Limit(bytes int) { v.limit = bytes }

// shortText returns an input or output, or "" if it is longer than the limit. It does not truncate, because the result would not be valid
// JSON.
func (v *View) shortText(text string) string {
	if v.limit > 0 && len(text) > v.limit {
		return ""
	}
	return text
}

// truncated returns the beginning of a cause, up to the limit.
func (v *View) truncated(cause string) string {
	if v.limit > 0 && len(cause) > v.limit {
		return strings.ToValidUTF8(cause[:v.limit], "") + "…"
	}
	return cause
}

// indexed returns the suffix for the names of entries in an iteration of a Map.
func indexed(i int) string { return fmt.Sprintf("[%d]", i) }

// placeBefore returns the place of the event that an event follows. After a redrive, the first event of a task follows the old entry of its
// state. For other states, the first event follows the redrive itself, which does not show the line of control; but they are resumed in the
// order of their entries.
func (v *View) placeBefore(e *Event) place {
	if v.redriven != 0 && e.Previous == v.redriven && !e.ofExecution() {
		if e.Name == "" && e.inGroup() {
			return v.failedAgain(e)
		}
		if len(v.undone) > 0 {
			i := max(0, slices.IndexFunc(v.undone, func(x *Entry) bool { return x.State == e.Name }))
			x := v.undone[i]
			v.undone = slices.Delete(v.undone, i, i+1)
			return place{entry: x, in: x.in}
		}
	}
	if e.evaluationFailed() { // in histories of Step Functions, its previous event is the one before the state was entered
		if named, ok := v.entered[entry{e.Previous, e.Name}]; ok {
			return named
		}
	}
	p := v.at[e.Previous]
	if len(v.undone) > 0 {
		v.undone = slices.DeleteFunc(v.undone, func(x *Entry) bool { return x == p.entry })
	}
	return p
}

// failedAgain returns the place of an event of a Map or Parallel that directly follows a redrive. If the event is a failure, a state inside
// failed again that starts no task, such as a Fail state: such a state has no event in the redrive. Other events have no place, because they
// do not show to which state they belong.
func (v *View) failedAgain(e *Event) place {
	if !e.is("StateFailed") {
		return place{}
	}
	for i, x := range v.undone {
		if x.Status == Failed && x.Kind != kindTask && !x.isGroup() && x.in != nil && x.in.group.Kind == e.groupKind() {
			v.undone = slices.Delete(v.undone, i, i+1)
			return place{entry: x, in: x.in}
		}
	}
	return v.at[e.ID-1] // of a Map: its iteration that failed
}

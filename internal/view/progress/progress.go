// Package progress folds an execution's history into what people want to see: each entry of a state, and among them each step, with
// its status, attempts, times, output and error. It reads the Step Functions API's own events and the annotations of the definition
// (internal/pipeline/annotation), so it shows executions here, on Kubernetes and on AWS in the same way. A state's name is shown and
// never interpreted. Package progress/live serves the fold; terminal and console draw it. It does no I/O and draws nothing itself.
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

// View is the fold. Give it every event once, in order.
type View struct {
	Entries []*Entry
	Status  types.ExecutionStatus
	Started time.Time
	Stopped time.Time
	Output  string
	Error   string
	Cause   string
	Last    int64 // id of the last event seen
	Begun   Begun
	Parked  string // why no process drives the execution any more; the caller sets it

	// Warnings are messages about references that found nothing, if that did not fail a step.
	Warnings []string

	says    States          // nil while the definition is not known
	at      map[int64]place // of every event: any of them may be the previous one of an event to come
	entered map[entry]place // for failures of expressions, which name the state
	states  map[string]*stateCount

	redriven  int64    // the newest ExecutionRedriven
	undone    []*Entry // entries that it resumes
	resumable []*Entry // steps in a cluster that it resumes, for events that do not show their step

	waiting []*Entry // entries whose tasks wait, according to the engine
	touched []touch  // what changed, in order; an entry is in it once for each event that changed it
	tick    int      // counts what may change entries: events, and reports of the engine
	limit   int      // bytes that are kept of each text, if not 0
}

// entry identifies a state's entry by the event that it follows. Only the first states of other branches follow the same event.
type entry struct {
	previous int64
	state    string
}

// New makes an empty view of a running execution of a definition. If the definition is not known yet, s is nil, and Describe must come
// before the first event.
func New(s States) *View {
	return &View{Status: types.ExecutionStatusRunning, says: s, at: map[int64]place{}, entered: map[entry]place{}, states: map[string]*stateCount{}}
}

// Described reports whether the definition is known.
func (v *View) Described() bool { return v.says != nil }

// Describe sets the annotations of the definition.
func (v *View) Describe(s States) { v.says = s }

// Steps are the entries that a pipeline calls steps, in order.
func (v *View) Steps() []*Entry {
	var out []*Entry
	for _, e := range v.Entries {
		if e.IsStep() {
			out = append(out, e)
		}
	}
	return out
}

// Closed reports whether the execution has ended. A redrive opens it again.
func (v *View) Closed() bool { return v.Status != types.ExecutionStatusRunning }

// Add folds one event of the API.
func (v *View) Add(e *types.HistoryEvent) {
	if e.Id > v.Last {
		event := FromAPI(e)
		v.Fold(&event)
	}
}

// Fold folds one event. One that was folded before changes nothing.
func (v *View) Fold(e *Event) {
	if e.ID <= v.Last {
		return
	}
	v.Last = e.ID
	v.tick++
	p := v.fold(e, v.before(e))
	if e.exited() {
		v.begin(e)
		v.warn(e)
	}
	v.at[e.ID] = p
}

// fold changes the view by an event that follows what is at p, and returns where the events that follow it stand.
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
		v.happens(p.entry, e)
	}
	return p
}

// enter folds the entry of a state.
func (v *View) enter(e *Event, p place) place {
	says := v.says[e.Name]
	v.followed(p.entry, says)
	v.tolerate(p.left, says)
	in := p.in
	within := in.step()
	if within == nil {
		if within = v.resumedStep(says); within != nil {
			in = &frame{within, -1, within.in}
		}
	}
	x := v.add(&Entry{State: e.Name, Kind: e.stateKind(), Input: v.bounded(e.Input), Within: within, says: says}, in, e)
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
	if says.Role == annotation.Skip && p.entry != nil && p.entry.says.Role == annotation.Condition && p.entry.says.Step == says.Step {
		v.skip(says.Step, in, e)
	}
	here := place{x, in, p.left}
	v.entered[entry{e.Previous, e.Name}] = here
	return here
}

// add adds an entry that an event made.
func (v *View) add(x *Entry, in *frame, e *Event) *Entry {
	x.N, x.Event, x.Entered, x.in = len(v.Entries), e.ID, e.Time, in
	x.Name, x.Depth, x.Index = x.State+in.suffix(), in.depth(), in.iteration()
	x.composite = x.Kind == kindParallel && x.says.Role == annotation.Run && x.Within == nil
	v.Entries = append(v.Entries, x)
	if in != nil {
		in.group.children = append(in.group.children, x)
	}
	v.count(x)
	v.touch(x)
	return x
}

// followed folds the state that follows a step after a catcher. In a compiled definition, that is the step's cleanup, after which the
// run still fails, or the state that fails for a step without a cleanup or after a cleanup that failed.
func (v *View) followed(x *Entry, next annotation.State) {
	if x == nil || x.Status != Caught || next.Step == "" || next.Step != x.says.Step {
		return
	}
	if next.Role == annotation.Fail || next.Role == annotation.Run && next.Scope == annotation.OnFailure {
		v.set(x, Failed)
	}
}

// happens folds what happens inside a state that is no Map or Parallel, or the failure of an expression of any state: the suffix of the
// type says what, whatever kind of task it is.
func (v *View) happens(x *Entry, e *Event) {
	v.touch(x)
	switch {
	case e.is("Scheduled"):
		if x.Within != nil {
			v.scheduledInside(x.Within, x, e)
		}
		v.beginAttempt(x, e.Time)
		x.newest().Tasks = []int64{e.ID}
	case e.failed():
		v.fails(x, e)
	case e.is("Started"):
		if a := x.newest(); a != nil {
			a.Started = e.Time
		}
		if !submits(e.Resource) {
			v.runs(x)
		}
	case e.is("Submitted"), e.is("Succeeded"):
		v.runs(x)
		x.job(e.Output)
		if e.is("Succeeded") {
			x.Error, x.Cause = "", ""
			x.endAttempt(Succeeded, e.Time)
		}
	}
}

// submits reports whether a task's work waits until the service has accepted it.
func submits(resource string) bool {
	return strings.Contains(resource, ".sync") || strings.HasSuffix(resource, ".waitForTaskToken")
}

// fails folds a failure. A task or a wait may be retried: the next events show it.
func (v *View) fails(x *Entry, e *Event) {
	x.Error, x.Cause = failure(e)
	x.Cause = v.cut(x.Cause)
	if x.Kind == kindTask || x.Kind == kindWait {
		v.set(x, Retrying)
		x.Ended = time.Time{}
	} else {
		v.set(x, Failed)
		x.Ended = e.Time
	}
	x.itself = x.itself || x.holds()
	if a := x.newest(); a != nil {
		a.Status, a.Ended, a.Error, a.Cause = Failed, e.Time, x.Error, x.Cause
	}
}

// failure is the error and the cause of a failed attempt. Some kinds of events have neither: their type says what failed then.
func failure(e *Event) (name, cause string) {
	switch {
	case e.evaluationFailed():
		return raised(e.Error, e.Cause)
	case e.Error == "" && e.Cause == "":
		return e.Type, ""
	}
	return e.Error, e.Cause
}

// job takes from a task's output what was started outside.
func (e *Entry) job(output string) {
	var j Job
	if json.Unmarshal([]byte(output), &j) != nil || j.SubmissionID == "" && j.ID == "" {
		return
	}
	e.Job = j
}

// exit folds the end of a state that succeeded, or whose failure was caught.
func (v *View) exit(x *Entry, e *Event) {
	v.touch(x)
	x.exited = true
	if x.Within != nil {
		v.exitInside(x.Within, x, e)
	}
	if x.composite && !x.gaveUp {
		x.Error, x.Cause = "", ""
	}
	x.Ended, x.Output, x.OutputEvent = e.Time, v.bounded(e.Output), e.ID
	if len(x.Job.Output) > 0 {
		x.Output = v.bounded(string(x.Job.Output))
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

// execution folds an event of the execution.
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

// end ends the entries that were open: the one that failed the execution is failed, the others are cancelled. Its own events may not
// say why.
func (v *View) end(status types.ExecutionStatus, e *Event, p place) {
	v.Status, v.Stopped, v.Output, v.Error, v.Cause = status, e.Time, v.bounded(e.Output), e.Error, e.Cause
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

// close ends an entry that is open, and its attempt.
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

// Limit has the view keep at most so many bytes of each text: a longer input or output is left out, a longer cause is cut off. The
// events have them. Call it before the first event.
func (v *View) Limit(bytes int) { v.limit = bytes }

// bounded is an input or output, or nothing if the view does not keep texts of its length. A part of a JSON text would be none.
func (v *View) bounded(text string) string {
	if v.limit > 0 && len(text) > v.limit {
		return ""
	}
	return text
}

// cut is a cause, of which people read the beginning.
func (v *View) cut(cause string) string {
	if v.limit > 0 && len(cause) > v.limit {
		return strings.ToValidUTF8(cause[:v.limit], "") + "…"
	}
	return cause
}

// indexed is what distinguishes the entries of a state in a Map's iterations.
func indexed(i int) string { return fmt.Sprintf("[%d]", i) }

// before is the place of the event's predecessor. After a redrive, a task's event follows its old entry. For other states, the history
// does not show which line of control continues, but they are resumed in the order in which they stand.
func (v *View) before(e *Event) place {
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
	if e.evaluationFailed() { // in Step Functions' histories, it follows the event before the entry of the state that it names
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

// failedAgain returns the place of the failure of a Map or Parallel that directly follows a redrive: a state inside that starts no
// task, such as a Fail state, failed again, for which there is no event of its own. Other events of Maps and Parallels that directly
// follow a redrive have no place, because they do not show to which state they belong.
func (v *View) failedAgain(e *Event) place {
	if !e.is("StateFailed") {
		return place{}
	}
	for i, x := range v.undone {
		if x.Status == Failed && x.Kind != kindTask && !x.holds() && x.in != nil && x.in.group.Kind == e.groupKind() {
			v.undone = slices.Delete(v.undone, i, i+1)
			return place{entry: x, in: x.in}
		}
	}
	return v.at[e.ID-1] // of a Map: its iteration that failed
}

package interp

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Params are the properties of a run that are set at its start and never change.
type Params struct {
	ExecutionARN, Name      string
	MachineARN, MachineName string
	AliasARN, VersionARN    string // optional; shown in ExecutionStarted
	RoleARN, Region         string
	Express                 bool
	Input                   []byte // as the caller passed it, valid JSON
	StartTime               time.Time
	Seed                    uint64 // the source of all randomness of the run
	// Program is the part of the definition that runs: 0 is the state machine itself, higher numbers are the item
	// processors of distributed Maps (MapRun.Program).
	Program   int
	MapRunARN string // only for a child execution of a distributed Map
	MapItem   []byte // $$.Map.Item of children that releases before this one started; no release sets it any more
}

// Head is the part of a run that can be read without its frames.
type Head struct {
	Status       stepfn.Status
	Output       []byte
	Error, Cause string
	StopTime     time.Time // zero while it runs
	RedriveCount int
	RedriveTime  time.Time
	LastEvent    int64     // id of the last event
	Wake         time.Time // the earliest deadline, by the steady clock; zero if there is none
	More         bool      // the last decision had More: apply Continue
}

// Run is the state of one execution. It is not safe for concurrent use. After an error of Apply, or if a decision could
// not be stored, discard the Run and load it again.
type Run struct {
	machine *asl.Machine
	params  Params
	head    Head

	input     *data         // params.Input
	deadline  time.Time     // when the run times out, by the steady clock (as all stored deadlines except Timestamp); zero: never
	ahead     time.Duration // the Moment.Ahead from which the timers were computed
	nextFrame FrameID
	frames    map[FrameID]*frame
	queue     []FrameID // frames that can advance
	timers    timers
	resource  func(resource string) error
	test      *test // set only by TestState

	// The fields below are the state of the current decision.
	now      time.Time // timestamp of its events
	steady   time.Time // base of its deadlines
	decision Decision
	size     int               // bytes of its events
	touched  []FrameID         // frames that it changed
	full     bool              // the history has reached its limit
	reports  map[string]string // Wake.Reports
}

// New creates a run that has not started: apply Start.
func New(p Params, m *asl.Machine) *Run {
	return &Run{machine: m, params: p, input: textData(p.Input), nextFrame: firstFrame, frames: map[FrameID]*frame{}}
}

// CheckResources sets a check that is applied to the resource of a Task when the Task is scheduled. If it returns an
// error, such as "The activity ... does not exist.", the state fails with States.Runtime. By default, all resources are
// accepted.
func (r *Run) CheckResources(check func(resource string) error) { r.resource = check }

// Head returns the head of the run.
func (r *Run) Head() Head { return r.head }

// Params returns the params with which the run was created.
func (r *Run) Params() Params { return r.params }

// A decision is made in three steps. handle applies the fact to the lines that it concerns, and queues the frames that can
// advance. advance then executes the queued frames. decide collects what has changed: emit has appended events, touch has
// marked frames, and the states have added tasks and map runs to start and to stop.

var (
	errStarted    = errors.New("the run has already started")
	errNotStarted = errors.New("the run has not started")
)

// Apply changes the run by a fact and returns what follows. A fact that comes too late (its task has ended, or the run
// is closed) gives an empty decision. An error means that the fact or the stored run is invalid; a failed execution is
// not an error.
func (r *Run) Apply(f Fact, now time.Time) (Decision, error) {
	return r.ApplyAt(f, Moment{Now: now, Steady: now})
}

// ApplyAt is Apply for a wall clock that can differ from the steady clock.
func (r *Run) ApplyAt(f Fact, at Moment) (Decision, error) {
	r.enterMoment(at)
	r.decision, r.size, r.touched = Decision{Events: make([]history.Event, 0, r.room(f))}, 0, r.touched[:0]
	_, again := f.(Redrive) // a redrive opens a closed run, and may close it again immediately
	late := r.closed() && !again
	if err := r.handle(f); err != nil {
		return Decision{}, fmt.Errorf("apply %T: %w", f, err)
	}
	r.advance()
	return r.decide(late), nil
}

// room estimates how many events follow from a fact, so that the slice of events rarely grows: a start often runs
// through the whole machine, any other fact to the next task.
func (r *Run) room(f Fact) int {
	if _, isStart := f.(Start); isStart && r.params.Program >= 0 && r.params.Program < len(r.machine.Programs) {
		return min(2*len(r.machine.Programs[r.params.Program].States)+2, longEvents)
	}
	return 8
}

// handle changes the run by a fact. advance then executes the lines that have become ready.
func (r *Run) handle(f Fact) error {
	if _, isStart := f.(Start); isStart != (r.head.Status == "") {
		if isStart {
			return errStarted
		}
		return errNotStarted
	}
	if again, ok := f.(Redrive); ok {
		return r.redrive(again.ClientToken)
	}
	if r.closed() {
		return nil
	}
	switch f := f.(type) {
	case Start:
		return r.start()
	case Continue:
	case Wake:
		r.reports = f.Reports
		r.wake()
	case Abort:
		r.abort(f)
	case TaskStarted:
		r.taskStarted(f)
	case TaskSubmitted:
		r.taskSubmitted(f)
	case TaskHeartbeat:
		r.taskHeartbeat(f)
	case TaskEnded:
		r.taskEnded(f)
	case MapRunEnded:
		r.mapRunEnded(f)
	default:
		return fmt.Errorf("unknown fact %T", f)
	}
	return nil
}

func (r *Run) closed() bool { return r.head.Status != stepfn.Running && r.head.Status != "" }

// start validates what the caller passed, so that later code can rely on it.
func (r *Run) start() error {
	if r.params.Program < 0 || r.params.Program >= len(r.machine.Programs) {
		return fmt.Errorf("the definition has no program %d", r.params.Program)
	}
	if _, err := value.Parse(r.params.Input); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	r.head.Status = stepfn.Running
	r.frames[originFrame] = &frame{id: originFrame}
	r.touch(r.frames[originFrame])
	r.deadline = r.timeLimit(r.steady)
	program := r.machine.Programs[r.params.Program]
	root := &frame{id: rootFrame, kind: lineKind, phase: ready, program: program, state: program.StartAt, input: r.input}
	r.frames[rootFrame] = root
	r.emitFirst()
	r.enqueue(root)
	return nil
}

// expressLimit is the longest time that an Express execution may run.
const expressLimit = 5 * time.Minute

// timeLimit returns when a run that starts (or is redriven) at the given time ends with TIMED_OUT; zero: never.
func (r *Run) timeLimit(from time.Time) (limit time.Time) {
	if r.params.Express {
		limit = from.Add(expressLimit)
	}
	if t := r.machine.TimeoutSeconds; t > 0 && r.params.Program == 0 {
		if own := from.Add(seconds(float64(t))); limit.IsZero() || own.Before(limit) {
			limit = own
		}
	}
	return limit
}

// emitFirst emits ExecutionStarted. Events 1 and 2 both have the previous event 0, as in Step Functions: so the root
// line keeps last = 0.
func (r *Run) emitFirst() {
	r.head.LastEvent = 1
	r.decision.Events = append(r.decision.Events, history.Event{
		ID: 1, Time: r.now, Type: history.ExecutionStarted, Input: r.params.Input, RoleARN: r.params.RoleARN,
		AliasARN: r.params.AliasARN, VersionARN: r.params.VersionARN,
	})
}

// A decision ends with More once it has this many events or bytes.
const (
	longEvents = 256
	longBytes  = 1 << 20
)

// advance executes the queued frames in the order of the queue, each until it waits or has ended. It stops early if the
// decision is long; the remaining frames stay in the queue. The order of events thus depends only on the run and the fact.
func (r *Run) advance() {
	for len(r.queue) > 0 && !r.closed() {
		f := r.frames[r.queue[0]]
		if f != nil && f.runnable() {
			if r.cut() {
				return
			}
			r.step(f)
			continue
		}
		r.queue = r.queue[1:]
		if f != nil {
			f.queued = false
		}
	}
}

// cut reports whether the decision must end now, because it is long or because the history is full. A full history
// fails the run.
func (r *Run) cut() bool {
	if r.full {
		r.close(stepfn.Failed, &failure{name: stepfn.StatesRuntime,
			cause: fmt.Sprintf("The execution reached the maximum number of history events (%d).", stepfn.MaxEvents)})
		return true
	}
	r.decision.More = len(r.decision.Events) >= longEvents || r.size >= longBytes
	return r.decision.More
}

// runnable reports whether the frame waits for nothing. A group starts all the lines that it may start before the first
// of them runs.
func (f *frame) runnable() bool {
	if f.kind == groupKind {
		return f.canStart()
	}
	return f.phase == ready || f.phase == redo
}

// step advances a frame by one transition.
func (r *Run) step(f *frame) {
	r.touch(f)
	switch {
	case f.kind == groupKind:
		r.startLine(f)
	case f.phase == ready:
		r.enter(f)
	default:
		r.do(f)
	}
}

// enqueue appends a frame to the queue of frames that can advance.
func (r *Run) enqueue(f *frame) {
	r.touch(f)
	if !f.queued {
		f.queued = true
		r.queue = append(r.queue, f.id)
	}
}

// touch marks a frame as changed: the decision writes it.
func (r *Run) touch(f *frame) {
	if !f.dirty {
		f.dirty = true
		r.touched = append(r.touched, f.id)
	}
}

// add assigns an id to a new frame. The id of a frame is always greater than that of its parent.
func (r *Run) add(f *frame) *frame {
	f.id = r.nextFrame
	r.nextFrame++
	r.frames[f.id] = f
	r.touch(f)
	return f
}

// remove deletes a frame. The decision lists it as Gone only if it has ever been stored.
func (r *Run) remove(f *frame) {
	if f.stored {
		r.decision.Gone = append(r.decision.Gone, f.id)
	}
	delete(r.frames, f.id)
}

// decide completes the decision. With late, the run was closed before the fact, so that this decision did not close it.
func (r *Run) decide(late bool) Decision {
	for _, id := range r.touched {
		if f := r.frames[id]; f != nil {
			f.dirty, f.stored = false, true
			r.decision.Dirty = append(r.decision.Dirty, id)
		}
	}
	r.decision.cancelOut()
	r.head.Wake = time.Time{}
	if r.closed() {
		r.decision.Closed = !late
	} else {
		r.head.Wake = r.nextTimer()
	}
	r.head.More = r.decision.More
	r.decision.Wake = r.head.Wake
	d := r.decision
	r.decision = Decision{}
	return d
}

// cancelOut removes tasks and map runs that the decision both starts and stops: a branch can fail in the decision that
// started another one.
func (d *Decision) cancelOut() {
	d.Tasks = slices.DeleteFunc(d.Tasks, func(t Task) bool { return d.removeID(&d.Stops, t.ID) })
	d.MapRuns = slices.DeleteFunc(d.MapRuns, func(m MapRun) bool { return d.removeID(&d.StopMapRuns, m.ID) })
}

// removeID removes the id from ids, and reports whether it was there.
func (d *Decision) removeID(ids *[]string, id string) bool {
	i := slices.Index(*ids, id)
	if i >= 0 {
		*ids = slices.Delete(*ids, i, i+1)
	}
	return i >= 0
}

// emit appends an event that follows the last one of the frame, and returns its id.
func (r *Run) emit(f *frame, e history.Event) int64 {
	e.Previous = f.last
	id := r.emitAfter(e)
	f.last = id
	return id
}

// emitAfter appends an event whose Previous is set. If the history is full, it drops the event and sets r.full, so that
// the run fails. Express executions have no limit of events.
func (r *Run) emitAfter(e history.Event) int64 {
	if r.head.LastEvent >= stepfn.MaxEvents-1 && !r.params.Express {
		r.full = true
		return r.head.LastEvent
	}
	return r.emitLast(e)
}

// emitLast is emitAfter for events that end the history: emitAfter always leaves room for one.
func (r *Run) emitLast(e history.Event) int64 {
	r.head.LastEvent++
	e.ID, e.Time = r.head.LastEvent, r.now
	r.size += len(e.Input) + len(e.Output) + len(e.Parameters) + 64
	r.decision.Events = append(r.decision.Events, e)
	return e.ID
}

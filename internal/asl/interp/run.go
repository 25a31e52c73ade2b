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

// Params is what a run is born with and what never changes.
type Params struct {
	ExecutionARN, Name      string
	MachineARN, MachineName string
	AliasARN, VersionARN    string // shown in ExecutionStarted where set
	RoleARN, Region         string
	Express                 bool
	Input                   []byte // as given by the caller, valid JSON
	StartTime               time.Time
	Seed                    uint64 // all randomness of the run comes from it
	// Program says which part of the definition runs: 0 is the machine itself, others are the item processors of
	// distributed Maps (MapRun.Program).
	Program   int
	MapRunARN string // of a distributed Map's child execution
	MapItem   []byte // $$.Map.Item of children that releases before this one started
}

// Head is what a run's head says to those who need nothing else.
type Head struct {
	Status       stepfn.Status
	Output       []byte
	Error, Cause string
	StopTime     time.Time // zero while it runs
	RedriveCount int
	RedriveTime  time.Time
	LastEvent    int64     // id of the last event
	Wake         time.Time // the earliest deadline, by the steady clock; zero when there is none
	More         bool      // the last decision had More: apply Continue
}

// Run is one execution's state. It is not safe for use by several goroutines at once. After an error of Apply, or when a
// decision could not be kept, the Run must be dropped and loaded again.
type Run struct {
	machine *asl.Machine
	params  Params
	head    Head

	input     *data         // params.Input
	deadline  time.Time     // as all that is kept of deadlines but a Timestamp, by the steady clock
	ahead     time.Duration // Moment.Ahead, as the timers have it
	nextFrame FrameID
	frames    map[FrameID]*frame
	queue     []FrameID // frames that can go on at once
	timers    timers
	resource  func(resource string) error
	test      *test // TestState's, else nil

	// of the decision being made
	now      time.Time // for the history
	steady   time.Time // for deadlines
	decision Decision
	size     int // bytes of events
	touched  []FrameID
	full     bool // the history has reached its limit
	reports  map[string]string
}

// New makes a run that has not begun: apply Start.
func New(p Params, m *asl.Machine) *Run {
	return &Run{machine: m, params: p, input: textData(p.Input), nextFrame: firstFrame, frames: map[FrameID]*frame{}}
}

// CheckResources gives the run a test of a Task's resource when it is scheduled: its error, such as
// "The activity ... does not exist.", fails the state with States.Runtime. Without one all resources are taken.
func (r *Run) CheckResources(check func(resource string) error) { r.resource = check }

// Head is the run's head.
func (r *Run) Head() Head { return r.head }

// Params is what the run was born with.
func (r *Run) Params() Params { return r.params }

var (
	errStarted    = errors.New("the run has started already")
	errNotStarted = errors.New("the run has not started")
)

// Apply decides what follows from a fact at a time. A fact that comes too late (its task ended, the run closed) gives an
// empty decision. An error means that the fact or the run is broken, never that the execution fails.
func (r *Run) Apply(f Fact, now time.Time) (Decision, error) {
	return r.ApplyAt(f, Moment{Now: now, Steady: now})
}

// ApplyAt is Apply where the wall clock may have been set.
func (r *Run) ApplyAt(f Fact, at Moment) (Decision, error) {
	r.enterMoment(at)
	r.decision, r.size, r.touched = Decision{Events: make([]history.Event, 0, r.room(f))}, 0, r.touched[:0]
	_, again := f.(Redrive) // which opens a closed run, and may close it at once
	late := r.closed() && !again
	if err := r.take(f); err != nil {
		return Decision{}, fmt.Errorf("apply %T: %w", f, err)
	}
	r.goOn()
	return r.decide(late), nil
}

// room guesses how many events follow from a fact, so that they are seldom copied: a start often runs through the whole
// machine, any other fact to the next task.
func (r *Run) room(f Fact) int {
	if _, isStart := f.(Start); isStart && r.params.Program >= 0 && r.params.Program < len(r.machine.Programs) {
		return min(2*len(r.machine.Programs[r.params.Program].States)+2, longEvents)
	}
	return 8
}

// take changes the run by a fact; goOn then lets the lines run on.
func (r *Run) take(f Fact) error {
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

// start checks what only a caller can get wrong, so that nothing later has to.
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

// expressLimit is how long an Express execution may run.
const expressLimit = 5 * time.Minute

// timeLimit is when a run that begins at a time is ended with TIMED_OUT; zero when never.
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

// emitFirst: events 1 and 2 both follow event 0, as Step Functions numbers them.
func (r *Run) emitFirst() {
	r.head.LastEvent = 1
	r.decision.Events = append(r.decision.Events, history.Event{
		ID: 1, Time: r.now, Type: history.ExecutionStarted, Input: r.params.Input, RoleARN: r.params.RoleARN,
		AliasARN: r.params.AliasARN, VersionARN: r.params.VersionARN,
	})
}

// A decision is long when it has this many events or bytes: then it is cut, and More is set.
const (
	longEvents = 256
	longBytes  = 1 << 20
)

// goOn lets every line that can go on do so, each as far as it comes, until all wait or the decision is long.
func (r *Run) goOn() {
	for len(r.queue) > 0 && !r.closed() {
		f := r.frames[r.queue[0]]
		if f != nil && f.canGo() {
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

// cut says that the decision ends here: it is long, or the history is full.
func (r *Run) cut() bool {
	if r.full {
		r.close(stepfn.Failed, &failure{name: stepfn.StatesRuntime,
			cause: fmt.Sprintf("The execution reached the maximum number of history events (%d).", stepfn.MaxEvents)})
		return true
	}
	r.decision.More = len(r.decision.Events) >= longEvents || r.size >= longBytes
	return r.decision.More
}

// canGo says that the frame waits for nothing. A group starts all the lines that it may before the first of them runs.
func (f *frame) canGo() bool {
	if f.kind == groupKind {
		return f.canStart()
	}
	return f.phase == ready || f.phase == redo
}

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

// enqueue lets a frame go on in its turn.
func (r *Run) enqueue(f *frame) {
	r.touch(f)
	if !f.queued {
		f.queued = true
		r.queue = append(r.queue, f.id)
	}
}

// touch marks a frame to be written.
func (r *Run) touch(f *frame) {
	if !f.dirty {
		f.dirty = true
		r.touched = append(r.touched, f.id)
	}
}

// add gives a new frame its number. Numbers grow downwards: a frame's parent always has a smaller one.
func (r *Run) add(f *frame) *frame {
	f.id = r.nextFrame
	r.nextFrame++
	r.frames[f.id] = f
	r.touch(f)
	return f
}

// remove forgets a frame; on disk it is gone only if it was ever there.
func (r *Run) remove(f *frame) {
	if f.stored {
		r.decision.Gone = append(r.decision.Gone, f.id)
	}
	delete(r.frames, f.id)
}

// decide completes the decision. A late fact, of a run that had closed before, closes nothing.
func (r *Run) decide(late bool) Decision {
	for _, id := range r.touched {
		if f := r.frames[id]; f != nil {
			f.dirty, f.stored = false, true
			r.decision.Dirty = append(r.decision.Dirty, id)
		}
	}
	r.decision.settle()
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

// settle leaves out what is both to be started and to be stopped: a branch may fail in the decision that began another.
func (d *Decision) settle() {
	d.Tasks = slices.DeleteFunc(d.Tasks, func(t Task) bool { return d.forget(&d.Stops, t.ID) })
	d.MapRuns = slices.DeleteFunc(d.MapRuns, func(m MapRun) bool { return d.forget(&d.StopMapRuns, m.ID) })
}

func (d *Decision) forget(ids *[]string, id string) bool {
	i := slices.Index(*ids, id)
	if i >= 0 {
		*ids = slices.Delete(*ids, i, i+1)
	}
	return i >= 0
}

// emit appends an event that follows the frame's last one.
func (r *Run) emit(f *frame, e history.Event) int64 {
	e.Previous = f.last
	id := r.emitAfter(e)
	f.last = id
	return id
}

// emitAfter appends an event whose Previous is set.
func (r *Run) emitAfter(e history.Event) int64 {
	if r.head.LastEvent >= stepfn.MaxEvents-1 && !r.params.Express {
		r.full = true
		return r.head.LastEvent
	}
	return r.emitLast(e)
}

// emitLast is emitAfter for events that end the history: there is always room for them.
func (r *Run) emitLast(e history.Event) int64 {
	r.head.LastEvent++
	e.ID, e.Time = r.head.LastEvent, r.now
	r.size += len(e.Input) + len(e.Output) + len(e.Parameters) + 64
	r.decision.Events = append(r.decision.Events, e)
	return e.ID
}

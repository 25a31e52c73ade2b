package engine

import (
	"container/list"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// run is an execution in memory. Facts are applied one after another under mu. Facts that arrive during a commit wait in the inbox and
// share the next commit.
type run struct {
	id store.ID

	mu     sync.Mutex
	state  *interp.Run // nil if it is not loaded
	meta   meta
	more   bool          // the interpreter has more to do: it needs interp.Continue
	stored bool          // its first commit is on disk
	was    stepfn.Status // the status in the lists; empty if the run is not in them
	open   openState     // the stored open record
	ahead  time.Duration // how far the wall clock was ahead of the steady clock at the last fact
	lead   time.Duration // how far the time in the history is ahead of the steady clock; it never decreases
	mem    *inMemory     // set for an Express run, which is not on disk
	by     store.ID      // the run that started this one, used until this one is on disk; 0 if there is none

	inboxMu sync.Mutex
	inbox   []*pending

	weight int           // the approximate size of its frames, in bytes
	refs   int           // the number of users; guarded by hotRuns.mu, as is idle
	idle   *list.Element // its element in hotRuns.lru; nil while it is in use
}

// pending is a fact that waits to be applied.
type pending struct {
	fact   interp.Fact
	check  func(*interp.Run) error // rejects the fact with its error; nil accepts it
	effect string                  // the effect that the fact removes from the outbox
	// idle has the running tasks of a run that no engine drives, if the fact is an abort. It is nil for a run that this engine drives.
	idle map[string]interp.Task
	done bool
	err  error
}

func (r *run) post(p *pending) {
	r.inboxMu.Lock()
	r.inbox = append(r.inbox, p)
	r.inboxMu.Unlock()
}

func (r *run) take() []*pending {
	r.inboxMu.Lock()
	defer r.inboxMu.Unlock()
	todo := r.inbox
	r.inbox = nil
	return todo
}

// hotRuns has the runs in memory: those in use, and the most recently used idle ones.
type hotRuns struct {
	mu   sync.Mutex
	byID map[store.ID]*run
	lru  list.List // of idle runs, the most recently used one first
	max  int       // the maximum length of lru
	size int       // the sum of the weights in lru
}

// maxIdleBytes is the maximum total size of the frames of idle runs, in bytes: a run with a large Map may have many frames.
const maxIdleBytes = 32 << 20

// get returns the run with an id, which may not be loaded yet. The caller must call put when it no longer uses it.
func (h *hotRuns) get(id store.ID) *run {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.byID[id]
	if r == nil {
		if h.byID == nil {
			h.byID = map[store.ID]*run{}
		}
		r = &run{id: id, lead: math.MinInt64}
		h.byID[id] = r
	}
	if r.idle != nil {
		h.takeIdle(r)
	}
	r.refs++
	return r
}

// takeIdle removes a run from the idle ones.
func (h *hotRuns) takeIdle(r *run) {
	h.lru.Remove(r.idle)
	h.size -= r.weight
	r.idle = nil
}

// put ends a use of a run. An unused run stays in memory if it is open, up to the limits.
func (h *hotRuns) put(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.refs--; r.refs > 0 {
		return
	}
	if r.state == nil || r.state.Head().Status != stepfn.Running {
		delete(h.byID, r.id)
		return
	}
	r.idle = h.lru.PushFront(r)
	h.size += r.weight
	for h.lru.Len() > h.max || h.size > maxIdleBytes {
		old := h.lru.Back().Value.(*run)
		h.takeIdle(old)
		delete(h.byID, old.id)
	}
}

// step collects the decisions on a number of facts, for one commit.
type step struct {
	events      []history.Event
	dirty, gone []interp.FrameID
	tasks       []interp.Task
	stops       []string
	maps        []interp.MapRun
	stopMaps    []string
	performed   []string
	closed      bool
	reopened    time.Time // if a redrive reopened the run: when it had closed
	// idle has the tasks to stop of a run that no engine drives: the commit writes the stops to the outbox, and act does nothing.
	idle map[string]interp.Task
	// note has the note on the fact that is being applied. after is the id of the last event before the step.
	note  noteSlot
	after int64
	// survived has the steps that are complete now and during which an earlier process died.
	survived []string
}

// The maximum numbers of facts and events in one commit.
const (
	maxFacts  = 256
	maxEvents = 2000
)

// deliver applies a fact to a run and returns when the consequences are on disk.
func (e *Engine) deliver(id store.ID, f interp.Fact) error {
	return e.deliverChecked(id, &pending{fact: f})
}

// deliverChecked is deliver for a fact with a check.
func (e *Engine) deliverChecked(id store.ID, p *pending) error {
	r := e.hot.get(id)
	defer e.hot.put(r)
	r.post(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.done {
		e.work(r)
	}
	return p.err
}

// work applies the facts in the inbox until it is empty and the interpreter has nothing more to do. The caller holds r.mu.
func (e *Engine) work(r *run) {
	var queue []*pending
	alone := 0 // the number of facts that get a commit each
	for {
		queue = append(queue, r.take()...)
		if len(queue) == 0 && !r.more {
			return
		}
		most := maxFacts
		if alone > 0 {
			most = 1
		}
		n, err := e.advance(r, queue[:min(most, len(queue))])
		if errors.Is(err, errSpoiled) { // one of several facts failed: apply them one by one, so that the others are not lost
			alone = n
			continue
		}
		alone -= n
		for _, p := range queue[:n] {
			p.done = true
			if p.err == nil {
				p.err = err
			}
		}
		queue = queue[n:]
	}
}

// errSpoiled means that one of several facts could not be applied. All of them have to be applied again, to the run as it is on disk.
var errSpoiled = errors.New("one of several facts could not be applied")

// advance applies the first facts of the queue, commits, and acts. It returns the number of facts that it handled. If it fails, it
// unloads the run, whose state in memory may be ahead of the disk.
func (e *Engine) advance(r *run, queue []*pending) (int, error) {
	note := e.notes.begin()
	defer note.end()
	if err := e.load(r, note); err != nil {
		r.more = false
		return len(queue), err
	}
	s, n, err := e.decide(r, queue, note)
	if err == nil {
		err = e.commit(r, s)
	}
	if err != nil {
		if n > 1 && r.mem == nil && r.stored {
			err = errSpoiled
		}
		e.lose(r, err)
		return n, err
	}
	e.act(r, s)
	return n, nil
}

// lose unloads a run after a failure: the next use loads it from disk. An Express run is only in memory, so it ends as FAILED.
func (e *Engine) lose(r *run, err error) {
	if r.mem != nil {
		x := e.executionOf(r.state.Params(), r.state.Head(), &r.meta)
		x.Status, x.Error, x.Cause, x.Stopped = stepfn.Failed, stepfn.StatesRuntime, err.Error(), e.c.Now()
		r.mem.finish(x)
	}
	r.state, r.more = nil, false
}

// decide applies as many facts as fit into a commit, and returns their number. An error means that the last of them could not be applied,
// and that the run in memory must not be used any more.
func (e *Engine) decide(r *run, queue []*pending, note noteSlot) (*step, int, error) {
	s := &step{note: note, after: r.state.Head().LastEvent}
	if r.more {
		if err := e.apply(r, s, &pending{fact: interp.Continue{}}); err != nil {
			return nil, len(queue), err
		}
	}
	for n, p := range queue {
		if r.more || len(s.events) >= maxEvents {
			return s, n, nil
		}
		if e.crashes.defers(r.id, p.fact) {
			p.err = ErrParked
			continue
		}
		if p.check != nil {
			if p.err = p.check(r.state); p.err != nil {
				continue
			}
		}
		if err := e.apply(r, s, p); err != nil {
			e.logger.Error("could not apply a fact", "execution", r.state.Params().ExecutionARN, "problem", err)
			return nil, n + 1, err
		}
		if p.idle != nil {
			s.idle = p.idle
		}
		if p.effect != "" {
			s.performed = append(s.performed, p.effect)
		}
	}
	return s, len(queue), nil
}

// apply applies one fact and adds the decision to the step.
func (e *Engine) apply(r *run, s *step, p *pending) error {
	if _, again := p.fact.(interp.Redrive); again {
		s.reopened = r.state.Head().StopTime
	}
	by, kind, of := r.stepOf(p.fact)
	s.note.write(by, s.noteNumber(r), kind, of)
	d, err := applyGuarded(r.state, p.fact, e.momentFor(r))
	if err != nil {
		return fmt.Errorf("apply %T: %w", p.fact, err)
	}
	e.crashes.survive(r, s, p.fact)
	s.add(d)
	r.more = d.More
	return nil
}

// applyGuarded converts a panic of the interpreter to an error, so that a bug affects only this execution.
func applyGuarded(state *interp.Run, f interp.Fact, at interp.Moment) (d interp.Decision, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the interpreter panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return state.ApplyAt(f, at)
}

// empty reports whether a step has nothing to store, for example because its facts arrived too late.
func (s *step) empty() bool {
	return len(s.events)+len(s.dirty)+len(s.gone)+len(s.tasks)+len(s.stops)+len(s.maps)+len(s.stopMaps)+len(s.performed) == 0 &&
		!s.closed && s.reopened.IsZero()
}

// add adds the decision on one fact.
func (s *step) add(d interp.Decision) {
	s.events = append(s.events, d.Events...)
	s.dirty = append(s.dirty, d.Dirty...)
	s.gone = append(s.gone, d.Gone...)
	s.tasks = append(s.tasks, d.Tasks...)
	s.stops = append(s.stops, d.Stops...)
	s.maps = append(s.maps, d.MapRuns...)
	s.stopMaps = append(s.stopMaps, d.StopMapRuns...)
	s.closed = s.closed || d.Closed
}

// momentFor returns the time for a fact. The history shows the time of the wall clock; but if the clock is set back while the run is in
// memory, the times in the history do not go back.
func (e *Engine) momentFor(r *run) interp.Moment {
	at := e.clock.now()
	r.ahead, r.lead = at.Ahead, max(r.lead, at.Now.Sub(at.Steady))
	at.Now = at.Steady.Add(r.lead)
	return at
}

// load reads a run from the store unless it is loaded. note identifies the run, in case reading it kills the process.
func (e *Engine) load(r *run, note noteSlot) error {
	if r.state != nil {
		return nil
	}
	note.write(r.id, 0, "load", "")
	kept, err := e.st.Load(r.id)
	if errors.Is(err, store.ErrNoRun) {
		return ErrExecutionDoesNotExist
	}
	if err != nil {
		return fmt.Errorf("load run %d: %w", r.id, err)
	}
	if r.meta, err = decodeMeta(kept.Meta); err != nil {
		return fmt.Errorf("load run %d: %w", r.id, err)
	}
	m, err := e.machines.byHash(r.meta.Hash)
	if err != nil {
		return fmt.Errorf("load run %d: %w", r.id, err)
	}
	if err := r.restore(m, kept); err != nil {
		return err
	}
	r.state.CheckResources(e.checkResource)
	r.more = r.more && !e.resting.holds(r.id) && !e.crashes.park(r.id) // an interrupted run continues when it is resumed
	return nil
}

// restore sets the run's state from its stored parts.
func (r *run) restore(m *asl.Machine, kept store.Run) error {
	frames := make([]interp.StoredFrame, len(kept.Frames))
	r.weight = 0
	for i, f := range kept.Frames {
		r.weight += len(f.Data)
		frames[i] = interp.StoredFrame{ID: interp.FrameID(f.Number), Data: f.Data}
	}
	state, err := interp.Load(m, kept.Head, frames)
	if err != nil {
		return fmt.Errorf("load run %d: %w", r.id, err)
	}
	h := state.Head()
	r.state, r.more, r.stored, r.was = state, h.More, true, h.Status
	r.open = openState{wake: millis(h.Wake), more: h.More}
	return nil
}

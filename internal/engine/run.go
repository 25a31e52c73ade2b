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

// run is an execution in memory. Facts are applied one after another under mu; those that come while a commit is under
// way wait in the inbox and share the next one.
type run struct {
	id store.ID

	mu     sync.Mutex
	state  *interp.Run // nil until it is loaded
	meta   meta
	more   bool
	stored bool          // its first commit is on disk
	was    stepfn.Status // as the lists have it; empty when they have nothing
	open   openState     // as the open record has it
	ahead  time.Duration // of the wall clock, as the last fact had it
	lead   time.Duration // how far the history's time is ahead of the steady one
	mem    *inMemory     // of an Express run; nil for others
	by     store.ID      // the run that started it, as long as it is not on disk; 0 for none

	inboxMu sync.Mutex
	inbox   []*pending

	weight int           // bytes of its frames, about
	refs   int           // guarded by hotRuns.mu, as is idle
	idle   *list.Element // its place among the idle ones
}

// pending is a fact that waits to be applied.
type pending struct {
	fact   interp.Fact
	check  func(*interp.Run) error // may refuse the fact; nil accepts
	effect string                  // the effect that the fact removes from the outbox
	// idle are the tasks of a run that nothing drives, for an abort. Nil for a run that this engine drives.
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

// hotRuns are the runs in memory: those in use, and the idle ones that were used last.
type hotRuns struct {
	mu   sync.Mutex
	byID map[store.ID]*run
	lru  list.List // of idle runs, the latest in front
	max  int
	size int // of the idle runs, by weight
}

// maxIdleBytes bounds the idle runs by what their frames weigh, for those of large Maps.
const maxIdleBytes = 32 << 20

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

// takeIdle takes a run from the idle ones.
func (h *hotRuns) takeIdle(r *run) {
	h.lru.Remove(r.idle)
	h.size -= r.weight
	r.idle = nil
}

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

// step is what a few facts led to, for one commit.
type step struct {
	events      []history.Event
	dirty, gone []interp.FrameID
	tasks       []interp.Task
	stops       []string
	maps        []interp.MapRun
	stopMaps    []string
	performed   []string
	closed      bool
	reopened    time.Time // when the run had closed that a redrive took up
	// idle are the tasks to stop of a run that nothing drives: the commit notes the stops, and nothing follows it.
	idle map[string]interp.Task
	// note is the note of the facts that are applied, before the event that the history had last.
	note  noteSlot
	after int64
	// survived are the steps that are done, of those during which an earlier process died.
	survived []string
}

// Bounds of what shares a commit.
const (
	maxFacts  = 256
	maxEvents = 2000
)

// deliver applies a fact to a run and returns when what follows is on disk.
func (e *Engine) deliver(id store.ID, f interp.Fact) error {
	return e.deliverChecked(id, &pending{fact: f})
}

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

// work applies what is in the inbox until nothing is left to do. The caller holds r.mu.
func (e *Engine) work(r *run) {
	var queue []*pending
	alone := 0 // so many facts get a commit each
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
		if errors.Is(err, errSpoiled) { // one fact of several is broken: they must not suffer for it
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

// errSpoiled means that a fact could not be applied, after others that could: all have to be applied again, to what the
// disk has.
var errSpoiled = errors.New("a broken fact among others")

// advance decides upon the first facts of the queue, commits and acts, and says how many facts that were. When it
// fails, memory forgets what the disk does not have.
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

// lose forgets a run whose memory may be ahead of the disk. An Express run has nothing but its memory: it ends.
func (e *Engine) lose(r *run, err error) {
	if r.mem != nil {
		x := e.executionOf(r.state.Params(), r.state.Head(), &r.meta)
		x.Status, x.Error, x.Cause, x.Stopped = stepfn.Failed, stepfn.StatesRuntime, err.Error(), e.c.Now()
		r.mem.finish(x)
	}
	r.state, r.more = nil, false
}

// decide applies facts, as many as fit a commit, and says how many. An error means that the last of them is broken, and
// that the run in memory is not to be used any more.
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
			e.logger.Error("fact refused", "execution", r.state.Params().ExecutionARN, "problem", err)
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

// applyGuarded keeps a mistake of the interpreter from ending all executions: it is this one's error alone.
func applyGuarded(state *interp.Run, f interp.Fact, at interp.Moment) (d interp.Decision, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the interpreter panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return state.ApplyAt(f, at)
}

// empty reports whether a step has nothing to store, because its facts came too late.
func (s *step) empty() bool {
	return len(s.events)+len(s.dirty)+len(s.gone)+len(s.tasks)+len(s.stops)+len(s.maps)+len(s.stopMaps)+len(s.performed) == 0 &&
		!s.closed && s.reopened.IsZero()
}

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

// momentFor is the time of a fact. The history of a run in memory shows the wall clock's time, but does not go back with it: it
// continues with the latest time.
func (e *Engine) momentFor(r *run) interp.Moment {
	at := e.clock.now()
	r.ahead, r.lead = at.Ahead, max(r.lead, at.Now.Sub(at.Steady))
	at.Now = at.Steady.Add(r.lead)
	return at
}

// load reads a run that is not in memory.
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
	r.more = r.more && !e.resting.holds(r.id) && !e.crashes.park(r.id) // the command that resumes it continues it
	return nil
}

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

package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// Deadlines are times of the steady clock. A run that waits for a time of the wall clock needs another deadline when the wall clock is
// set: then each run that has a timer is woken up, and the interpreter computes its next deadline again.

// maxSleep is the maximum time until a step of the wall clock, or a suspension of the machine, is noticed.
const maxSleep = time.Second

// maxFiring is the maximum number of runs that are woken up concurrently.
const maxFiring = 64

type timer struct {
	id       store.ID
	deadline int64 // on the steady clock, in milliseconds since 1970
}

// timers has the next deadline of each run that waits for one. A timer costs 16 bytes in a heap and an entry in a map.
type timers struct {
	clock   *clock
	fire    func(store.ID)   // wakes up a run whose deadline has passed
	stepped func([]store.ID) // gets all runs with timers when the wall clock was set

	mu    sync.Mutex
	heap  timerHeap
	ahead time.Duration // how far the wall clock was ahead when it was last read
	kick  chan struct{} // makes run check the heap again
}

func newTimers(c *clock, fire func(store.ID), stepped func([]store.ID)) *timers {
	t := &timers{clock: c, fire: fire, stepped: stepped, ahead: c.mark().Ahead, kick: make(chan struct{}, 1)}
	t.heap.at = map[store.ID]int32{}
	return t
}

// set sets the deadline of a run; a zero deadline removes the timer.
func (t *timers) set(id store.ID, deadline time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, armed := t.heap.at[id]
	if deadline.IsZero() {
		if armed {
			heap.Remove(&t.heap, int(at))
		}
		return
	}
	tm := timer{id, deadline.UnixMilli()}
	if armed {
		t.heap.timers[at] = tm
		heap.Fix(&t.heap, int(at))
	} else {
		heap.Push(&t.heap, tm)
	}
	if t.heap.timers[0].id == id {
		t.wake()
	}
}

func (t *timers) wake() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// run fires timers until ctx ends.
func (t *timers) run(ctx context.Context) {
	firing := make(chan struct{}, maxFiring)
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		now := t.clock.now()
		t.follow(now.Ahead)
		tm, sleep, ok := t.next(now.Steady)
		if !ok {
			t.sleep(ctx, sleep)
			continue
		}
		firing <- struct{}{}
		wg.Go(func() {
			defer func() { <-firing }()
			t.fire(tm.id)
		})
	}
}

// sleep waits for d (0: without a limit), until a timer is set, or until ctx ends.
func (t *timers) sleep(ctx context.Context, d time.Duration) {
	var alarm <-chan time.Time
	if d > 0 {
		tm := time.NewTimer(d)
		defer tm.Stop()
		alarm = tm.C
	}
	select {
	case <-alarm:
	case <-t.kick:
	case <-ctx.Done():
	}
}

// next removes and returns a timer that is due, or returns how long to sleep until the next one (0: until a timer is set).
func (t *timers) next(now time.Time) (timer, time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heap.Len() == 0 {
		return timer{}, 0, false
	}
	if wait := fromMillis(t.heap.timers[0].deadline).Sub(now); wait > 0 {
		return timer{}, min(wait, maxSleep), false
	}
	return heap.Pop(&t.heap).(timer), 0, true
}

// follow calls stepped if the wall clock was set since the last call.
func (t *timers) follow(ahead time.Duration) {
	t.mu.Lock()
	same := ahead == t.ahead
	t.ahead = ahead
	var ids []store.ID
	for i := 0; !same && i < len(t.heap.timers); i++ {
		ids = append(ids, t.heap.timers[i].id)
	}
	t.mu.Unlock()
	if !same {
		t.stepped(ids)
	}
}

func (t *timers) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heap.Len()
}

// timerHeap is a heap of timers by deadline. at has the index of each run's timer.
type timerHeap struct {
	timers []timer
	at     map[store.ID]int32
}

func (h *timerHeap) Len() int           { return len(h.timers) }
func (h *timerHeap) Less(i, j int) bool { return h.timers[i].deadline < h.timers[j].deadline }

func (h *timerHeap) Swap(i, j int) {
	h.timers[i], h.timers[j] = h.timers[j], h.timers[i]
	h.at[h.timers[i].id], h.at[h.timers[j].id] = int32(i), int32(j)
}

func (h *timerHeap) Push(x any) {
	tm := x.(timer)
	h.at[tm.id] = int32(len(h.timers))
	h.timers = append(h.timers, tm)
}

func (h *timerHeap) Pop() any {
	last := len(h.timers) - 1
	tm := h.timers[last]
	h.timers = h.timers[:last]
	delete(h.at, tm.id)
	return tm
}

// fire wakes up a run whose deadline has passed or may have changed.
func (e *Engine) fire(id store.ID) {
	if err := e.deliver(id, interp.Wake{Reports: e.tasks.reportsOf(id)}); err != nil {
		e.logger.Error("could not wake up a run", "run", uint64(id), "problem", err)
	}
}

package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// Deadlines are of the steady clock. Where a run waits for a time of the wall clock, setting that one changes the deadline: the run
// knows, and is woken up to arm its timer again.

// maxSleep is how soon a step of the wall clock is seen, or that the machine was suspended.
const maxSleep = time.Second

// maxFiring is how many runs are woken at once.
const maxFiring = 64

type timer struct {
	id       store.ID
	deadline int64 // in milliseconds
}

// timers hold one deadline for each run that waits for one: 16 bytes in a heap and its place in a map.
type timers struct {
	clock   *clock
	fire    func(store.ID)
	stepped func([]store.ID)

	mu    sync.Mutex
	heap  timerHeap
	ahead time.Duration // of the wall clock, as last seen
	kick  chan struct{}
}

func newTimers(c *clock, fire func(store.ID), stepped func([]store.ID)) *timers {
	t := &timers{clock: c, fire: fire, stepped: stepped, ahead: c.mark().Ahead, kick: make(chan struct{}, 1)}
	t.heap.at = map[store.ID]int32{}
	return t
}

// set arms the one timer of a run, or takes it away when deadline is zero.
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

// next takes the timer that is due, or says how long to sleep (0: until something is armed).
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

// follow reports a step of the wall clock.
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

// timerHeap orders timers by when they are due and knows where each run's is.
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

// fire wakes a run whose deadline has come, or may have changed.
func (e *Engine) fire(id store.ID) {
	if err := e.deliver(id, interp.Wake{Reports: e.tasks.reportsOf(id)}); err != nil {
		e.logger.Error("wake a run", "run", uint64(id), "problem", err)
	}
}

package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/interp"
	"github.com/rayorch/rayorch/internal/store"
)

// Deadlines are kept twice: as the wall clock's time, since that is what histories and restarts know, and as a moment
// of the monotonic clock, since the wall clock may be set. A timer is due when either says so: setting the clock
// forward fires what is due by then, setting it back delays nothing.

// maxSleep is how soon a step of the wall clock is seen.
const maxSleep = time.Second

// maxFiring is how many runs are woken at once.
const maxFiring = 64

type timer struct {
	id       store.ID
	deadline int64         // wall clock, in milliseconds
	due      time.Duration // monotonic, since origin
}

// timers hold one deadline for each run that waits for one: 24 bytes in a heap and its place in a map.
type timers struct {
	now    func() time.Time
	origin time.Time
	fire   func(store.ID, time.Time)

	mu     sync.Mutex
	heap   timerHeap
	offset time.Duration // wall clock less monotonic, as last seen
	kick   chan struct{}
}

func newTimers(now func() time.Time, fire func(store.ID, time.Time)) *timers {
	t := &timers{now: now, origin: time.Now(), fire: fire, kick: make(chan struct{}, 1)}
	t.heap.at = map[store.ID]int32{}
	t.offset = t.measure()
	return t
}

func (t *timers) mono() time.Duration { return time.Since(t.origin) }

// measure is how far the wall clock is ahead of the monotonic one.
func (t *timers) measure() time.Duration {
	return time.Duration(t.now().UnixMilli())*time.Millisecond - t.mono()
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
	ms := deadline.UnixMilli()
	if armed && t.heap.timers[at].deadline == ms {
		return
	}
	tm := timer{id, ms, time.Duration(ms)*time.Millisecond - t.measure()}
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
		tm, sleep, ok := t.next()
		if !ok {
			t.sleep(ctx, sleep)
			continue
		}
		firing <- struct{}{}
		wg.Go(func() {
			defer func() { <-firing }()
			t.fire(tm.id, fromMillis(tm.deadline))
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
func (t *timers) next() (timer, time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.follow()
	if t.heap.Len() == 0 {
		return timer{}, 0, false
	}
	if wait := t.heap.timers[0].due - t.mono(); wait > 0 {
		return timer{}, min(wait, maxSleep), false
	}
	return heap.Pop(&t.heap).(timer), 0, true
}

// follow takes over a step of the wall clock: forward, what is due by the new time comes sooner.
func (t *timers) follow() {
	const ordinary = 20 * time.Millisecond // slewing and rounding
	offset := t.measure()
	step := offset - t.offset
	if step > -ordinary && step < ordinary {
		return
	}
	t.offset = offset
	if step < 0 {
		return
	}
	for i := range t.heap.timers {
		tm := &t.heap.timers[i]
		tm.due = min(tm.due, time.Duration(tm.deadline)*time.Millisecond-offset)
	}
	heap.Init(&t.heap)
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
func (h *timerHeap) Less(i, j int) bool { return h.timers[i].due < h.timers[j].due }

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

// fire wakes a run whose deadline has come.
func (e *Engine) fire(id store.ID, deadline time.Time) {
	err := e.deliverChecked(id, &pending{fact: interp.Wake{Reports: e.tasks.reportsOf(id)}, notBefore: deadline})
	if err != nil {
		e.logger.Error("wake a run", "run", uint64(id), "problem", err)
	}
}

// Package live serves views of executions (package progress) over HTTP: completely, as the changes since an event, and as a stream. The
// API of a state directory serves its own executions with it, and a console the executions of another API. All clients that watch an
// execution share one view, which is kept for a minute after the last client has left.
package live

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/view/progress"
)

// Source provides executions. Methods return an error if the execution does not exist.
type Source interface {
	// Definition returns the definition that an execution runs.
	Definition(ctx context.Context, arn string) ([]byte, error)
	// Events calls do for each event after the given one, in order.
	Events(ctx context.Context, arn string, after int64, do func(*progress.Event)) error
	// Wait waits until there may be an event after the given one, at most for the duration.
	Wait(ctx context.Context, arn string, after int64, most time.Duration) error
	// Outside returns the current facts that the history does not contain: the waiting tasks, and, if the execution is parked, why.
	Outside(ctx context.Context, arn string) (waiting []progress.Waiting, parked string, err error)
}

// Limits for the memory of views. The view of a history of 25,000 events has a few thousand entries.
const (
	textBytes = 4 << 10     // maximum size of an input or output in a view; longer ones are only in the events
	idleTime  = time.Minute // how long a view without clients is kept
	idleViews = 8           // maximum number of views without clients
)

// Views is a cache of the views of executions.
type Views struct {
	src Source

	mu    sync.Mutex
	byARN map[string]*cached
}

// New returns an empty cache for the executions of a source.
func New(src Source) *Views { return &Views{src: src, byARN: map[string]*cached{}} }

// cached is the view of an execution.
type cached struct {
	arn string

	// Guarded by Views.mu.
	clients int
	idle    time.Time // when the last client left

	// busy guards the following fields. It is a channel rather than a mutex, so that waiting for it can end with a context: an update takes
	// as long as the source needs.
	busy  chan struct{}
	view  *progress.View
	asked time.Time // when Outside was last called
}

// watch returns the view of an execution, which stays in the cache until the caller calls release. It does not check that the execution
// exists: the source returns an error later.
func (s *Views) watch(arn string) *cached {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byARN[arn]
	if f == nil {
		f = &cached{arn: arn, busy: make(chan struct{}, 1), view: progress.New(nil)}
		f.view.Limit(textBytes)
		s.byARN[arn] = f
	}
	f.clients++
	return f
}

// release ends the use of a view. A view without clients is removed after idleTime, or immediately if there are too many.
func (s *Views) release(f *cached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.clients--; f.clients > 0 {
		return
	}
	f.idle = time.Now()
	if f.view.Last == 0 { // the execution does not exist
		delete(s.byARN, f.arn)
		return
	}
	time.AfterFunc(idleTime, func() { s.drop(f, idleTime) })
	s.dropOldest()
}

// drop removes a view that has had no clients for a time.
func (s *Views) drop(f *cached, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.clients == 0 && time.Since(f.idle) >= since && s.byARN[f.arn] == f {
		delete(s.byARN, f.arn)
	}
}

// dropOldest limits the number of views without clients. The caller holds s.mu.
func (s *Views) dropOldest() {
	var idle []*cached
	for _, f := range s.byARN {
		if f.clients == 0 {
			idle = append(idle, f)
		}
	}
	slices.SortFunc(idle, func(a, b *cached) int { return b.idle.Compare(a.idle) })
	for _, f := range idle[min(idleViews, len(idle)):] {
		delete(s.byARN, f.arn)
	}
}

// with updates a view, and calls do with exclusive access to it.
func (s *Views) with(ctx context.Context, f *cached, do func(*progress.View)) error {
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-f.busy }()
	if err := s.update(ctx, f); err != nil {
		return err
	}
	do(f.view)
	return nil
}

// outsideInterval is how often Outside is called if there are no events.
const outsideInterval = time.Second

// update adds new events to a view, and the facts of Source.Outside. These can change without an event, so update calls Outside once per
// outsideInterval, and also after each event, because tasks may no longer wait. The caller holds f.busy. After an error, the next update
// continues where this one failed.
func (s *Views) update(ctx context.Context, f *cached) error {
	v := f.view
	if !v.Described() {
		definition, err := s.src.Definition(ctx, f.arn)
		if err != nil {
			return err
		}
		v.Describe(progress.ReadStates(definition))
	}
	last := v.Last
	if err := s.src.Events(ctx, f.arn, last, v.Fold); err != nil {
		return err
	}
	if v.Last == last && time.Since(f.asked) < outsideInterval {
		return nil
	}
	f.asked = time.Now()
	if v.Closed() {
		v.ShowWaiting(nil)
		v.Parked = ""
		return nil
	}
	waiting, parked, err := s.src.Outside(ctx, f.arn)
	if err != nil {
		return err
	}
	v.ShowWaiting(waiting)
	v.Parked = parked
	return nil
}

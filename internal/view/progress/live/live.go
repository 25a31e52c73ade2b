// Package live serves folds of executions over HTTP: in full, as the changes since an event, and as a stream. The API of a state
// directory serves its own executions with it, and the console those of another API. All clients that watch an execution share one fold,
// which is kept for a minute after the last client has left.
package live

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/view/progress"
)

// Source is where executions come from.
type Source interface {
	// Definition is the definition that an execution runs.
	Definition(ctx context.Context, arn string) ([]byte, error)
	// Events calls do for each event after one, in order.
	Events(ctx context.Context, arn string, after int64, do func(*progress.Event)) error
	// Wait returns when there may be an event after one, and after the time in any case.
	Wait(ctx context.Context, arn string, after int64, most time.Duration) error
	// Outside is what the history does not show: which tasks wait, and, if no process drives the execution any more, why.
	Outside(ctx context.Context, arn string) (waiting []progress.Waiting, parked string, err error)
}

// Limits of what is kept. A fold of 25,000 events has some thousand entries.
const (
	textBytes = 4 << 10     // of an input or output: longer ones are in the events only
	idleTime  = time.Minute // of a fold that nobody watches
	idleFolds = 8           // folds that nobody watches
)

// Folds are the folds that are kept.
type Folds struct {
	src Source

	mu    sync.Mutex
	byARN map[string]*fold
}

// New makes folds of a source's executions.
func New(src Source) *Folds { return &Folds{src: src, byARN: map[string]*fold{}} }

// fold is the fold of one execution.
type fold struct {
	arn string

	// Guarded by Folds.mu.
	watchers int
	idle     time.Time // since when nobody watches

	// busy is held while the fold is read or changed: a channel, since bringing it up to date may take as long as the source.
	busy  chan struct{}
	view  *progress.View
	asked time.Time // when Outside was called
}

// watch returns the fold of an execution, new or kept. It is kept at least until release, which must follow. Whether there is such an
// execution shows when the source is asked.
func (s *Folds) watch(arn string) *fold {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byARN[arn]
	if f == nil {
		f = &fold{arn: arn, busy: make(chan struct{}, 1), view: progress.New(nil)}
		f.view.Limit(textBytes)
		s.byARN[arn] = f
	}
	f.watchers++
	return f
}

// release lets the fold go: it is dropped after a while, or at once if too many are idle.
func (s *Folds) release(f *fold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.watchers--; f.watchers > 0 {
		return
	}
	f.idle = time.Now()
	if f.view.Last == 0 { // there is no such execution
		delete(s.byARN, f.arn)
		return
	}
	time.AfterFunc(idleTime, func() { s.drop(f, idleTime) })
	s.dropOldest()
}

// drop forgets a fold that has been idle for a time.
func (s *Folds) drop(f *fold, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.watchers == 0 && time.Since(f.idle) >= since && s.byARN[f.arn] == f {
		delete(s.byARN, f.arn)
	}
}

// dropOldest bounds the idle folds. s.mu is held.
func (s *Folds) dropOldest() {
	var idle []*fold
	for _, f := range s.byARN {
		if f.watchers == 0 {
			idle = append(idle, f)
		}
	}
	slices.SortFunc(idle, func(a, b *fold) int { return b.idle.Compare(a.idle) })
	for _, f := range idle[min(idleFolds, len(idle)):] {
		delete(s.byARN, f.arn)
	}
}

// with brings the fold up to date and calls do while nobody else uses it.
func (s *Folds) with(ctx context.Context, f *fold, do func(*progress.View)) error {
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

// outsideTime is how often Outside is called. Nothing reports its changes.
const outsideTime = time.Second

// update folds the events that are new, and asks for what they do not show: that may change without an event, so at most once in
// outsideTime, and after each event, since the same tasks may not wait any more. f is busy. After an error, the fold is as far as it
// came, and the next update continues.
func (s *Folds) update(ctx context.Context, f *fold) error {
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
	if v.Last == last && time.Since(f.asked) < outsideTime {
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

package engine

import (
	"context"
	"sync"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// WatchResult is the progress of an execution.
type WatchResult struct {
	LastEventID int64
	Status      stepfn.Status
	Closed      bool
}

// Watch waits until the execution has an event with an id greater than after, is closed, or ctx is done.
func (e *Engine) Watch(ctx context.Context, arn string, after int64) (WatchResult, error) {
	if err := e.enter(); err != nil {
		return WatchResult{}, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return WatchResult{}, err
	}
	for {
		changed, forget := e.watchers.on(id)
		x, err := e.describe(id)
		now := WatchResult{LastEventID: x.LastEventID, Status: x.Status, Closed: x.Closed()}
		if err != nil || now.Closed || now.LastEventID > after {
			forget()
			return now, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			forget()
			return now, ctx.Err()
		case <-e.ctx.Done():
			forget()
			return now, ErrClosing
		}
	}
}

// watchers notifies callers of changes of runs. A run that is not watched needs no entry.
type watchers struct {
	mu   sync.Mutex
	byID map[store.ID]*watcher
}

type watcher struct {
	changed chan struct{}
	refs    int
}

// on returns a channel that is closed at the run's next change. The caller must call forget if it stops waiting earlier.
func (w *watchers) on(id store.ID) (changed <-chan struct{}, forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = map[store.ID]*watcher{}
	}
	it := w.byID[id]
	if it == nil {
		it = &watcher{changed: make(chan struct{})}
		w.byID[id] = it
	}
	it.refs++
	return it.changed, func() { w.forget(id, it) }
}

func (w *watchers) forget(id store.ID, it *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.refs--; it.refs == 0 && w.byID[id] == it {
		delete(w.byID, id)
	}
}

func (w *watchers) wake(id store.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it := w.byID[id]; it != nil {
		close(it.changed)
		delete(w.byID, id)
	}
}

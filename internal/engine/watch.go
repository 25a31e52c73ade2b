package engine

import (
	"sync"

	"github.com/rayorch/rayorch/internal/store"
)

// watchers wait for runs to change. Runs that nobody watches cost nothing.
type watchers struct {
	mu  sync.Mutex
	byN map[store.ID]*watcher
}

type watcher struct {
	changed chan struct{}
	refs    int
}

// on returns a channel that is closed at the run's next change; forget must be called unless it was.
func (w *watchers) on(id store.ID) (changed <-chan struct{}, forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byN == nil {
		w.byN = map[store.ID]*watcher{}
	}
	it := w.byN[id]
	if it == nil {
		it = &watcher{changed: make(chan struct{})}
		w.byN[id] = it
	}
	it.refs++
	return it.changed, func() { w.forget(id, it) }
}

func (w *watchers) forget(id store.ID, it *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.refs--; it.refs == 0 && w.byN[id] == it {
		delete(w.byN, id)
	}
}

func (w *watchers) wake(id store.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it := w.byN[id]; it != nil {
		close(it.changed)
		delete(w.byN, id)
	}
}

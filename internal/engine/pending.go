package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// Pending is a task whose work does not run yet. It is not stored: only the engine that drives the execution has it.
type Pending struct {
	Event   int64 // an event of the task in the history
	State   string
	Attempt int // from 1
	Since   time.Time
	Reason  string // the reason that the service that runs the work gives, such as Kubernetes
}

// setPending stores the reason why the work of a task does not run yet. An empty reason means that it runs.
func (t *taskTable) setPending(l *liveTask, reason string, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if reason == "" || t.live[l.key] != l {
		t.forgetPending(l.key)
		return
	}
	if t.pending == nil {
		t.pending = map[store.ID]map[string]Pending{}
	}
	if t.pending[l.key.run] == nil {
		t.pending[l.key.run] = map[string]Pending{}
	}
	t.pending[l.key.run][l.key.task] = Pending{l.task.Event, l.task.State, l.task.Attempt, since, reason}
}

// forgetPending removes the reason. The caller holds t.mu.
func (t *taskTable) forgetPending(k taskKey) {
	if delete(t.pending[k.run], k.task); len(t.pending[k.run]) == 0 {
		delete(t.pending, k.run)
	}
}

// Pending lists the tasks of an execution whose work does not run yet, in the order of their events.
func (e *Engine) Pending(arn string) ([]Pending, error) {
	id, err := e.findAny(arn)
	if err != nil {
		return nil, err
	}
	t := &e.tasks
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Pending, 0, len(t.pending[id]))
	for _, p := range t.pending[id] {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Pending) int { return cmp.Compare(a.Event, b.Event) })
	return all, nil
}

package progress

import (
	"slices"
	"time"
)

// Waiting is the reason why the work of a task does not run yet. In a cluster, the history contains it; elsewhere, only the engine's
// task runners know it, and the caller passes it to ShowWaiting.
type Waiting struct {
	Event  int64 // an event of the task; 0 if the reason is from the history
	Since  time.Time
	Reason string

	wasRunning bool // according to the history, the task runs
}

// Duration returns how long the work has waited until now.
func (w *Waiting) Duration(now time.Time) time.Duration { return max(0, now.Sub(w.Since)) }

// same reports whether the engine reported the same before, so that nothing has changed.
func (w *Waiting) same(other Waiting) bool {
	return w != nil && w.Event == other.Event && w.Reason == other.Reason && w.Since.Equal(other.Since)
}

// setWaiting records the reason in the history why the newest attempt does not run yet.
func (e *Entry) setWaiting(reason string) {
	if e.Status == Pending && reason != "" {
		e.Waiting = &Waiting{Since: e.Scheduled, Reason: reason}
	}
}

// MayWait reports whether the entry is open and its work possibly does not run yet.
func (e *Entry) MayWait() bool {
	return (e.Status == Pending || e.Status == Running) && (e.Kind == kindTask || e.composite)
}

// ShowWaiting sets the tasks that wait now, according to the engine. It replaces those of the previous call.
func (v *View) ShowWaiting(now []Waiting) {
	v.tick++
	var waiting []*Entry
	for i := range now {
		task := v.at[now[i].Event].entry
		if task == nil {
			continue
		}
		for _, x := range []*Entry{task, task.Within} {
			if x != nil && (x.Status == Running || x.Status == Pending) {
				v.showWait(x, now[i])
				waiting = append(waiting, x)
			}
		}
	}
	for _, x := range v.waiting {
		if !slices.Contains(waiting, x) {
			v.hideWait(x)
		}
	}
	v.waiting = waiting
}

// showWait makes an entry pending although it runs according to the history: for the engine, a task has started when its runner has, and
// the runner can then wait, for example for a free place in a queue.
func (v *View) showWait(x *Entry, w Waiting) {
	w.wasRunning = x.Status == Running
	if x.Waiting != nil && x.Waiting.Event != 0 {
		w.wasRunning = x.Waiting.wasRunning || w.wasRunning
	}
	if x.Status == Pending && x.Waiting.same(w) {
		return
	}
	x.Waiting = &w
	v.set(x, Pending)
}

// hideWait restores the status of an entry according to the history.
func (v *View) hideWait(x *Entry) {
	if x.Waiting == nil || x.Waiting.Event == 0 {
		return
	}
	if x.Waiting.wasRunning {
		v.markRunning(x)
	}
	x.Waiting = nil
	v.touch(x)
}

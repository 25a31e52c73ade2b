package progress

import (
	"slices"
	"time"
)

// Waiting is why the work of a task does not run yet. In a cluster, the history shows it; elsewhere, only the engine's runners know.
type Waiting struct {
	Event  int64 // an event of the task; 0 if the reason is from the history
	Since  time.Time
	Reason string

	wasRunning bool // according to the history, the task runs
}

// Duration returns how long the work has waited.
func (w *Waiting) Duration(now time.Time) time.Duration { return max(0, now.Sub(w.Since)) }

// same reports whether the engine says the same as before: then nothing has changed.
func (w *Waiting) same(other Waiting) bool {
	return w != nil && w.Event == other.Event && w.Reason == other.Reason && w.Since.Equal(other.Since)
}

// waits records why the newest attempt does not run yet, as the history shows it.
func (e *Entry) waits(reason string) {
	if e.Status == Pending && reason != "" {
		e.Waiting = &Waiting{Since: e.Scheduled, Reason: reason}
	}
}

// MayWait reports whether an entry is open whose work may not run yet.
func (e *Entry) MayWait() bool {
	return (e.Status == Pending || e.Status == Running) && (e.Kind == kindTask || e.composite)
}

// ShowWaiting replaces the waiting tasks that the view shows with those that wait now.
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

// showWait shows an entry as pending that runs according to the history: a task has started for the engine when its runner has, which
// then may wait for room.
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

// hideWait shows an entry again as the history has it.
func (v *View) hideWait(x *Entry) {
	if x.Waiting == nil || x.Waiting.Event == 0 {
		return
	}
	if x.Waiting.wasRunning {
		v.runs(x)
	}
	x.Waiting = nil
	v.touch(x)
}

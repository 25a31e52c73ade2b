package progress

import "time"

// Waiting is why the work of a task does not run yet. In a cluster, the history shows it; elsewhere, only the engine's runners know.
type Waiting struct {
	Event  int64 // an event of the task; 0 if the reason is from the history
	Since  time.Time
	Reason string

	wasRunning bool // according to the history, the task runs
}

// Duration returns how long the work has waited.
func (w *Waiting) Duration(now time.Time) time.Duration { return max(0, now.Sub(w.Since)) }

// ShowWaiting replaces the waiting tasks that the view shows with those that wait now.
func (v *View) ShowWaiting(now []Waiting) {
	for _, s := range v.Steps {
		if s.Waiting == nil || s.Waiting.Event == 0 {
			continue
		}
		if s.Waiting.wasRunning {
			s.runs()
		}
		s.Waiting = nil
	}
	for i := range now {
		if s := v.stepAt(now[i].Event); s != nil && (s.Status == Running || s.Status == Pending) {
			now[i].wasRunning = s.Status == Running
			s.Status, s.Waiting = Pending, &now[i]
		}
	}
}

func (v *View) stepAt(event int64) *Step {
	p := v.at[event]
	if c := p.in.around(p.at); c != nil {
		return c.step
	}
	return p.step
}

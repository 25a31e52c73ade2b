package progress

import "time"

// Waiting is why the work of a task does not run yet. In a cluster the history says so, elsewhere only the engine's runners do.
type Waiting struct {
	Event  int64 // an event of the task; 0 where the history says so
	Since  time.Time
	Reason string

	laid bool // the events alone say that it runs
}

// Duration is how long the work has waited.
func (w *Waiting) Duration(now time.Time) time.Duration { return max(0, now.Sub(w.Since)) }

// ShowWaiting lays over the view what waits now, in place of what did.
func (v *View) ShowWaiting(now []Waiting) {
	for _, s := range v.Steps {
		if s.Waiting == nil || s.Waiting.Event == 0 {
			continue
		}
		if s.Waiting.laid {
			s.runs()
		}
		s.Waiting = nil
	}
	for i := range now {
		if s := v.stepAt(now[i].Event); s != nil && (s.Status == Running || s.Status == Pending) {
			now[i].laid = s.Status == Running
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

package interp

import (
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// ErrNotRedrivable says that the run did not fail, or is too old: nothing is kept of its lines.
var ErrNotRedrivable = errors.New("the execution cannot be redriven: it did not fail")

// redrive takes the run up again: each line that failed or was stopped does its state again, and what succeeded stays.
func (r *Run) redrive(clientToken string) error {
	if s := r.head.Status; s != stepfn.Failed && s != stepfn.TimedOut && s != stepfn.Aborted || r.frames[rootFrame] == nil {
		return ErrNotRedrivable
	}
	h := &r.head
	h.Status, h.Error, h.Cause, h.StopTime = stepfn.Running, "", "", time.Time{}
	h.RedriveCount++
	h.RedriveTime = r.now
	r.deadline = r.timeLimit(r.steady)
	previous := h.LastEvent
	id := r.emitAfter(history.Event{Type: history.ExecutionRedriven, Previous: previous, RedriveCount: int64(h.RedriveCount), Name: clientToken})
	for _, frame := range r.ids() {
		r.takeUp(r.frames[frame], id)
	}
	return nil
}

// takeUp lets one frame go on: a state that failed is done again without being entered, with its retries anew; a
// Parallel or Map around it only waits again; what never began begins.
func (r *Run) takeUp(f *frame, event int64) {
	switch {
	case f.kind == groupKind && f.canStart():
		r.enqueue(f)
	case f.kind != lineKind:
	case f.phase == ready:
		r.enqueue(f)
	case f.phase == failed && f.group != 0 && r.frames[f.group].kind == groupKind:
		f.phase, f.fail = grouped, nil
		r.touch(f)
	case f.phase == failed || f.phase == aborted:
		if f.state.Type == asl.Task { // its work follows the old entry; an end without work follows the redrive: recorded
			event = f.entered
		}
		f.phase, f.fail, f.retries, f.retried, f.redriven, f.last = redo, nil, nil, 0, true, event
		r.enqueue(f)
	}
}

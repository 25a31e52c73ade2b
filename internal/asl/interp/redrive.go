package interp

import (
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// ErrNotRedrivable means that the run did not fail, or that an earlier release closed it and kept no frames.
var ErrNotRedrivable = errors.New("the execution cannot be redriven: it did not fail")

// redrive opens a closed run: each line that failed or was aborted executes its state again. States that succeeded do not run
// again.
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
		r.resume(r.frames[frame], id)
	}
	return nil
}

// resume makes one frame ready again. A state that failed is executed again without being entered, and its retries start from
// zero; a Parallel or Map around it only waits for its lines again; a line that had not entered its state enters it.
func (r *Run) resume(f *frame, event int64) {
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
		if f.state.Type == asl.Task { // events of a Task follow its old entry, those of other states follow ExecutionRedriven (recorded)
			event = f.entered
		}
		f.phase, f.fail, f.retries, f.retried, f.redriven, f.last = redo, nil, nil, 0, true, event
		r.enqueue(f)
	}
}

package interp

import (
	"container/heap"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// timers is a heap of the deadlines of frames. Entries are never removed when a deadline changes: an entry is stale if due
// returns another time for its frame, and is dropped when it reaches the top.
type timers []timer

// timer is a deadline, by the steady clock, of a frame.
type timer struct {
	at time.Time
	id FrameID
}

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at.Before(t[j].at) || t[i].at.Equal(t[j].at) && t[i].id < t[j].id
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

// setTimer makes a line wait until a time.
func (r *Run) setTimer(f *frame, at time.Time) {
	f.timer = at
	r.arm(f)
}

// arm adds the frame's earliest deadline to the heap.
func (r *Run) arm(f *frame) {
	if at := r.due(f); !at.IsZero() {
		heap.Push(&r.timers, timer{at, f.id})
	}
}

// enterMoment sets the time of the decision. If the wall clock was set, each Timestamp is due at another time of the steady
// clock: all timers are computed again.
func (r *Run) enterMoment(at Moment) {
	r.now, r.steady = at.Now.Truncate(time.Millisecond), at.Steady.Truncate(time.Millisecond)
	if r.ahead == at.Ahead {
		return
	}
	r.ahead, r.timers = at.Ahead, nil
	if r.closed() {
		return
	}
	for _, f := range r.frames {
		r.arm(f)
	}
}

// wall returns the wall clock's time. Unlike now, it decreases if the wall clock is set back.
func (r *Run) wall() time.Time { return r.steady.Add(r.ahead) }

// due returns the frame's earliest deadline by the steady clock; zero if it has none.
func (r *Run) due(f *frame) time.Time {
	switch {
	case f.phase == waiting:
		return r.waitDue(f, f.timer)
	case f.phase == retrying:
		return f.timer
	case f.phase == working && f.task != nil:
		return earlier(f.task.timeout, f.task.beat)
	}
	return time.Time{}
}

// earlier returns the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// nextTimer returns the run's earliest deadline, zero if there is none. It removes stale entries from the heap.
func (r *Run) nextTimer() time.Time {
	for len(r.timers) > 0 {
		top := r.timers[0]
		if f := r.frames[top.id]; f != nil && r.due(f).Equal(top.at) {
			return earlier(top.at, r.deadline)
		}
		heap.Pop(&r.timers)
	}
	return r.deadline
}

// wake fires everything that is due.
func (r *Run) wake() {
	if !r.deadline.IsZero() && !r.deadline.After(r.steady) {
		r.close(stepfn.TimedOut, &failure{})
		return
	}
	for at := r.nextTimer(); len(r.timers) > 0 && !at.IsZero() && !at.After(r.steady); at = r.nextTimer() {
		f := r.frames[heap.Pop(&r.timers).(timer).id]
		r.touch(f)
		r.fire(f)
		if r.closed() || len(r.decision.Events) >= longEvents {
			return
		}
	}
}

// fire handles a deadline of a line that has passed: the end of a Wait or of a retry interval, or a timeout of the task.
func (r *Run) fire(f *frame) {
	f.timer = time.Time{}
	switch f.phase {
	case waiting:
		if fail := r.endState(f, nil); fail != nil {
			r.failState(f, fail)
		}
	case retrying:
		f.phase = redo
		r.enqueue(f)
	case working:
		r.taskTimedOut(f)
	}
}

// close ends the run without an output. Its lines are kept, stopped, for a redrive.
func (r *Run) close(status stepfn.Status, fail *failure) {
	r.closeAfter(status, fail, r.frames[rootFrame].last)
}

// closeAfter is close where last is the previous event of the final one. ExecutionTimedOut and ExecutionAborted have none.
func (r *Run) closeAfter(status stepfn.Status, fail *failure, last int64) {
	e := history.Event{Error: fail.name, Cause: fail.cause}
	switch status {
	case stepfn.TimedOut:
		e.Type = history.ExecutionTimedOut
	case stepfn.Aborted:
		e.Type = history.ExecutionAborted
	case stepfn.Failed, stepfn.Running, stepfn.Succeeded, stepfn.PendingRedrive: // a run is never closed with the other three
		e.Type, e.Previous = history.ExecutionFailed, last
	}
	r.emitLast(e)
	r.head.Status, r.head.StopTime, r.head.Error, r.head.Cause = status, r.now, fail.name, fail.cause
	r.freezeAll()
	for _, id := range r.queue { // the line that closed the run is still queued; a redrive queues it again
		if f := r.frames[id]; f != nil {
			f.queued = false
		}
	}
	r.queue, r.timers, r.deadline = nil, nil, time.Time{}
}

// freezeAll stops all lines, in the order of their ids.
func (r *Run) freezeAll() {
	ids := make([]FrameID, 0, len(r.frames))
	for id, f := range r.frames {
		if f.kind == lineKind {
			ids = append(ids, id)
		}
	}
	sortIDs(ids)
	for _, id := range ids {
		r.freeze(r.frames[id])
	}
}

// freeze stops a line's work and marks it as aborted. A line that failed, or that has not entered its state, keeps its phase.
func (r *Run) freeze(f *frame) {
	r.stopWork(f)
	switch f.phase {
	case waiting, working, retrying, mapping, redo:
		f.phase = aborted
	}
	f.timer = time.Time{}
	r.touch(f)
}

// stopWork stops the line's task or map run, if it has one.
func (r *Run) stopWork(f *frame) {
	switch f.phase {
	case working:
		r.decision.Stops = append(r.decision.Stops, f.task.id)
	case mapping:
		r.decision.StopMapRuns = append(r.decision.StopMapRuns, r.frames[f.group].mapRun.ID)
	}
	f.task = nil
}

func (r *Run) abort(a Abort) { r.close(stepfn.Aborted, &failure{name: a.Error, cause: a.Cause}) }

func sortIDs(ids []FrameID) { slices.Sort(ids) }

package engine

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// commit writes the decisions of a step to disk, in one batch. It writes nothing if nothing has changed.
func (e *Engine) commit(r *run, s *step) error {
	if r.mem != nil || r.stored && s.empty() && !r.more && !r.open.more && r.armed() && len(s.survived) == 0 {
		e.counters.add(r, s)
		return nil
	}
	b := e.st.NewBatch()
	e.writeState(b, r, s)
	e.writeOutbox(b, r, s)
	writeLists(b, r, s)
	writeSurvived(b, r.id, s.survived)
	s.note.clear() // if the process ends while it waits for the disk, the step is not the cause
	if err := e.st.Commit(b); err != nil {
		return fmt.Errorf("execution %s: %w", r.state.Params().ExecutionARN, err)
	}
	e.counters.add(r, s) // after the commit: when the counts change, the lists must have changed, too
	r.stored = true
	e.crashes.remove(r.id, s.survived...)
	e.counters.commits.Add(1)
	return nil
}

// opens returns the value that the run's open record should have.
func (r *run) opens() openState { return openState{millis(r.state.Head().Wake), r.more, r.ahead} }

// armed reports whether the run's open record has the current deadline. A closed run needs none.
func (r *run) armed() bool {
	return r.state.Head().Status != stepfn.Running || r.opens().same(r.open)
}

// writeState writes events, head and frames.
func (e *Engine) writeState(b *store.Batch, r *run, s *step) {
	if len(s.events) > 0 {
		b.Events(r.id, s.events[0].ID, history.AppendEvents(nil, s.events))
	}
	gone := map[interp.FrameID]bool{}
	for _, id := range s.gone {
		gone[id] = true
		b.DropFrame(r.id, uint64(id))
	}
	written := 0
	for _, id := range s.dirty {
		if !gone[id] {
			gone[id] = true // a frame may be in dirty several times, but is written once
			frame := r.state.AppendFrame(nil, id)
			written += len(frame)
			b.Frame(r.id, uint64(id), frame)
		}
	}
	r.weight = max(r.weight, written)
	b.Head(r.id, r.state.AppendHead(nil))
	if !r.stored {
		b.Name(r.state.Params().ExecutionARN, r.id)
		b.Meta(r.id, r.meta.encode())
	}
}

// writeLists updates the run's entries in the lists and in the indexes of open and closed runs.
func writeLists(b *store.Batch, r *run, s *step) {
	h := r.state.Head()
	closed := h.Status != stepfn.Running
	changed := h.Status != r.was || !s.reopened.IsZero()
	if now := r.opens(); !closed && (changed || !now.same(r.open)) {
		b.Open(r.id, now.encode())
		r.open = now
	}
	if !changed {
		return
	}
	if r.was != "" {
		b.Unlist(entry(r.id, &r.meta, r.was))
	}
	if !s.reopened.IsZero() {
		b.Reopened(r.id, s.reopened)
	}
	if closed {
		b.Closed(r.id, h.StopTime)
	}
	at := entry(r.id, &r.meta, h.Status)
	at.Summary = summaryOf(r.state.Params(), h, &r.meta).encode()
	b.List(at)
	r.was = h.Status
}

// The kinds of the effects in the outbox: the first letter of an effect's name. Names are stored.
const (
	effectTask    = "t" // + task: run the task
	effectStop    = "s" // + task: stop the work of the task; the value is its storedTask, because the run no longer has it
	effectMap     = "m" // + map run: run its children
	effectStopMap = "x" // + map run: abort its children
	effectCleanup = "c" // start the cleanup machine
)

// writeOutbox adds the effects that a step decided on, and removes those that are performed or no longer necessary.
func (e *Engine) writeOutbox(b *store.Batch, r *run, s *step) {
	for _, t := range s.tasks {
		b.AddEffect(r.id, effectTask+t.ID, nil)
	}
	for _, id := range s.stops {
		b.RemoveEffect(r.id, effectTask+id)
		if t, ok := e.stopped(r, s, id); ok {
			b.AddEffect(r.id, effectStop+id, encodeTask(t))
		}
	}
	for _, m := range s.maps {
		b.AddEffect(r.id, effectMap+m.ID, nil)
		b.RemoveEffect(r.id, effectStopMap+m.ID) // a redrive continues children that were to be aborted
	}
	for _, id := range s.stopMaps {
		b.RemoveEffect(r.id, effectMap+id)
		b.AddEffect(r.id, effectStopMap+id, nil)
	}
	for _, name := range s.performed {
		b.RemoveEffect(r.id, name)
	}
	if s.closed && e.wantsCleanup(r) {
		b.AddEffect(r.id, effectCleanup, nil)
	}
}

// perform performs pending effects of a run: those that an earlier engine left, or those of the abort of a run that no engine drives.
func (e *Engine) perform(id store.ID, effects []effect) error {
	var errs []error
	tasks, maps := map[string]bool{}, map[string]bool{}
	for _, f := range effects {
		kind, name := f.name[:1], f.name[1:]
		switch kind {
		case effectTask:
			tasks[name] = true
		case effectMap:
			maps[name] = true
		case effectStop:
			errs = append(errs, e.repeatStop(id, f))
		case effectStopMap:
			e.mapRuns.stop(id, name)
		case effectCleanup:
			e.startCleanup(id)
		}
	}
	if len(tasks)+len(maps) > 0 {
		errs = append(errs, e.resume(id, tasks, maps))
	}
	return errors.Join(errs...)
}

// resume calls the runners of a run's tasks and map runs again, with Resumed set, so that they find the work of an earlier engine.
func (e *Engine) resume(id store.ID, tasks, maps map[string]bool) error {
	r := e.hot.get(id)
	defer e.hot.put(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := e.load(r, noteSlot{}); err != nil {
		return err
	}
	for _, t := range r.state.Running() {
		if tasks[t.ID] {
			e.startTask(r, t, true)
		}
	}
	for _, m := range r.state.RunningMaps() {
		if maps[m.ID] {
			e.mapRuns.start(r, m, true)
		}
	}
	return nil
}

// removeEffect removes a performed effect from the outbox, when no commit of the run is due that could do it. A crash may lose the
// removal; then the next engine repeats the effect.
func (e *Engine) removeEffect(id store.ID, name string) {
	b := e.st.NewBatch()
	b.RemoveEffect(id, name)
	if err := e.st.CommitLazily(b); err != nil {
		e.logger.Error("could not remove a performed effect from the outbox: it may be repeated",
			"run", uint64(id), "effect", name, "problem", err)
	}
}

// act performs the effects of a step after its commit.
func (e *Engine) act(r *run, s *step) {
	h := r.state.Head()
	if s.idle != nil { // abort performs the effects of a run that no engine drives
		s.tasks, s.stops, s.maps, s.stopMaps = nil, nil, nil, nil
	}
	for _, t := range s.tasks {
		e.startTask(r, t, false)
	}
	for _, id := range s.stops {
		e.stopTask(r, id)
	}
	for _, m := range s.maps {
		e.mapRuns.start(r, m, false)
	}
	for _, id := range s.stopMaps {
		e.mapRuns.stop(r.id, id)
	}
	e.timers.set(r.id, h.Wake)
	if len(s.events) > 0 || s.closed {
		e.watchers.wake(r.id)
	}
	if s.closed {
		e.closed(r, h, s.idle != nil)
	}
}

// closed acts on the end of a run. If idle is set, the cleanup is left to abort, which performs it with the run's other effects.
func (e *Engine) closed(r *run, h interp.Head, idle bool) {
	p := r.state.Params()
	level := slog.LevelDebug
	if h.Status != stepfn.Succeeded {
		level = slog.LevelInfo
	}
	e.logger.LogAttrs(e.ctx, level, "execution ended", slog.String("execution", p.ExecutionARN),
		slog.String("status", string(h.Status)), slog.String("error", h.Error))
	if r.mem != nil {
		r.mem.finish(e.executionOf(p, h, &r.meta))
		return
	}
	if e.wantsCleanup(r) && !idle {
		e.startCleanup(r.id)
	}
	if r.meta.Parent != nil {
		e.mapRuns.childEnded(r.meta.Parent, h)
	}
}

// express reports whether an execution's ARN is that of an Express execution, which is not stored.
func express(arn string) bool {
	return stepfn.KindOf(arn) == stepfn.KindExpress
}

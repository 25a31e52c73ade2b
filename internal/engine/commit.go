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

// commit puts what a step decided on disk, in one batch.
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
	s.note.clear() // the wait for the disk is not the run's
	if err := e.st.Commit(b); err != nil {
		return fmt.Errorf("execution %s: %w", r.state.Params().ExecutionARN, err)
	}
	e.counters.add(r, s) // not before the commit: who sees the counts change reads the lists, which must have changed by then
	r.stored = true
	e.crashes.remove(r.id, s.survived...)
	e.counters.commits.Add(1)
	return nil
}

// opens is what the open record is to say.
func (r *run) opens() openState { return openState{millis(r.state.Head().Wake), r.more, r.ahead} }

// armed says that the open record, if there is one, has the run's deadline.
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
			gone[id] = true // written once is enough
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

// writeLists keeps the open and closed runs and the lists in step with the run's status.
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

// The outbox has the effects that the engine still has to perform for a run. The first letter of a name is the kind of the effect.
const (
	effectTask    = "t" // + task: a runner works on it
	effectStop    = "s" // + task: its work is to be stopped; the value describes the task
	effectMap     = "m" // + map run: its children are to be driven
	effectStopMap = "x" // + map run: its children are to be aborted
	effectCleanup = "c" // the cleanup machine is to be started
)

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
		b.RemoveEffect(r.id, effectStopMap+m.ID) // a redrive continues what was to be aborted
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

// takeUp performs the effects that an earlier engine left in the outbox for one run.
func (e *Engine) perform(id store.ID, effects []effect) error {
	var errs []error
	tasks, maps := map[string]bool{}, map[string]bool{}
	for _, d := range effects {
		kind, name := d.name[:1], d.name[1:]
		switch kind {
		case effectTask:
			tasks[name] = true
		case effectMap:
			maps[name] = true
		case effectStop:
			errs = append(errs, e.repeatStop(id, d))
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

// resume starts the tasks of a run again that an earlier engine ran.
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

// pay removes an effect from the outbox outside of a run's own commits. The removal may be lost: then a restart repeats the effect.
func (e *Engine) removeEffect(id store.ID, name string) {
	b := e.st.NewBatch()
	b.RemoveEffect(id, name)
	if err := e.st.CommitLazily(b); err != nil {
		e.logger.Error("remove a performed effect from the outbox", "run", uint64(id), "effect", name, "problem", err)
	}
}

// act does what a step decided, after its commit.
func (e *Engine) act(r *run, s *step) {
	h := r.state.Head()
	if s.idle != nil { // the caller that aborted it performs the effects now
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

// closed acts on the end of a run. The cleanup of an idle run is started with its other pending effects.
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

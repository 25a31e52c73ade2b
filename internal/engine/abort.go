package engine

import (
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// An abort must not resume the run that it aborts: a timer that is due would fire first, and enter the next state. So to abort a run
// that no engine drives (an idle run here), abort gets the tasks to stop from the run itself, and performs only the stops.

// Stop aborts an execution with an error and a cause, which may be empty. It returns the time at which the execution ended. For a closed
// execution, it changes nothing.
func (e *Engine) Stop(arn, name, cause string) (time.Time, error) {
	if err := e.enter(); err != nil {
		return time.Time{}, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return time.Time{}, err
	}
	if err := e.abort(id, interp.Abort{Error: name, Cause: cause}); err != nil {
		return time.Time{}, err
	}
	if err := e.resumeCleanup(arn); err != nil {
		return time.Time{}, err
	}
	x, err := e.describe(id)
	return x.Stopped, err
}

// abort aborts a run.
func (e *Engine) abort(id store.ID, f interp.Abort) error {
	p := &pending{fact: f}
	p.check = func(s *interp.Run) error { // runs under the run's lock, so that nobody resumes the run meanwhile
		if e.resting.take(id) || e.crashes.park(id) && s.Head().Status == stepfn.Running {
			p.idle = idleTasks(s)
			e.countIdle(s)
		}
		return nil
	}
	if err := e.deliverChecked(id, p); err != nil || p.idle == nil {
		return err
	}
	return e.performOutbox(id)
}

// idleTasks returns the running tasks of a run whose work must be stopped. A task that waits for its token has no runner to stop.
func idleTasks(s *interp.Run) map[string]interp.Task {
	tasks := map[string]interp.Task{}
	for _, t := range s.Running() {
		if !t.Submitted || !strings.HasSuffix(t.Resource, callbackSuffix) {
			tasks[t.ID] = t
		}
	}
	return tasks
}

// countIdle counts an idle run as open, because its end decrements that counter.
func (e *Engine) countIdle(s *interp.Run) {
	if s.Head().Status == stepfn.Running {
		e.counters.open.Add(1)
	}
}

// stopped returns a task that a step stops: one that a runner works on, or one of an idle run.
func (e *Engine) stopped(r *run, s *step, id string) (interp.Task, bool) {
	if t := e.tasks.get(taskKey{r.id, id}); t != nil {
		return t.task, true
	}
	t, ok := s.idle[id]
	return t, ok
}

// performOutbox performs the pending effects of one run.
func (e *Engine) performOutbox(id store.ID) error {
	var effects []effect
	err := e.st.OutboxOf(id, func(name string, v []byte) {
		effects = append(effects, effect{id, name, append([]byte(nil), v...)})
	})
	if err != nil {
		return err
	}
	return e.perform(id, effects)
}

// resumeCleanup resumes the cleanup of an execution if it rests, because the execution was stopped by an earlier engine.
func (e *Engine) resumeCleanup(arn string) error {
	ids, err := e.withCleanup(arn)
	if err != nil || len(ids) < 2 || !e.resting.take(ids[1]) {
		return err
	}
	return e.resumeRuns(func(id store.ID) bool { return id == ids[1] })
}

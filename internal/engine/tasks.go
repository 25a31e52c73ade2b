package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// taskKey identifies an attempt of a task in the state directory.
type taskKey struct {
	run  store.ID
	task string
}

// liveTask is a task that a runner works on.
type liveTask struct {
	key    taskKey
	task   interp.Task
	kept   bool // its execution is stored: it is not an Express execution
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when its work has ended, or when the engine closes
	// gaveUp means that the attempt failed before its work ended, so that the next attempt must wait for that end. It is also set for a
	// stop that a previous engine did not confirm, because that attempt may have given up.
	gaveUp atomic.Bool
}

// taskTable has the tasks that runners work on.
type taskTable struct {
	mu   sync.Mutex
	live map[taskKey]*liveTask
	// reports has the last report of each runner on its work, by run and task.
	reports map[store.ID]map[string]string
	// pending has the tasks whose work does not run yet, by run and task.
	pending map[store.ID]map[string]Pending
}

// report stores a runner's report on its work until the task is dropped.
func (t *taskTable) report(k taskKey, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live[k] == nil {
		return
	}
	if t.reports == nil {
		t.reports = map[store.ID]map[string]string{}
	}
	if t.reports[k.run] == nil {
		t.reports[k.run] = map[string]string{}
	}
	t.reports[k.run][k.task] = text
}

// reportsOf returns the last report of each task of a run, or its pending reason, which becomes the cause of a timeout. It returns a copy,
// because the interpreter reads it while runners report.
func (t *taskTable) reportsOf(id store.ID) map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string]string{}
	for task, p := range t.pending[id] {
		all[task] = p.Reason
	}
	maps.Copy(all, t.reports[id])
	return all
}

func (t *taskTable) get(k taskKey) *liveTask {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live[k]
}

func (t *taskTable) put(l *liveTask) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live == nil {
		t.live = map[taskKey]*liveTask{}
	}
	t.live[l.key] = l
}

// stop ends the context of a task and reports whether there was one. It excludes drop, so that the caller of drop knows
// whether the task was stopped.
func (t *taskTable) stop(k taskKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	live := t.live[k]
	if live != nil {
		live.cancel(task.ErrStop)
	}
	return live != nil
}

// drop removes a task whose runner has returned.
func (t *taskTable) drop(k taskKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if live := t.live[k]; live != nil {
		close(live.ended)
	}
	delete(t.live, k)
	if delete(t.reports[k.run], k.task); len(t.reports[k.run]) == 0 {
		delete(t.reports, k.run)
	}
	t.forgetPending(k)
}

const callbackSuffix = ".waitForTaskToken"

// startTask starts the runner of a task, or offers the task to the workers of its activity. The caller holds the run's lock.
func (e *Engine) startTask(r *run, t interp.Task, resumed bool) {
	e.counters.tasks.Add(1)
	if stepfn.KindOf(t.Resource) == stepfn.KindActivity {
		e.activities.offer(t.Resource, offer{r.id, t, r.state.Params().ExecutionARN})
		return
	}
	if t.Submitted && strings.HasSuffix(t.Resource, callbackSuffix) {
		return // another system has the token and ends the task
	}
	if runner := e.runnerOf(t.Resource); runner != nil {
		e.launch(runner, r, t, resumed, false)
		return
	}
	id, fact := r.id, interp.TaskEnded{Task: t.ID, Error: stepfn.StatesRuntime, Cause: fmt.Sprintf(
		"no task runner for the resource %s", t.Resource)}
	e.later(func() { e.completeEffect(id, effectTask+t.ID, fact) })
}

// runnerOf returns the runner with the longest prefix of a resource, nil if there is none.
func (e *Engine) runnerOf(resource string) task.Runner {
	var best task.Runner
	length := -1
	for prefix, runner := range e.c.Runners {
		if strings.HasPrefix(resource, prefix) && len(prefix) > length {
			best, length = runner, len(prefix)
		}
	}
	if best == nil && strings.HasPrefix(resource, stepfn.StartExecution) {
		return nested{e}
	}
	return best
}

// launch runs a runner in the background. If stop is set, its context has ended already, and the runner only makes sure that the work of
// the task is stopped.
func (e *Engine) launch(runner task.Runner, r *run, t interp.Task, resumed, stop bool) {
	ctx, cancel := context.WithCancelCause(e.ctx)
	live := &liveTask{key: taskKey{r.id, t.ID}, task: t, kept: r.mem == nil, cancel: cancel, ended: make(chan struct{})}
	if stop {
		live.gaveUp.Store(true)
		cancel(task.ErrStop)
	}
	req := e.request(r, t, resumed)
	previous := e.tasks.get(taskKey{r.id, t.PreviousID()})
	e.tasks.put(live)
	ok := e.background(func(context.Context) {
		defer cancel(nil)
		e.awaitPrevious(ctx, previous, live)
		e.run(ctx, runner, req, live)
	})
	if !ok { // the engine is closing, and the next one resumes the task
		e.tasks.drop(live.key)
		cancel(nil)
	}
}

// awaitPrevious waits for the end of the previous attempt's work, if that attempt failed before its work ended.
func (e *Engine) awaitPrevious(ctx context.Context, previous, live *liveTask) {
	if previous == nil || !previous.gaveUp.Load() {
		return
	}
	e.tasks.setPending(live, "the previous attempt is being stopped", e.c.Now())
	defer e.tasks.setPending(live, "", time.Time{})
	select {
	case <-previous.ended:
	case <-ctx.Done():
	}
}

// request returns the part of a runner's request that does not depend on its log and records. The caller holds the run's lock.
func (e *Engine) request(r *run, t interp.Task, resumed bool) *task.Request {
	id, mem := r.id, r.mem
	req := &task.Request{
		ID: t.ID, Execution: r.state.Params().ExecutionARN, State: t.State, Attempt: t.Attempt,
		Resource: t.Resource, Input: t.Input, Token: t.Token, Deadline: e.clock.wallAt(t.Timeout), Resumed: resumed, Labels: r.meta.Labels,
	}
	req.Keep = func(key string, record []byte) error {
		if mem != nil {
			return nil
		}
		b := e.st.NewBatch()
		b.Record(id, t.ID, key, record)
		return e.st.Commit(b)
	}
	var once sync.Once
	req.Submitted = func(output []byte) (err error) {
		once.Do(func() { err = e.submitted(id, t, output) })
		return err
	}
	return req
}

// submitted records that the work of a task was accepted. From then on, a task with a callback needs no runner.
func (e *Engine) submitted(id store.ID, t interp.Task, output []byte) error {
	p := &pending{fact: interp.TaskSubmitted{Task: t.ID, Output: output}}
	if strings.HasSuffix(t.Resource, callbackSuffix) {
		p.effect = effectTask + t.ID
	}
	return e.deliverChecked(id, p)
}

// run completes the request, calls the runner, and delivers its result.
func (e *Engine) run(ctx context.Context, runner task.Runner, req *task.Request, live *liveTask) {
	var res task.Result
	defer func() { e.finished(ctx, live, res) }()
	id, log := live.key.run, e.logs.writer(live.key.run, live.task, func() int64 { return e.scheduled(live.key.run, live.task.Event) })
	held := false
	defer func() {
		if !held {
			_ = log.Close() // nothing depends on the last lines of a log
		}
	}()
	req.Log = log
	req.Report = func(text string) { e.tasks.report(live.key, text) }
	req.Pending = func(reason string, since time.Time) { e.tasks.setPending(live, reason, since) }
	req.GiveUp = func(name, cause string) error {
		live.gaveUp.Store(true) // set before deliver, which starts the next attempt
		return e.deliver(id, interp.TaskEnded{Task: req.ID, Error: name, Cause: cause, Stop: true})
	}
	req.HoldLog = func() func() {
		held = true
		return func() { _ = log.Close() }
	}
	if req.Resumed {
		var err error
		if req.Records, err = e.st.Records(id, req.ID); err != nil {
			e.logger.Error("could not read the records of a task", "execution", req.Execution, "task", req.ID, "problem", err)
		}
	}
	defer e.watchStop(ctx, req)()
	res = e.guard(ctx, runner, req)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, task.ErrAbandon), errors.Is(cause, task.ErrStop):
	case res.Error == "" && strings.HasSuffix(req.Resource, callbackSuffix):
		if err := req.Submitted(res.Output); err != nil {
			e.logger.Error("could not record the submission of a task", "execution", req.Execution, "task", req.ID, "problem", err)
		}
	default:
		e.completeEffect(id, effectTask+req.ID, interp.TaskEnded{Task: req.ID, Output: res.Output, Error: res.Error, Cause: res.Cause})
		if !held && e.ctx.Err() == nil {
			log.forgetPosition()
		}
	}
}

// finished removes a task. It confirms a stop, unless the engine closed before the work had stopped: the next engine then
// requests the stop again.
func (e *Engine) finished(ctx context.Context, live *liveTask, res task.Result) {
	e.tasks.drop(live.key)
	if errors.Is(context.Cause(ctx), task.ErrStop) && (res.Stopped != "" || e.ctx.Err() == nil) {
		e.confirmStop(live, res)
	}
}

// guard calls a runner. It converts a panic to a failure of the task, so that a bug in a runner does not end the engine.
func (e *Engine) guard(ctx context.Context, runner task.Runner, req *task.Request) (res task.Result) {
	defer func() {
		if p := recover(); p != nil {
			e.logger.Error("task runner panicked", "execution", req.Execution, "state", req.State,
				"attempt", req.Attempt, "task", req.ID, "problem", p, "stack", string(debug.Stack()))
			res = task.Fail(stepfn.StatesRuntime, fmt.Sprintf("the task runner panicked: %v", p))
		}
	}()
	e.counters.running.Add(1)
	defer e.counters.running.Add(-1)
	return runner.Run(ctx, req)
}

// watchStop logs a warning if a runner does not confirm a stop within Config.StopGrace. The returned function ends the watch.
func (e *Engine) watchStop(ctx context.Context, req *task.Request) func() {
	ended := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() { // it may start after the runner has confirmed the stop
		grace := time.NewTimer(e.c.StopGrace)
		defer grace.Stop()
		select {
		case <-ended:
		case <-grace.C:
			e.logger.Warn("the task runner has not confirmed that the work is stopped", "execution", req.Execution, "state", req.State,
				"attempt", req.Attempt, "task", req.ID)
		}
	})
	return func() {
		unhook()
		close(ended)
	}
}

// completeEffect delivers the result of an effect and removes the effect from the outbox, in one commit.
func (e *Engine) completeEffect(id store.ID, name string, f interp.Fact) {
	err := e.deliverChecked(id, &pending{fact: f, effect: name})
	if err != nil && !errors.Is(err, ErrExecutionDoesNotExist) {
		e.logger.Error("could not record the result of an effect", "run", uint64(id), "effect", name, "problem", err)
	}
}

// stopTask requests the runner of a task to stop its work, or withdraws the task from the workers of an activity. The caller holds the
// run's lock.
func (e *Engine) stopTask(r *run, id string) {
	if e.tasks.stop(taskKey{r.id, id}) {
		return
	}
	e.activities.withdraw(taskKey{r.id, id})
	e.removeEffect(r.id, effectStop+id)
}

// storedTask is the value of an effectStop: the run no longer has the task.
type storedTask struct {
	ID, State, Resource, Token string
	Attempt                    int
	Input                      []byte
}

func encodeTask(t interp.Task) []byte {
	b, _ := json.Marshal(storedTask{t.ID, t.State, t.Resource, t.Token, t.Attempt, t.Input}) // cannot fail
	return b
}

// repeatStop performs an effectStop that an earlier engine's runner did not confirm.
func (e *Engine) repeatStop(id store.ID, f effect) error {
	var t storedTask
	if err := json.Unmarshal(f.v, &t); err != nil {
		return fmt.Errorf("stop task %s of run %d: the record in the outbox is damaged: %w", f.name[1:], id, err)
	}
	runner := e.runnerOf(t.Resource)
	if runner == nil {
		e.removeEffect(id, f.name)
		return nil
	}
	r := e.hot.get(id)
	defer e.hot.put(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := e.load(r, noteSlot{}); err != nil {
		return err
	}
	e.launch(runner, r, interp.Task{
		ID: t.ID, State: t.State, Attempt: t.Attempt, Resource: t.Resource, Input: t.Input, Token: t.Token,
	}, true, true)
	return nil
}

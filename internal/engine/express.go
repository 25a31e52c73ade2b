package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// An Express execution exists only in memory, because the Step Functions API does not show Express executions. It ends when the engine
// closes.

// inMemory is an Express run. Callers wait for done, and then read end.
type inMemory struct {
	once sync.Once
	done chan struct{}
	end  Execution
}

func (m *inMemory) finish(x Execution) {
	m.once.Do(func() {
		m.end = x
		close(m.done)
	})
}

// StartSync starts an Express execution and waits for its end, or until ctx is done.
func (e *Engine) StartSync(ctx context.Context, r StartRequest) (Execution, error) {
	if err := e.enter(); err != nil {
		return Execution{}, err
	}
	defer e.leave()
	r.Type = stepfn.Express
	x, mem, err := e.startExpress(ctx, e.newRunOf(r.withDefaults()))
	if err != nil {
		return x, err
	}
	select {
	case <-mem.done:
		return mem.end, nil
	case <-ctx.Done():
		return x, ctx.Err()
	case <-e.ctx.Done():
		return x, ErrClosing
	}
}

// startExpress starts a run in memory and keeps it there until it ends.
func (e *Engine) startExpress(ctx context.Context, b newRun) (Execution, *inMemory, error) {
	if err := e.prepare(ctx, &b); err != nil {
		return Execution{}, nil, err
	}
	m, hash, err := e.machines.of(b.Definition)
	if err != nil {
		return Execution{}, nil, err
	}
	r := e.hot.get(e.st.NewID())
	r.mu.Lock()
	e.fill(r, b, m, hash)
	r.by = b.by
	r.mem = &inMemory{done: make(chan struct{})}
	e.express.Store(b.arn, r.id)
	mem, params := r.mem, r.state.Params()
	r.post(&pending{fact: interp.Start{}})
	e.work(r)
	var x Execution
	if r.state != nil {
		x = e.executionOf(params, r.state.Head(), &r.meta)
	}
	r.mu.Unlock()
	e.counters.started.Add(1)
	if !e.background(func(ctx context.Context) { e.hold(ctx, r, mem, b.arn) }) {
		return Execution{}, nil, ErrClosing
	}
	return x, mem, nil
}

// hold keeps an Express run in memory until it ends. When the engine closes, hold aborts it, because no later engine can resume it.
func (e *Engine) hold(ctx context.Context, r *run, mem *inMemory, arn string) {
	defer e.hot.put(r)
	defer e.express.Delete(arn)
	select {
	case <-mem.done:
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), task.ErrAbandon) {
			_ = e.deliver(r.id, interp.Abort{Cause: "the engine was closed"})
		}
	}
}

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// How often retain deletes executions, and the maximum number that it deletes without a pause.
const (
	retainEvery = time.Minute
	retainBatch = 1000
)

// ErrOpen means that an execution still runs and cannot be deleted.
var ErrOpen = errors.New("the execution is still running")

// retain deletes executions that closed more than Config.Retention ago, and the definitions that no execution uses any more.
func (e *Engine) retain(ctx context.Context) {
	if e.c.Retention < 0 {
		return
	}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		ids, err := e.st.ClosedBefore(e.c.Now().Add(-e.c.Retention), retainBatch)
		for _, id := range ids {
			if ctx.Err() != nil {
				return
			}
			err = errors.Join(err, e.forget(id))
		}
		if err != nil {
			e.logger.Error("could not delete old executions", "problem", err)
		}
		if len(ids) == retainBatch && err == nil {
			continue
		}
		if err := e.machines.collect(ctx); err != nil {
			e.logger.Error("could not delete unused definitions", "problem", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Delete deletes a closed execution with its history, records and logs. The error is ErrOpen if it is running.
func (e *Engine) Delete(arn string) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return err
	}
	return e.forget(id)
}

// forget deletes a closed run with its history, records, logs and pending effects. The error is ErrOpen if the run is open.
func (e *Engine) forget(id store.ID) error {
	return e.withSynced(id, func(r *run) error {
		x, err := e.describeCold(id)
		if errors.Is(err, ErrExecutionDoesNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !x.Closed() {
			return ErrOpen
		}
		m, err := e.metaOf(id)
		if err != nil {
			return err
		}
		r.state = nil
		e.logs.forget(id)
		e.machines.forgotten.Store(true)
		return e.st.Forget(x.ARN, x.Stopped, entry(id, &m, x.Status))
	})
}

func (e *Engine) metaOf(id store.ID) (meta, error) {
	kept, err := e.st.LoadHead(id, paramsFrame)
	if err != nil {
		return meta{}, err
	}
	return decodeMeta(kept.Meta)
}

// Records returns the private records of the runners of an execution's tasks, by task and key. They name what the runners created
// outside the engine, for example the submission id of a job.
func (e *Engine) Records(arn string) (map[string]map[string][]byte, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return nil, err
	}
	return e.st.AllRecords(id)
}

package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// paramsFrame is the number of the frame in which interp keeps a run's params.
const paramsFrame = 1

// find returns the run with an ARN. The error is ErrExpress for an Express execution, ErrExecutionDoesNotExist if there is none.
func (e *Engine) find(arn string) (store.ID, error) {
	if express(arn) {
		return 0, ErrExpress
	}
	id, err := e.st.Find(arn)
	if errors.Is(err, store.ErrNoRun) {
		return 0, ErrExecutionDoesNotExist
	}
	return id, err
}

// findAny is find, for Express runs in memory as well.
func (e *Engine) findAny(arn string) (store.ID, error) {
	if !express(arn) {
		return e.find(arn)
	}
	if id, ok := e.express.Load(arn); ok {
		return id.(store.ID), nil
	}
	return 0, ErrExecutionDoesNotExist
}

// withSynced calls fn with the run's lock held. What fn reads of the run from the store is synced, because commits hold the lock, too.
// The error is store.ErrFull if a commit of the run waits for disk space.
func (e *Engine) withSynced(id store.ID, fn func(r *run) error) error {
	r := e.hot.get(id)
	if !r.mu.TryLock() {
		if err := e.awaitLock(r); err != nil {
			return err
		}
	}
	defer e.hot.put(r)
	defer r.mu.Unlock()
	return fn(r)
}

// fullEvery is how often a wait for a run checks whether the disk is full.
const fullEvery = 100 * time.Millisecond

// awaitLock locks a run, or returns store.ErrFull while the disk is full; then it has called put for the caller.
func (e *Engine) awaitLock(r *run) error {
	locked, left := make(chan struct{}), make(chan struct{})
	go func() { // ends when the commit that holds the lock ends
		r.mu.Lock()
		select {
		case locked <- struct{}{}:
		case <-left:
			r.mu.Unlock()
			e.hot.put(r)
		}
	}()
	tick := time.NewTicker(fullEvery)
	defer tick.Stop()
	for {
		select {
		case <-locked:
			return nil
		case <-tick.C:
			if e.st.Full() {
				close(left)
				return store.ErrFull
			}
		}
	}
}

// Describe returns an execution with its payloads.
func (e *Engine) Describe(arn string) (Execution, error) {
	if err := e.enter(); err != nil {
		return Execution{}, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return Execution{}, err
	}
	x, err := e.describe(id)
	e.mapRuns.showAwaited(&x)
	return x, err
}

// describe describes a run, from memory if it is there. It is Describe without the pending redrive of a map run.
func (e *Engine) describe(id store.ID) (x Execution, err error) {
	err = e.withSynced(id, func(r *run) error {
		if r.state != nil {
			x = e.executionOf(r.state.Params(), r.state.Head(), &r.meta)
			return nil
		}
		x, err = e.describeCold(id)
		return err
	})
	return x, err
}

// describeCold describes a run that is not in memory. It reads only the parts of the run that it needs.
func (e *Engine) describeCold(id store.ID) (Execution, error) {
	kept, err := e.st.LoadHead(id, paramsFrame)
	if errors.Is(err, store.ErrNoRun) {
		return Execution{}, ErrExecutionDoesNotExist
	}
	if err != nil {
		return Execution{}, err
	}
	m, err := decodeMeta(kept.Meta)
	if err != nil {
		return Execution{}, fmt.Errorf("run %d: %w", id, err)
	}
	h, err := interp.DecodeHead(kept.Head)
	if err != nil {
		return Execution{}, fmt.Errorf("run %d: %w", id, err)
	}
	p, err := interp.DecodeParams(kept.Frames[0].Data)
	if err != nil {
		return Execution{}, fmt.Errorf("run %d: %w", id, err)
	}
	return e.executionOf(p, h, &m), nil
}

// executionOf combines the parts of a run to the Execution that callers get.
func (e *Engine) executionOf(p interp.Params, h interp.Head, m *meta) Execution {
	x := Execution{
		ARN: p.ExecutionARN, Name: p.Name, MachineARN: p.MachineARN, MachineName: p.MachineName,
		VersionARN: p.VersionARN, AliasARN: p.AliasARN, RevisionID: m.Revision, RoleARN: p.RoleARN,
		Type: stepfn.Standard, TraceHeader: m.Trace, MapRunARN: p.MapRunARN, Cleanup: m.Cleanup, Labels: m.Labels,
		Status: h.Status, Started: p.StartTime, Stopped: h.StopTime, Input: p.Input, Output: h.Output,
		Error: h.Error, Cause: h.Cause, RedriveCount: h.RedriveCount, Redriven: h.RedriveTime,
		LastEventID: h.LastEvent, ItemCount: m.Items, DefinitionHash: m.Hash,
	}
	if p.Express {
		x.Type = stepfn.Express
	}
	x.RedriveStatus, x.RedriveReason = e.redrivable(&x)
	return x
}

// Definition returns the text of the definition that an execution runs. For a child of a distributed Map, it is the Map's processor.
func (e *Engine) Definition(arn string) ([]byte, error) {
	x, err := e.Describe(arn)
	if err != nil {
		return nil, err
	}
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	text, err := e.st.Doc(definitions, x.DefinitionHash)
	if err == nil && x.MapRunARN != "" {
		text = processorOf(text, x.MachineARN)
	}
	return text, err
}

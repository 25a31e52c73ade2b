package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"strconv"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// child starts a child execution in the background, after waiting until fewer children run than MaxConcurrency allows.
func (d *mapDriver) child(index int64, input []byte, items int64) error {
	d.mu.Lock()
	limit := d.record.MaxConcurrency
	d.mu.Unlock()
	if limit <= 0 || limit > maxChildren {
		limit = maxChildren
	}
	if err := d.wait(int(limit) - 1); err != nil {
		return err
	}
	c := &child{items: items}
	d.mu.Lock()
	d.running[index] = c
	d.record.Items.Running += items
	d.record.Executions.Running++
	d.mu.Unlock()
	d.starts <- struct{}{}
	d.starting.Go(func() {
		defer func() { <-d.starts }()
		d.launch(c, index, input)
	})
	return nil
}

// launch starts a child. Up to maxStarts calls run concurrently, so that their commits share syncs.
func (d *mapDriver) launch(c *child, index int64, input []byte) {
	id, x, err := d.startChild(index, input, c.items)
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.running, index)
		d.record.Items.Running -= c.items
		d.record.Executions.Running--
		d.fault = errors.Join(d.fault, err)
		d.nudge()
		return
	}
	d.mu.Lock()
	c.id = id
	d.mu.Unlock()
	if x.Status != stepfn.Running {
		d.ended(index, x.Status, x.LastEventID)
	}
}

// startChild starts the child with an index, or finds it. In a redrive, it restarts a child that did not succeed before. It retries while
// the disk is full.
func (d *mapDriver) startChild(index int64, input []byte, items int64) (store.ID, Execution, error) {
	b := d.newRun(index, input, items)
	for {
		x, err := d.e.start(d.ctx, b)
		var exists *AlreadyExistsError
		if errors.As(err, &exists) {
			return d.found(b.arn, items)
		}
		if errors.Is(err, store.ErrFull) {
			select {
			case <-time.After(time.Second):
				continue
			case <-d.ctx.Done():
				return 0, Execution{}, context.Cause(d.ctx)
			}
		}
		if err != nil {
			return 0, Execution{}, err
		}
		id, err := d.e.st.Find(b.arn)
		return id, x, err
	}
}

// found returns a child that exists, after redriving it if necessary.
func (d *mapDriver) found(arn string, items int64) (store.ID, Execution, error) {
	id, err := d.e.st.Find(arn)
	if err != nil {
		return 0, Execution{}, err
	}
	x, err := d.e.describe(id)
	if err != nil {
		return 0, Execution{}, err
	}
	d.mu.Lock()
	again := d.spec.Redriven && awaits(&x, d.record) && x.LastEventID < redriveEvents
	if again { // before the redrive, because the child already counts as running
		d.record.Items.PendingRedrive = max(0, d.record.Items.PendingRedrive-items)
		d.record.Executions.PendingRedrive = max(0, d.record.Executions.PendingRedrive-1)
	}
	d.mu.Unlock()
	if !again {
		return id, x, nil
	}
	d.e.resting.take(id)
	if err := d.e.deliver(id, interp.Redrive{}); err != nil {
		return 0, Execution{}, err
	}
	x, err = d.e.describe(id)
	return id, x, err
}

// newRun returns the parameters of the child with an index. Its name derives from the map run and the index.
func (d *mapDriver) newRun(index int64, input []byte, items int64) newRun {
	sum := sha256.Sum256([]byte(d.spec.ARN + "#" + strconv.FormatInt(index, 10)))
	name := hashUUID(sum)
	kind, tail := stepfn.KindExecution, name
	if d.spec.Express {
		kind, tail = stepfn.KindExpress, name+":"+name
	}
	b := newRun{
		StartRequest: StartRequest{
			MachineARN: d.machine + "/" + d.spec.Label, MachineName: d.machineName, Name: name, RoleARN: d.role, Input: input,
			Type: stepfn.Standard, Labels: d.labels,
		},
		arn:    stepfn.NewARN(d.e.c.Region, d.e.c.Account, kind, d.machineName+"/"+d.spec.Label, tail),
		group:  d.spec.ARN,
		hash:   d.definition,
		parent: &parent{ARN: d.execution, MapRun: d.spec.ARN, Index: index},
		params: interp.Params{Program: d.spec.Program, MapRunARN: d.spec.ARN, Express: d.spec.Express},
		items:  items,
		by:     d.run,
	}
	return b
}

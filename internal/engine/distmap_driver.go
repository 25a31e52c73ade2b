package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// maxChildren is the maximum number of concurrent children of a map run, as on AWS. A child that waits costs a timer and an entry in
// mapDriver.running; a child with a running task is also in memory.
const maxChildren = 10_000

// mapDriver runs a map run: it reads the items one after another and starts a child for each item or batch. It has only the running
// children in memory.
type mapDriver struct {
	e                          *Engine
	run                        store.ID
	spec                       interp.MapRun
	execution                  string
	machine, machineName, role string
	labels                     map[string]string // of the execution, which the children inherit
	definition                 string            // the hash of the definition
	ctx                        context.Context
	cancel                     context.CancelCauseFunc
	changed                    chan struct{} // gets a value when a child has ended or limits have changed

	mu      sync.Mutex
	record  *MapRun          // the current record; nil before begin and after close, when the stored record is current
	running map[int64]*child // the running children by index
	total   int64            // the number of items; -1 while it is unknown
	fault   error            // the errors of starts

	before <-chan struct{} // if not nil: closed when the map run's previous driver has ended
	done   chan struct{}   // closed when this driver has ended

	starting sync.WaitGroup
	starts   chan struct{} // limits concurrent starts
}

// maxStarts is the maximum number of concurrent starts of children: enough for commits to share syncs.
const maxStarts = 32

// child is a child execution that was started and has not ended.
type child struct {
	id    store.ID
	items int64
}

// failed is an error of the States Language with which a map run ends.
type failed struct{ name, cause string }

func (f *failed) Error() string { return f.name + ": " + f.cause }

// shown returns the map run with its current counts. ok is false if the stored record is current.
func (d *mapDriver) shown() (MapRun, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.record == nil {
		return MapRun{}, false
	}
	m := *d.record
	m.Items.Pending = max(0, d.total-m.Items.begun())
	m.Items.Total = max(d.total, m.Items.begun())
	m.Executions.Total = m.Executions.begun()
	if !d.spec.Batched { // with batches, the number of children for the remaining items is unknown
		m.Executions.Pending, m.Executions.Total = m.Items.Pending, m.Items.Total
	}
	return m, true
}

// drive runs the map run to its end, or until the engine closes.
func (d *mapDriver) drive(resumed bool) {
	if d.before != nil { // the previous driver always ends: its context is canceled, or its map run has ended
		<-d.before
	}
	err := d.begin(resumed)
	if err == nil {
		err = d.children()
	}
	d.starting.Wait()
	var output []byte
	if err == nil {
		output, err = d.notedResults()
	}
	switch cause := context.Cause(d.ctx); {
	case errors.Is(cause, errStopMap):
		d.abort()
		d.close(stepfn.Aborted)
		d.e.removeEffect(d.run, effectStopMap+d.spec.ID)
	case cause != nil: // the engine is closing; the next one continues
	case err != nil:
		d.abort()
		d.drain()
		d.writeFailed(err)
		d.close(stepfn.Failed)
		d.e.completeEffect(d.run, effectMap+d.spec.ID, d.failure(err))
	default:
		d.close(stepfn.Succeeded)
		d.e.completeEffect(d.run, effectMap+d.spec.ID, interp.MapRunEnded{MapRun: d.spec.ID, Output: output})
	}
}

// failure converts an error to the end of the map run.
func (d *mapDriver) failure(err error) interp.MapRunEnded {
	end := interp.MapRunEnded{MapRun: d.spec.ID, Error: stepfn.StatesRuntime, Cause: err.Error()}
	var f *failed
	var bad *expr.Error
	switch {
	case errors.As(err, &f):
		end.Error, end.Cause = f.name, f.cause
	case errors.As(err, &bad):
		end.Error, end.Cause = bad.Name, bad.Cause
	}
	return end
}

// begin stores the record of the map run, and resets its counts.
func (d *mapDriver) begin(resumed bool) error {
	m, err := d.e.mapRecords.get(d.spec.ARN)
	now := d.e.c.Now().UTC().Truncate(time.Millisecond)
	switch {
	case errors.Is(err, ErrMapRunDoesNotExist):
		m = MapRun{
			ARN: d.spec.ARN, ExecutionARN: d.execution, Started: now, MaxConcurrency: d.spec.MaxConcurrency,
			ToleratedCount: d.spec.ToleratedFailureCount, ToleratedPct: d.spec.ToleratedFailurePercentage,
		}
	case err != nil:
		return err
	case d.spec.Redriven && !resumed:
		m.RedriveCount++
		m.Redriven, m.Stopped = now, time.Time{}
		m.Items.PendingRedrive = m.Items.unsuccessful() - m.Items.NotRedrivable
		m.Executions.PendingRedrive = m.Executions.unsuccessful() - m.Executions.NotRedrivable
	}
	// All children are counted again, because the driver visits all of them.
	m.Status = stepfn.Running
	m.Items, m.Executions = Counts{PendingRedrive: m.Items.PendingRedrive}, Counts{PendingRedrive: m.Executions.PendingRedrive}
	if err := d.e.mapRecords.put(&m); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record, d.total = &m, -1
	return nil
}

// abort aborts the running children.
func (d *mapDriver) abort() {
	d.mu.Lock()
	keys := sortedKeys(d.running)
	ids := make([]store.ID, len(keys))
	for i, k := range keys {
		ids[i] = d.running[k].id
	}
	d.mu.Unlock()
	for _, id := range ids {
		if err := d.e.abort(id, interp.Abort{}); err != nil {
			d.e.logger.Error("could not abort a child of a map run", "execution", d.execution, "run", uint64(id), "problem", err)
		}
	}
}

// drain waits until no child runs, or the engine closes.
func (d *mapDriver) drain() {
	for {
		d.mu.Lock()
		n := len(d.running)
		d.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-d.changed:
		case <-d.ctx.Done():
			return
		}
	}
}

// close stores the end of the map run.
func (d *mapDriver) close(status stepfn.Status) {
	if m, ok := d.shown(); ok {
		if err := d.e.mapRecords.end(&m, status, d.e.c.Now()); err != nil {
			d.e.logger.Error("could not store the end of a map run", "execution", d.execution, "problem", err)
		}
		d.mu.Lock()
		d.record = nil // from now on, the stored record is current
		d.mu.Unlock()
	}
}

// children starts a child for each item or batch, and returns when all have ended or too many items have failed.
func (d *mapDriver) children() error {
	n, err := d.inputs(func(index int64, input []byte, items int64) error {
		return d.child(index, input, items)
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.total = n
	d.mu.Unlock()
	return d.wait(0)
}

// inputs calls fn for each child with its index, its input and its number of items. It returns the total number of items.
func (d *mapDriver) inputs(fn func(index int64, input []byte, items int64) error) (n int64, err error) {
	note := d.e.notes.begin()
	defer note.end()
	batch := &batcher{spec: &d.spec, fn: func(index int64, input []byte, items int64) error {
		note.clear() // fn may wait for other children
		return fn(index, input, items)
	}}
	note.write(d.run, -1, mapStep, d.spec.ID)
	err = d.items(func(it interp.MapItem) error {
		input, err := d.spec.Child(n, &it)
		if err != nil {
			return err
		}
		n++
		if err = batch.add(input); err == nil {
			d.e.crashes.survived(d.run, func() string { return itemStep(n-1, stepText(mapStep, d.spec.ID)) })
		}
		note.write(d.run, -1-n, mapStep, d.spec.ID)
		return err
	})
	if err == nil {
		err = batch.flush()
	}
	return n, err
}

// The names of a map run's steps in notes (notes.go).
const (
	mapStep     = "map run "
	resultsStep = "results of map run "
)

// batcher groups items into the inputs of children.
type batcher struct {
	spec     *interp.MapRun
	fn       func(index int64, input []byte, items int64) error
	children int64    // the number of children so far
	held     [][]byte // the items of the current batch
	bytes    int64    // their size, with separators
}

// add adds an item to the current batch, and passes the batch to fn when it is full. Without batching, each item is passed to fn.
func (b *batcher) add(input []byte) error {
	m := b.spec
	if !m.Batched {
		b.children++
		return b.fn(b.children-1, input, 1)
	}
	size := int64(len(input)) + 1
	if m.BatchBytes > 0 && len(b.held) > 0 && b.bytes+size > m.BatchBytes {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.held, b.bytes = append(b.held, input), b.bytes+size
	if m.BatchItems > 0 && int64(len(b.held)) >= m.BatchItems || len(b.held) >= maxBatch {
		return b.flush()
	}
	return nil
}

// maxBatch is the maximum number of items in a batch if the Map limits only the bytes.
const maxBatch = 10_000

// flush passes the current batch to fn, if it has items.
func (b *batcher) flush() error {
	if len(b.held) == 0 {
		return nil
	}
	input, n := b.spec.Batch(b.held), int64(len(b.held))
	b.held, b.bytes = nil, 0
	b.children++
	return b.fn(b.children-1, input, n)
}

// wait returns when no more than most children run. The error is that of a failed start, or means that too many items failed or that the
// driver must end.
func (d *mapDriver) wait(most int) error {
	for {
		d.mu.Lock()
		running := len(d.running)
		err := d.fault
		if err == nil {
			err = d.exceeded()
		}
		d.mu.Unlock()
		if err != nil || running <= most {
			return err
		}
		select {
		case <-d.changed:
		case <-d.ctx.Done():
			return context.Cause(d.ctx)
		}
	}
}

// exceeded returns an error if too many items failed. A tolerated percentage refers to all items, so it is not checked before their
// number is known. The caller holds d.mu.
func (d *mapDriver) exceeded() error {
	spec := interp.MapRun{ToleratedFailureCount: d.record.ToleratedCount, ToleratedFailurePercentage: d.record.ToleratedPct}
	total := d.total
	if total < 0 {
		if spec.ToleratedFailurePercentage > 0 && spec.ToleratedFailureCount == 0 {
			return nil
		}
		spec.ToleratedFailurePercentage = 0
		total = 1
	}
	if !spec.Exceeded(d.record.Items.unsuccessful(), total) {
		return nil
	}
	return &failed{stepfn.StatesExceedToleratedFailureThreshold, interp.ExceedToleratedFailureThresholdCause}
}

// ended removes a child that has ended from the running ones, and counts it.
func (d *mapDriver) ended(index int64, status stepfn.Status, lastEvent int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.running[index]
	if c == nil || d.record == nil {
		return
	}
	delete(d.running, index)
	d.record.Items.Running -= c.items
	d.record.Executions.Running--
	d.record.Items.count(status, c.items)
	d.record.Executions.count(status, 1)
	if status != stepfn.Succeeded && lastEvent >= redriveEvents {
		d.record.Items.NotRedrivable += c.items
		d.record.Executions.NotRedrivable++
	}
	d.nudge()
}

// nudge makes wait and drain check their conditions again.
func (d *mapDriver) nudge() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// update changes limits of the map run and stores its record.
func (d *mapDriver) update(c MapRunChange) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.record == nil {
		return nil
	}
	if c.MaxConcurrency != nil {
		d.record.MaxConcurrency = *c.MaxConcurrency
	}
	if c.ToleratedCount != nil {
		d.record.ToleratedCount = *c.ToleratedCount
	}
	if c.ToleratedPct != nil {
		d.record.ToleratedPct = *c.ToleratedPct
	}
	d.nudge()
	m := *d.record
	return d.e.mapRecords.put(&m)
}

// notedResults is results with a note, because large results may kill the process.
func (d *mapDriver) notedResults() ([]byte, error) {
	note := d.e.notes.begin()
	defer note.end()
	note.write(d.run, 0, resultsStep, d.spec.ID)
	output, err := d.results()
	d.e.crashes.survived(d.run, func() string { return stepText(resultsStep, d.spec.ID) })
	return output, err
}

// results returns the output of the Map: the children's results in the order of the items, or the location of the files that the result
// writer wrote.
func (d *mapDriver) results() ([]byte, error) {
	var w writer
	if err := json.Unmarshal(orEmpty(d.spec.Writer), &w); err != nil {
		return nil, unwritable(err)
	}
	var out []byte
	var err error
	if w.Parameters.Bucket != "" {
		out, err = d.write(&w, false)
	} else {
		out, err = d.transformed(&w)
	}
	if err == nil {
		d.mu.Lock()
		d.record.Items.Written = d.record.Items.Succeeded + d.record.Items.unsuccessful()
		d.record.Executions.Written = d.record.Executions.Succeeded + d.record.Executions.unsuccessful()
		d.mu.Unlock()
	}
	return out, err
}

// writeFailed writes the results of a map run in which too many items failed: those of successful and failed children, and the inputs of
// children that were not started. The map run has failed already, so an error is only logged.
func (d *mapDriver) writeFailed(err error) {
	var w writer
	var f *failed
	if !errors.As(err, &f) || f.name != stepfn.StatesExceedToleratedFailureThreshold ||
		json.Unmarshal(orEmpty(d.spec.Writer), &w) != nil || w.Parameters.Bucket == "" {
		return
	}
	if _, err := d.write(&w, true); err != nil {
		d.e.logger.Warn("could not write the results of a failed map run", "execution", d.execution, "problem", err)
	}
}

// executions returns the number of children that have ended.
func (d *mapDriver) executions() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.record.Executions.Succeeded + d.record.Executions.unsuccessful()
}

// result describes the child with an index.
func (d *mapDriver) result(index int64) (Execution, error) {
	id, err := d.e.st.Find(d.newRun(index, nil, 0).arn)
	if err != nil {
		return Execution{}, fmt.Errorf("child %d of map run %s: %w", index, d.spec.ARN, err)
	}
	return d.e.describe(id)
}

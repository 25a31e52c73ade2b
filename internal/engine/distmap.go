package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// A Map state in distributed mode is executed by a map run. The interpreter decides that a map run starts or stops; the engine runs it
// and delivers interp.MapRunEnded at its end. For each item, or batch of items, the map run starts a child execution, which is a run like
// any other and has the map run as its group.
//
// The files divide the work as follows:
//
//   - distmap.go: map runs as the API shows them, and the table of those that are being driven
//   - distmap_driver.go: mapDriver runs a map run: it reads the items, starts children up to the limit, counts their results
//   - distmap_children.go: starting or finding the child for an item
//   - distmap_items.go: items from the state's input; distmap_reader.go: items from files (ItemReader, package dataset)
//   - distmap_results.go: the Map's output and the files of the ResultWriter
//   - distmap_records.go: the stored records of map runs
//   - distmap_processor.go: the definition of a child, which is a part of the Map's definition
//
// A driver stores only the record of the map run, with its counts, when it starts, ends or is updated. After a restart, a new driver
// reads all items again and finds the children that exist by their names, which derive from the map run and the index of the item.

// Counts has the numbers of items, or of child executions, of a map run by status. Written counts the results that the result writer
// wrote.
type Counts struct {
	Total     int64 `json:"total"`
	Pending   int64 `json:"pending"`
	Running   int64 `json:"running"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	TimedOut  int64 `json:"timedOut"`
	Aborted   int64 `json:"aborted"`
	Written   int64 `json:"written"`
	// PendingRedrive counts those that did not succeed before the redrive and that it has not restarted yet.
	PendingRedrive int64 `json:"pendingRedrive,omitempty"`
	// NotRedrivable counts the unsuccessful ones whose history has no space for a redrive.
	NotRedrivable int64 `json:"notRedrivable,omitempty"`
}

// count adds n to the field for a status.
func (c *Counts) count(status stepfn.Status, n int64) {
	switch status {
	case stepfn.Running:
		c.Running += n
	case stepfn.Succeeded:
		c.Succeeded += n
	case stepfn.TimedOut:
		c.TimedOut += n
	case stepfn.Aborted:
		c.Aborted += n
	case stepfn.Failed, stepfn.PendingRedrive:
		c.Failed += n
	}
}

// unsuccessful returns the number that is compared with the tolerated failures.
func (c *Counts) unsuccessful() int64 { return c.Failed + c.TimedOut + c.Aborted }

// begun returns the number of those that run, have ended, or wait for their redrive.
func (c *Counts) begun() int64 { return c.Running + c.Succeeded + c.unsuccessful() + c.PendingRedrive }

// MapRun is a map run as DescribeMapRun shows it, and its stored record.
type MapRun struct {
	V              int           `json:"v"`
	ARN            string        `json:"arn"`
	ExecutionARN   string        `json:"execution"`
	Status         stepfn.Status `json:"status"`
	Started        time.Time     `json:"started"`
	Stopped        time.Time     `json:"stopped,omitzero"`
	MaxConcurrency int64         `json:"maxConcurrency"`
	ToleratedCount int64         `json:"toleratedCount"`
	ToleratedPct   float64       `json:"toleratedPercentage"`
	Items          Counts        `json:"items"`
	Executions     Counts        `json:"executions"`
	RedriveCount   int64         `json:"redriveCount"`
	Redriven       time.Time     `json:"redriven,omitzero"`
}

// mapRuns has the drivers of the map runs. A redrive may start while the earlier driver still stops children or is about to end: then the
// new driver replaces it here, and waits for it.
type mapRuns struct {
	e    *Engine
	mu   sync.Mutex
	live map[string]*mapDriver // by ARN
}

func (m *mapRuns) get(arn string) *mapDriver {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live[arn]
}

// add registers a driver, and sets its before if there is an earlier driver. It returns false if the map run is resumed but already has a
// driver.
func (m *mapRuns) add(d *mapDriver, resumed bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live == nil {
		m.live = map[string]*mapDriver{}
	}
	before := m.live[d.spec.ARN]
	if before != nil && resumed {
		return false
	}
	if before != nil {
		d.before = before.done
	}
	m.live[d.spec.ARN] = d
	return true
}

// drop removes a driver that has ended, unless another one has replaced it.
func (m *mapRuns) drop(d *mapDriver) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[d.spec.ARN] == d {
		delete(m.live, d.spec.ARN)
	}
	close(d.done)
}

// byTask returns the driver of a run's map run by the map run's id in the run.
func (m *mapRuns) byTask(run store.ID, id string) *mapDriver {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.live {
		if d.run == run && d.spec.ID == id {
			return d
		}
	}
	return nil
}

// start starts a driver in the background. The caller holds the run's lock.
func (m *mapRuns) start(r *run, spec interp.MapRun, resumed bool) {
	p := r.state.Params()
	d := &mapDriver{
		e: m.e, run: r.id, spec: spec, execution: p.ExecutionARN, machine: p.MachineARN, machineName: p.MachineName,
		role: p.RoleARN, labels: r.meta.Labels, definition: r.meta.Hash, changed: make(chan struct{}, 1), running: map[int64]*child{},
		starts: make(chan struct{}, maxStarts), done: make(chan struct{}),
	}
	d.ctx, d.cancel = context.WithCancelCause(m.e.ctx)
	if !m.add(d, resumed) {
		return
	}
	m.e.background(func(context.Context) {
		defer m.drop(d)
		defer d.cancel(nil)
		d.drive(resumed)
	})
}

// stop aborts the children of a map run.
func (m *mapRuns) stop(id store.ID, mapRun string) {
	if d := m.byTask(id, mapRun); d != nil {
		d.cancel(errStopMap)
		return
	}
	// An earlier engine drove the map run, so no driver knows its children: abort those that are listed as running.
	m.e.later(func() { m.abortChildren(id, mapRun) })
}

// abortChildren aborts the children of a run's map runs that have no driver, and performs the effect.
func (m *mapRuns) abortChildren(id store.ID, mapRun string) {
	e := m.e
	x, err := e.describe(id)
	if err != nil {
		e.logger.Error("could not abort the children of a map run", "run", uint64(id), "problem", err)
		return
	}
	runs, _, err := e.mapRecords.of(x.ARN, "", 0)
	for _, run := range runs {
		if run.Status == stepfn.Running {
			err = errors.Join(err, m.abortRunning(run.ARN), e.mapRecords.end(&run, stepfn.Aborted, e.c.Now()))
		}
	}
	if err != nil {
		e.logger.Error("could not abort the children of a map run", "execution", x.ARN, "problem", err)
		return
	}
	e.removeEffect(id, effectStopMap+mapRun)
}

// abortRunning aborts the children of a map run that are listed as running.
func (m *mapRuns) abortRunning(arn string) error {
	var ids []store.ID
	err := m.e.st.Merge([]string{arn}, string(stepfn.Running), "", store.Span{}, func(_ string, en store.Entry) bool {
		ids = append(ids, en.ID)
		return true
	})
	for _, id := range ids {
		err = errors.Join(err, m.e.abort(id, interp.Abort{}))
	}
	return err
}

// MapRun describes a map run. The error is ErrMapRunDoesNotExist if there is none.
func (e *Engine) MapRun(arn string) (MapRun, error) {
	if err := e.enter(); err != nil {
		return MapRun{}, err
	}
	defer e.leave()
	if d := e.mapRuns.get(arn); d != nil {
		if m, ok := d.shown(); ok {
			return m, nil
		}
	}
	return e.mapRecords.get(arn)
}

// MapRuns lists the map runs of an execution. token is empty, or the next of the previous page.
func (e *Engine) MapRuns(executionARN, token string, limit int) (runs []MapRun, next string, err error) {
	if err := e.enter(); err != nil {
		return nil, "", err
	}
	defer e.leave()
	if _, err := e.find(executionARN); err != nil {
		return nil, "", err
	}
	return e.mapRecords.of(executionARN, token, pageSize(limit))
}

// MapRunChange has the new limits of a map run; a nil field leaves the limit unchanged.
type MapRunChange struct {
	MaxConcurrency, ToleratedCount *int64
	ToleratedPct                   *float64
}

// UpdateMapRun changes the limits of a running map run. It does nothing if the map run has ended.
func (e *Engine) UpdateMapRun(arn string, c MapRunChange) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	d := e.mapRuns.get(arn)
	if d == nil {
		_, err := e.mapRecords.get(arn)
		return err // the map run has ended
	}
	return d.update(c)
}

// childEnded notifies the driver of a map run that a child has ended.
func (m *mapRuns) childEnded(p *parent, h interp.Head) {
	if d := m.get(p.MapRun); d != nil {
		d.ended(p.Index, h.Status, h.LastEvent)
	}
}

// showAwaited sets the status of a child to PENDING_REDRIVE if its map run is being redriven and has not restarted it yet. The stored
// status is the one with which the child ended.
func (m *mapRuns) showAwaited(x *Execution) {
	if x.MapRunARN == "" || !x.Closed() || x.Status == stepfn.Succeeded {
		return
	}
	d := m.get(x.MapRunARN)
	if d == nil {
		return
	}
	if run, ok := d.shown(); ok && awaits(x, &run) {
		x.Status = stepfn.PendingRedrive
	}
}

// awaits reports whether a child ended unsuccessfully before its map run was redriven.
func awaits(x *Execution, m *MapRun) bool {
	return m.RedriveCount > 0 && x.Closed() && x.Status != stepfn.Succeeded && !x.Stopped.After(m.Redriven)
}

// errStopMap is the cause with which the context of a driver is canceled when the map run must be aborted.
var errStopMap = errors.New("the map run is aborted")

// sortedKeys returns the keys in order, so that children are aborted in a deterministic order.
func sortedKeys(m map[int64]*child) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

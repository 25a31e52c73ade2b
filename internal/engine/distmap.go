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

// Counts are the numbers of items, or child executions, of a map run by their progress. Written counts what the result writer wrote.
type Counts struct {
	Total     int64 `json:"total"`
	Pending   int64 `json:"pending"`
	Running   int64 `json:"running"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	TimedOut  int64 `json:"timedOut"`
	Aborted   int64 `json:"aborted"`
	Written   int64 `json:"written"`
	// PendingRedrive counts those that failed before and that the redrive has not restarted yet.
	PendingRedrive int64 `json:"pendingRedrive,omitempty"`
	// NotRedrivable counts the unsuccessful ones whose history has no room for a redrive.
	NotRedrivable int64 `json:"notRedrivable,omitempty"`
}

// count adds n to the field of a status.
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

// unsuccessful is the number that the tolerated failures limit.
func (c *Counts) unsuccessful() int64 { return c.Failed + c.TimedOut + c.Aborted }

// begun is how many run, have run, or will run again.
func (c *Counts) begun() int64 { return c.Running + c.Succeeded + c.unsuccessful() + c.PendingRedrive }

// MapRun is what DescribeMapRun shows.
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

// mapRuns are the map runs that are driven now. A redrive may come while the earlier driver still stops children or is about
// to end: the new driver takes its place here and waits for it.
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

// add registers a driver and gives it the earlier one to wait for, if any. A map run that is only resumed is not driven twice.
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

func (m *mapRuns) drop(d *mapDriver) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[d.spec.ARN] == d {
		delete(m.live, d.spec.ARN)
	}
	close(d.done)
}

// byTask finds the driver of a run's map by the map's id in the run.
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

// start drives a map run in the background. The caller holds the run's lock.
func (m *mapRuns) start(r *run, spec interp.MapRun, resumed bool) {
	p := r.state.Params()
	d := &mapDriver{
		e: m.e, run: r.id, spec: spec, execution: p.ExecutionARN, machine: p.MachineARN, machineName: p.MachineName,
		role: p.RoleARN, labels: r.meta.Labels, definition: r.meta.Hash, changed: make(chan struct{}, 1), going: map[int64]*child{},
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
	// An earlier engine drove it: its children are those that still run.
	m.e.later(func() { m.abortChildren(id, mapRun) })
}

func (m *mapRuns) abortChildren(id store.ID, mapRun string) {
	e := m.e
	x, err := e.describe(id)
	if err != nil {
		e.logger.Error("abort the children of a map run", "run", uint64(id), "problem", err)
		return
	}
	runs, _, err := e.mapRecords.of(x.ARN, "", 0)
	for _, run := range runs {
		if run.Status == stepfn.Running {
			err = errors.Join(err, m.abortRunning(run.ARN), e.mapRecords.end(&run, stepfn.Aborted, e.c.Now()))
		}
	}
	if err != nil {
		e.logger.Error("abort the children of a map run", "execution", x.ARN, "problem", err)
		return
	}
	e.removeEffect(id, effectStopMap+mapRun)
}

// abortRunning aborts the children of a map run that are in its list of running ones.
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

// MapRun describes a map run; ErrMapRunDoesNotExist if there is none.
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

// MapRuns lists the map runs of an execution; a token continues after the previous page.
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

// MapRunChange is what UpdateMapRun changes in a running map run; nil leaves a limit unchanged.
type MapRunChange struct {
	MaxConcurrency, ToleratedCount *int64
	ToleratedPct                   *float64
}

// UpdateMapRun changes the limits of a map run that runs.
func (e *Engine) UpdateMapRun(arn string, c MapRunChange) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	d := e.mapRuns.get(arn)
	if d == nil {
		_, err := e.mapRecords.get(arn)
		return err // a map run that has ended has no limits to change
	}
	return d.update(c)
}

// childEnded tells the driver of a map run that a child has ended.
func (m *mapRuns) childEnded(p *parent, h interp.Head) {
	if d := m.get(p.MapRun); d != nil {
		d.ended(p.Index, h.Status, h.LastEvent)
	}
}

// showAwaited gives a child the status that callers see: its stored status does not reflect the redrive of its map run.
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

// awaits reports whether the child failed before its map run was redriven.
func awaits(x *Execution, m *MapRun) bool {
	return m.RedriveCount > 0 && x.Closed() && x.Status != stepfn.Succeeded && !x.Stopped.After(m.Redriven)
}

// errStopMap ends a map run whose execution no longer waits for it.
var errStopMap = errors.New("the map run is to be stopped")

// sortedKeys are the keys of the children that run, so that aborts come in a stable order.
func sortedKeys(m map[int64]*child) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

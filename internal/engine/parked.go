package engine

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// An execution during whose step the process died, and died again when the step was retried, would kill every process that drives
// it. It is parked: no process drives it until a user resumes it, but it can be stopped.

// ErrParked means that an execution is parked and accepts no results.
var ErrParked = errors.New("the execution is parked: the process that drove it died twice during the same step")

// Parked is an open execution that the engine does not drive, and why.
type Parked struct {
	ARN    string
	Since  time.Time
	Reason string
}

const (
	deathDocs  = "deaths" // the kind of their documents
	mostDeaths = 2        // during one step
)

// death counts how often a process died during one step of a run. It is forgotten when the step is done.
type death struct {
	V     int    `json:"v"`
	ARN   string `json:"arn"`
	Step  string `json:"step"`
	Event int64  `json:"event"` // the history's last one
	Count int    `json:"count"`
	Time  int64  `json:"time"` // when the last one was noticed, milliseconds
}

func deathName(id store.ID, step string) string {
	return strconv.FormatUint(uint64(id), 10) + " " + step
}

func (d *death) reason() string {
	return fmt.Sprintf("the process that drove it died %d times during the same step (%s, after event %d), for example because "+
		"it ran out of memory", d.Count, d.Step, d.Event)
}

// deaths are those of the runs that have any: as a rule none.
type deaths struct {
	st     *store.Store
	logger *slog.Logger

	n  atomic.Int32 // of runs
	mu sync.Mutex
	of map[store.ID]map[string]death // by step
}

func (d *deaths) add(id store.ID, x death) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[store.ID]map[string]death{}
	}
	if d.of[id] == nil {
		d.of[id] = map[string]death{}
		d.n.Add(1)
	}
	d.of[id][x.Step] = x
}

func (d *deaths) remove(id store.ID, steps ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of[id] == nil {
		return
	}
	for _, s := range steps {
		delete(d.of[id], s)
	}
	if len(d.of[id]) == 0 {
		delete(d.of, id)
		d.n.Add(-1)
	}
}

// steps are those during which a process died: one of them, or all when none is named.
func (d *deaths) steps(id store.ID, only string) (steps []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.of[id] {
		if only == "" || s == only {
			steps = append(steps, s)
		}
	}
	return steps
}

// worst is the step that parks a run; a Count below mostDeaths does not.
func (d *deaths) worst(id store.ID) (worst death) {
	if d.n.Load() == 0 {
		return death{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.of[id] {
		if x.Count > worst.Count {
			worst = x
		}
	}
	return worst
}

// park reports whether nothing may drive a run.
func (d *deaths) park(id store.ID) bool { return d.worst(id).Count >= mostDeaths }

// takesNot reports whether a fact must wait until its run is resumed.
func (d *deaths) takesNot(id store.ID, f interp.Fact) bool {
	switch f.(type) {
	case interp.Abort, interp.Redrive:
		return false
	}
	return d.park(id)
}

// openDeaths reads the deaths that are known, and adds those that the notes of the last process tell of.
func (e *Engine) openDeaths() error {
	docs, err := e.st.Docs(deathDocs, "", "", 0)
	for _, doc := range docs {
		err = errors.Join(err, e.deaths.read(doc))
	}
	if err != nil || e.c.ReadOnly || e.c.FS != vfs.Default {
		return err
	}
	var left []note
	if e.notes, left, err = openNotes(e.c.FS.PathJoin(e.c.Dir, "driving")); err != nil {
		e.logger.Warn("an execution that kills this process will not be recognized", "problem", err)
	}
	b := e.st.NewBatch()
	for _, n := range left {
		e.countDeath(b, n)
	}
	return e.st.Commit(b)
}

// read forgets one whose run was deleted: another may have its number.
func (d *deaths) read(doc store.Doc) error {
	var x death
	if err := json.Unmarshal(doc.Value, &x); err != nil {
		return fmt.Errorf("the record %s/%s is damaged: %w", deathDocs, doc.Name, err)
	}
	id, err := d.st.Find(x.ARN)
	if errors.Is(err, store.ErrNoRun) || err == nil && deathName(id, x.Step) != doc.Name {
		return nil
	}
	d.add(id, x)
	return err
}

// countDeath counts a note, unless the step was done after all.
func (e *Engine) countDeath(b *store.Batch, n note) {
	x, err := e.describeCold(n.run)
	if err != nil || n.number > 0 && n.number != x.LastEventID {
		return
	}
	if n.number < 0 {
		n.step = itemStep(-n.number-1, n.step)
	}
	e.deaths.mu.Lock()
	d := e.deaths.of[n.run][n.step]
	e.deaths.mu.Unlock()
	d = death{metaVersion, x.ARN, n.step, x.LastEventID, d.Count + 1, e.c.Now().UnixMilli()}
	e.deaths.add(n.run, d)
	v, _ := json.Marshal(d) // plain fields: it cannot fail
	b.Doc(deathDocs, deathName(n.run, n.step), v)
	if d.Count >= mostDeaths {
		e.logger.Error("execution parked", "execution", d.ARN, "reason", d.reason())
	}
}

func itemStep(index int64, step string) string { return fmt.Sprintf("item %d of %s", index, step) }

// survived forgets the deaths during a step that is done; without one, all of a run. It is for steps that commit nothing of
// their own. That is seldom, and lost at a crash at worst.
func (d *deaths) survived(id store.ID, step func() string) {
	if d.n.Load() == 0 {
		return
	}
	if err := d.forget(id, step()); err != nil {
		d.logger.Error("forget the deaths of a run", "run", uint64(id), "problem", err)
	}
}

func (d *deaths) forget(id store.ID, only string) error {
	steps := d.steps(id, only)
	if len(steps) == 0 {
		return nil
	}
	b := d.st.NewBatch()
	writeSurvived(b, id, steps)
	if err := d.st.Commit(b); err != nil {
		return err
	}
	d.remove(id, steps...)
	return nil
}

func writeSurvived(b *store.Batch, id store.ID, steps []string) {
	for _, s := range steps {
		b.Doc(deathDocs, deathName(id, s), nil)
	}
}

// survive collects the deaths that a fact's step settles. After an abort or a redrive the run is another.
func (d *deaths) survive(r *run, s *step, f interp.Fact) {
	if d.n.Load() == 0 {
		return
	}
	switch f.(type) {
	case interp.Abort, interp.Redrive:
		s.survived = d.steps(r.id, "")
	default:
		if id, kind, of := r.stepOf(f); id == r.id {
			s.survived = append(s.survived, d.steps(id, stepText(kind, of))...)
		} else {
			d.survived(id, func() string { return stepText(kind, of) })
		}
	}
}

// noteNumber is the last event before a step. Events of an execution that is not on disk are nobody's.
func (s *step) noteNumber(r *run) int64 {
	if r.mem != nil || !r.born {
		return 0
	}
	return s.after
}

// unpark lets a parked run be driven again, and reports whether it was parked.
func (e *Engine) unpark(id store.ID) (was bool, err error) {
	if !e.deaths.park(id) {
		return false, nil
	}
	err = e.settled(id, func(*run) error {
		was = e.deaths.park(id)
		return e.deaths.forget(id, "")
	})
	return was && err == nil, err
}

// Parked lists the executions that are parked, by their ARNs.
func (e *Engine) Parked() []Parked {
	e.deaths.mu.Lock()
	ids := make([]store.ID, 0, len(e.deaths.of))
	for id := range e.deaths.of {
		ids = append(ids, id)
	}
	e.deaths.mu.Unlock()
	all := []Parked{}
	for _, id := range ids {
		if d := e.deaths.worst(id); d.Count >= mostDeaths {
			all = append(all, Parked{d.ARN, fromMillis(d.Time), d.reason()})
		}
	}
	slices.SortFunc(all, func(a, b Parked) int { return cmp.Compare(a.ARN, b.ARN) })
	return all
}

// stepOf is what a fact makes of a run, for its note. What an execution that is not on disk does, is its starter's step.
func (r *run) stepOf(f interp.Fact) (id store.ID, kind, of string) {
	if r.mem != nil || !r.born {
		return r.by, "a step of the execution ", r.state.Params().Name
	}
	switch f := f.(type) {
	case interp.TaskStarted:
		return r.id, "start of task ", f.Task
	case interp.TaskSubmitted:
		return r.id, "submission of task ", f.Task
	case interp.TaskHeartbeat:
		return r.id, "heartbeat of task ", f.Task
	case interp.TaskEnded:
		return r.id, "end of task ", f.Task
	case interp.MapRunEnded:
		return r.id, "end of map run ", f.MapRun
	case interp.Wake:
		return r.id, "timer", ""
	case interp.Abort:
		return r.id, "abort", ""
	case interp.Redrive:
		return r.id, "redrive", ""
	}
	return r.id, "continuation", ""
}

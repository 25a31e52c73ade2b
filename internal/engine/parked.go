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

// If the process dies during a step of an execution, for example because it runs out of memory, the next engine retries the step. If the
// process dies again, the execution would kill every process that drives it. So it is parked: no engine drives it until a user resumes
// it by its ARN. It can be stopped.
//
// notes.go records which steps are in progress. When an engine opens the directory, the notes that are left count as crashes.

// ErrParked means that an execution is parked and accepts no results.
var ErrParked = errors.New("the execution is parked: the process that drove it died twice during the same step")

// Parked is an open execution that the engine does not drive, and why.
type Parked struct {
	ARN    string
	Since  time.Time
	Reason string
}

const (
	crashDocs  = "deaths" // the kind of the documents; stored, so it cannot change
	maxCrashes = 2        // the number of crashes during one step after which a run is parked
)

// crash counts how often a process died during one step of a run. It is deleted when the step is complete.
type crash struct {
	V     int    `json:"v"`
	ARN   string `json:"arn"`
	Step  string `json:"step"`
	Event int64  `json:"event"` // the id of the last event in the history
	Count int    `json:"count"`
	Time  int64  `json:"time"` // when the last crash was noticed, in milliseconds since 1970
}

func crashName(id store.ID, step string) string {
	return strconv.FormatUint(uint64(id), 10) + " " + step
}

func (d *crash) reason() string {
	return fmt.Sprintf("the process that drove it died %d times during the same step (%s, after event %d), for example because "+
		"it ran out of memory", d.Count, d.Step, d.Event)
}

// crashes has the crashes of all runs. It is usually empty.
type crashes struct {
	st     *store.Store
	logger *slog.Logger

	n  atomic.Int32 // the number of runs in of
	mu sync.Mutex
	of map[store.ID]map[string]crash // by step
}

// add adds or replaces the crash of a step, in memory.
func (d *crashes) add(id store.ID, x crash) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[store.ID]map[string]crash{}
	}
	if d.of[id] == nil {
		d.of[id] = map[string]crash{}
		d.n.Add(1)
	}
	d.of[id][x.Step] = x
}

// remove removes the crashes of steps from memory, after the commit that deleted their documents.
func (d *crashes) remove(id store.ID, steps ...string) {
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

// steps returns the steps of a run during which a process died: all of them, or only the one that is named.
func (d *crashes) steps(id store.ID, only string) (steps []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.of[id] {
		if only == "" || s == only {
			steps = append(steps, s)
		}
	}
	return steps
}

// worst returns the crash with the greatest count of a run. A count of maxCrashes or more parks the run.
func (d *crashes) worst(id store.ID) (worst crash) {
	if d.n.Load() == 0 {
		return crash{}
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

// park reports whether a run is parked.
func (d *crashes) park(id store.ID) bool { return d.worst(id).Count >= maxCrashes }

// defers reports whether a fact cannot be applied until its run is resumed.
func (d *crashes) defers(id store.ID, f interp.Fact) bool {
	switch f.(type) {
	case interp.Abort, interp.Redrive:
		return false
	}
	return d.park(id)
}

// openCrashes reads the stored crashes, and counts the notes that the last process left.
func (e *Engine) openCrashes() error {
	docs, err := e.st.Docs(crashDocs, "", "", 0)
	for _, doc := range docs {
		err = errors.Join(err, e.crashes.read(doc))
	}
	if err != nil || e.c.ReadOnly || e.c.FS != vfs.Default {
		return err
	}
	var left []note
	if e.notes, left, err = openNotes(e.c.FS.PathJoin(e.c.Dir, "driving")); err != nil {
		e.logger.Warn("steps in progress cannot be recorded: an execution that kills this process will not be parked", "problem", err)
	}
	b := e.st.NewBatch()
	for _, n := range left {
		e.countCrash(b, n)
	}
	return e.st.Commit(b)
}

// read adds a stored crash, unless its run was deleted: another run may have the same id.
func (d *crashes) read(doc store.Doc) error {
	var x crash
	if err := json.Unmarshal(doc.Value, &x); err != nil {
		return fmt.Errorf("the record %s/%s is damaged: %w", crashDocs, doc.Name, err)
	}
	id, err := d.st.Find(x.ARN)
	if errors.Is(err, store.ErrNoRun) || err == nil && crashName(id, x.Step) != doc.Name {
		return nil
	}
	d.add(id, x)
	return err
}

// countCrash counts a note as a crash, unless the history shows that the step was committed.
func (e *Engine) countCrash(b *store.Batch, n note) {
	x, err := e.describeCold(n.run)
	if err != nil || n.number > 0 && n.number != x.LastEventID {
		return
	}
	if n.number < 0 {
		n.step = itemStep(-n.number-1, n.step)
	}
	e.crashes.mu.Lock()
	d := e.crashes.of[n.run][n.step]
	e.crashes.mu.Unlock()
	d = crash{metaVersion, x.ARN, n.step, x.LastEventID, d.Count + 1, e.c.Now().UnixMilli()}
	e.crashes.add(n.run, d)
	v, _ := json.Marshal(d) // plain fields: it cannot fail
	b.Doc(crashDocs, crashName(n.run, n.step), v)
	if d.Count >= maxCrashes {
		e.logger.Error("execution parked", "execution", d.ARN, "reason", d.reason())
	}
}

func itemStep(index int64, step string) string { return fmt.Sprintf("item %d of %s", index, step) }

// survived deletes the crash of a step that is complete. It commits the deletion itself, for steps that have no commit of their own.
func (d *crashes) survived(id store.ID, step func() string) {
	if d.n.Load() == 0 {
		return
	}
	if err := d.forget(id, step()); err != nil {
		d.logger.Error("could not delete the crash records of a run", "run", uint64(id), "problem", err)
	}
}

// forget deletes the crashes of a run: all of them, or only that of the named step.
func (d *crashes) forget(id store.ID, only string) error {
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
		b.Doc(crashDocs, crashName(id, s), nil)
	}
}

// survive collects the crashes that are obsolete after a fact: that of its step, or all if the run was aborted or redriven. The
// step's commit deletes them.
func (d *crashes) survive(r *run, s *step, f interp.Fact) {
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

// noteNumber returns the id of the last event before a step, for its note; 0 if the run is not on disk.
func (s *step) noteNumber(r *run) int64 {
	if r.mem != nil || !r.stored {
		return 0
	}
	return s.after
}

// unpark deletes the crashes of a parked run, so that it can be driven again, and reports whether it was parked.
func (e *Engine) unpark(id store.ID) (was bool, err error) {
	if !e.crashes.park(id) {
		return false, nil
	}
	err = e.withSynced(id, func(*run) error {
		was = e.crashes.park(id)
		return e.crashes.forget(id, "")
	})
	return was && err == nil, err
}

// Parked returns the parked executions, sorted by ARN.
func (e *Engine) Parked() []Parked {
	e.crashes.mu.Lock()
	ids := make([]store.ID, 0, len(e.crashes.of))
	for id := range e.crashes.of {
		ids = append(ids, id)
	}
	e.crashes.mu.Unlock()
	all := []Parked{}
	for _, id := range ids {
		if d := e.crashes.worst(id); d.Count >= maxCrashes {
			all = append(all, Parked{d.ARN, fromMillis(d.Time), d.reason()})
		}
	}
	slices.SortFunc(all, func(a, b Parked) int { return cmp.Compare(a.ARN, b.ARN) })
	return all
}

// stepOf returns the run and the text of the step for a fact's note. The steps of a run that is not on disk count for the run that
// started it.
func (r *run) stepOf(f interp.Fact) (id store.ID, kind, of string) {
	if r.mem != nil || !r.stored {
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

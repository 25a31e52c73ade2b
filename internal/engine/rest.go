package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// A run rests if the engine was opened with Config.Paused or Config.ReadOnly, and the run existed then and was not resumed since. Open
// runs that rest are shown as interrupted. So are parked runs (parked.go), which only Resume with their ARN drives again.

// resting has the runs that rest. Ids increase, so the runs that existed at Open are those up to the greatest id then.
type resting struct {
	mu   sync.Mutex
	upTo store.ID          // the greatest id at Open; 0 if no run rests
	woke map[store.ID]bool // the runs that were resumed since
}

// holds reports whether a run rests.
func (r *resting) holds(id store.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return id <= r.upTo && !r.woke[id]
}

// take ends the rest of a run. It returns true for only one of several concurrent callers, which must resume the run.
func (r *resting) take(id store.ID) bool {
	if !r.holds(id) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.woke[id] {
		return false
	}
	if r.woke == nil {
		r.woke = map[store.ID]bool{}
	}
	r.woke[id] = true
	return true
}

// recover resumes all runs, or lets them rest if the engine is paused or read-only.
func (e *Engine) recover() error {
	if e.c.Paused || e.c.ReadOnly {
		e.resting.upTo = e.st.LastID()
		return nil
	}
	return e.resumeRuns(func(store.ID) bool { return true })
}

// Resume resumes interrupted executions, including parked ones, with their cleanups and the children of their distributed Maps. Without
// ARNs, it resumes all interrupted executions but the parked ones. Executions that are not interrupted are ignored.
func (e *Engine) Resume(_ context.Context, arns ...string) error {
	if !e.c.Paused && e.crashes.n.Load() == 0 {
		return nil // nothing is interrupted
	}
	wanted := map[store.ID]bool{}
	if len(arns) == 0 {
		return e.resumeRuns(func(id store.ID) bool {
			wanted[id] = wanted[id] || e.resting.take(id)
			return wanted[id]
		})
	}
	var all []store.ID
	arns = slices.Clip(arns) // the loop appends children, and must not change the caller's array
	for i := 0; i < len(arns); i++ {
		ids, err := e.withCleanup(arns[i])
		if errors.Is(err, ErrExpress) {
			continue // an Express execution is never interrupted
		}
		if err != nil {
			return err
		}
		all = append(all, ids...)
		children, err := e.mapChildren(arns[i])
		if err != nil {
			return err
		}
		arns = append(arns, children...)
	}
	for _, id := range all { // after everything above that can fail: a run that is taken must be resumed
		freed, err := e.unpark(id)
		if err != nil {
			return err
		}
		if e.resting.take(id) || freed {
			wanted[id] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return e.resumeRuns(func(id store.ID) bool { return wanted[id] })
}

// mapChildren returns the ARNs of the open executions that an execution's distributed Maps started.
func (e *Engine) mapChildren(arn string) (children []string, err error) {
	runs, _, err := e.mapRecords.of(arn, "", 0)
	for i := range runs {
		for f := (ListFilter{MapRunARN: runs[i].ARN, Status: stepfn.Running}); err == nil; {
			var page ListPage
			if page, err = e.List(f); err != nil {
				break
			}
			for i := range page.Executions {
				children = append(children, page.Executions[i].ARN)
			}
			if f.Token = page.Next; f.Token == "" {
				break
			}
		}
	}
	return children, err
}

// Interrupted returns the ARNs of the interrupted executions: open ones that rest since a paused Open, or are parked.
func (e *Engine) Interrupted() ([]string, error) {
	if !e.c.Paused && !e.c.ReadOnly && e.crashes.n.Load() == 0 {
		return []string{}, nil
	}
	var ids []store.ID
	err := e.st.Opens(func(id store.ID, _ []byte) {
		if e.resting.holds(id) || e.crashes.park(id) {
			ids = append(ids, id)
		}
	})
	arns := make([]string, 0, len(ids))
	for _, id := range ids {
		x, derr := e.describe(id)
		if derr == nil && !x.Closed() {
			arns = append(arns, x.ARN)
		}
		err = errors.Join(err, e.unlessDamaged(id, derr))
	}
	return arns, err
}

// PendingEffects returns the number of pending effects of an execution and of its cleanup: tasks that run, stops that are not confirmed,
// and an open cleanup execution. For a closed execution, 0 means that none of its work runs any more.
func (e *Engine) PendingEffects(arn string) (int, error) {
	ids, err := e.withCleanup(arn)
	if err != nil {
		return 0, err
	}
	n := 0
	err = e.st.Outbox(func(id store.ID, _ string, _ []byte) {
		for _, want := range ids {
			if id == want {
				n++
			}
		}
	})
	for _, id := range ids[1:] {
		x, derr := e.describe(id)
		if derr == nil && !x.Closed() {
			n++
		}
		err = errors.Join(err, derr)
	}
	return n, err
}

// withCleanup returns the run of an execution and, if it was started, the run of its cleanup.
func (e *Engine) withCleanup(arn string) ([]store.ID, error) {
	id, err := e.find(arn)
	if err != nil {
		return nil, err
	}
	ids := []store.ID{id}
	x, err := e.describe(id)
	if err != nil || x.Cleanup == "" {
		return ids, err
	}
	cleanup, err := e.find(stepfn.ExecutionOf(x.Cleanup, cleanupName(x.ARN, x.RedriveCount)))
	if errors.Is(err, ErrExecutionDoesNotExist) {
		return ids, nil
	}
	return append(ids, cleanup), err
}

// cleanupName returns the name of an execution's cleanup. It is the same after a restart, so that a repeated start has no effect.
func cleanupName(arn string, redrives int) string {
	sum := sha256.Sum256([]byte(arn + "#" + strconv.Itoa(redrives)))
	return fmt.Sprintf("cleanup-%x", sum[:12])
}

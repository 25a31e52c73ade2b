package engine

import (
	"sync/atomic"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// counters counts since the engine was opened.
type counters struct {
	started, succeeded, failed, timedOut, aborted atomic.Int64
	events, commits, tasks                        atomic.Int64
	open, running                                 atomic.Int64
}

// Metrics has the engine's counts: totals since Open, and current numbers.
type Metrics struct {
	// Totals since Open.
	Started, Succeeded, Failed, TimedOut, Aborted int64
	Events, Commits, Tasks                        int64
	// The current numbers of open runs that this engine drives, parked runs, tasks that a runner works on, timers, and runs in memory.
	OpenRuns, ParkedRuns, RunningTasks, Timers, HotRuns int64
}

// add counts the changes of a commit. The caller must not have set r.stored for this commit yet.
func (c *counters) add(r *run, s *step) {
	c.events.Add(int64(len(s.events)))
	if !r.stored && r.mem == nil || !s.reopened.IsZero() {
		c.open.Add(1)
	}
	if !s.closed {
		return
	}
	if r.mem == nil {
		c.open.Add(-1)
	}
	switch r.state.Head().Status {
	case stepfn.Succeeded:
		c.succeeded.Add(1)
	case stepfn.Failed:
		c.failed.Add(1)
	case stepfn.TimedOut:
		c.timedOut.Add(1)
	case stepfn.Aborted:
		c.aborted.Add(1)
	case stepfn.Running, stepfn.PendingRedrive: // not statuses of a closed run
	}
}

// Metrics returns the current counts.
func (e *Engine) Metrics() Metrics {
	c := &e.counters
	e.hot.mu.Lock()
	hot := int64(len(e.hot.byID))
	e.hot.mu.Unlock()
	return Metrics{
		Started: c.started.Load(), Succeeded: c.succeeded.Load(), Failed: c.failed.Load(),
		TimedOut: c.timedOut.Load(), Aborted: c.aborted.Load(),
		Events: c.events.Load(), Commits: c.commits.Load(), Tasks: c.tasks.Load(),
		OpenRuns: c.open.Load(), ParkedRuns: int64(len(e.Parked())), RunningTasks: c.running.Load(), Timers: int64(e.timers.len()), HotRuns: hot,
	}
}

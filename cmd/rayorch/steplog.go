package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/progress"
)

// logsOf lists the logs that are kept of an execution.
func (s *session) logsOf(ctx context.Context, arn string) ([]engine.LogInfo, error) {
	return s.client.Logs(ctx, arn)
}

// stepLog finds the log of a step's attempt. The history does not name tasks, so that the entries of one state (a Map's
// iterations) are told apart by their order, which is the same in both; ok is false until every one of them has a log.
func stepLog(steps []*progress.Step, logs []engine.LogInfo, st *progress.Step, attempt int) (taskID string, ok bool) {
	if st.Inside {
		return insideLog(steps, logs, st, attempt)
	}
	nth, entries := 0, 0
	for _, other := range steps {
		if other.State != st.State || other.Attempt < attempt {
			continue
		}
		if other == st {
			nth = entries
		}
		entries++
	}
	var mine []engine.LogInfo
	for _, l := range logs {
		if l.State == st.State && l.Attempt == attempt {
			mine = append(mine, l)
		}
	}
	slices.SortFunc(mine, func(a, b engine.LogInfo) int { return byFrame(a.Task, b.Task) })
	if len(mine) < entries || nth >= len(mine) {
		return "", false
	}
	return mine[nth].Task, true
}

// insideLog finds the log of a step whose work is done by states inside it: of the tasks that may have it, the last that
// has, for a reader that was interrupted has begun again.
func insideLog(steps []*progress.Step, logs []engine.LogInfo, st *progress.Step, attempt int) (taskID string, ok bool) {
	for _, at := range slices.Backward(st.Logs) {
		if at.Attempt != attempt {
			continue
		}
		if id, ok := logAt(steps, logs, st, at); ok {
			return id, true
		}
	}
	return "", false
}

// logAt finds the log of one task by when it began: a log belongs to the last task of its state that was scheduled before.
// Iterations of a Map may be scheduled in one moment; they are told apart by their order.
func logAt(steps []*progress.Step, logs []engine.LogInfo, st *progress.Step, at progress.LogAt) (string, bool) {
	var times []time.Time // of all tasks of the state, also other iterations'
	nth, same := 0, 0
	for _, other := range steps {
		for _, o := range other.Logs {
			if o.State != at.State {
				continue
			}
			times = append(times, o.At)
			if o.At.Equal(at.At) {
				if other == st {
					nth = same
				}
				same++
			}
		}
	}
	var mine []engine.LogInfo
	for _, l := range logs {
		if l.State == at.State && began(times, l.Started).Equal(at.At) {
			mine = append(mine, l)
		}
	}
	slices.SortFunc(mine, func(a, b engine.LogInfo) int { return byFrame(a.Task, b.Task) })
	if len(mine) < same {
		return "", false
	}
	return mine[nth].Task, true
}

// clockStep is by how much a log's beginning may seem to be before its task's: they are noted one after the other.
const clockStep = 100 * time.Millisecond

// began is the last of the times that is not after the other.
func began(times []time.Time, log time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) && !t.After(log.Add(clockStep)) {
			last = t
		}
	}
	return last
}

// byFrame orders task ids, FRAME-ENTRY-ATTEMPT, as their states were entered.
func byFrame(a, b string) int {
	var af, ae, bf, be uint64
	_, _ = fmt.Sscanf(a, "%d-%d", &af, &ae)
	_, _ = fmt.Sscanf(b, "%d-%d", &bf, &be)
	return cmp.Or(cmp.Compare(af, bf), cmp.Compare(ae, be))
}

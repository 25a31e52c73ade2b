package engine

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task"
)

// An abort ends a history immediately, as on AWS. The outcome of the stopped work is known only later, and Step Functions has no event
// for it. The engine keeps it separate from the history, in records that GetExecutionHistory never shows.

// The types of a CleanupEntry.
const (
	TaskStopped    = "TaskStopped"
	CleanupStarted = "CleanupStarted"
)

// CleanupEntry describes an action of the engine for an execution that has no event in the history.
type CleanupEntry struct {
	Time time.Time
	Type string
	// TaskStopped: the task whose work was stopped, because of an abort, a timeout or a sibling's failure, and the outcome.
	State, Resource, Outcome string
	Attempt                  int
	// CleanupStarted: the ARN of the execution of the cleanup machine.
	Execution string
}

// cleanupKey is the key of the entry among the records of a task, most of which are the runner's. It is stored.
const cleanupKey = "engine.aftermath"

// storedCleanup is the stored form of a CleanupEntry.
type storedCleanup struct {
	V         int    `json:"v"`
	Time      int64  `json:"time"` // in milliseconds since 1970
	Type      string `json:"type"`
	State     string `json:"state,omitempty"`
	Resource  string `json:"resource,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	Execution string `json:"execution,omitempty"`
}

// confirmStop removes a stop from the outbox and records the outcome of the work, in one batch: a stop that is repeated after a crash
// finds nothing to stop, and must not replace the record of the first stop.
func (e *Engine) confirmStop(live *liveTask, res task.Result) {
	b := e.st.NewBatch()
	b.RemoveEffect(live.key.run, effectStop+live.key.task)
	if res.Stopped != "" && live.kept {
		b.Record(live.key.run, live.key.task, cleanupKey, encodeCleanup(e.c.Now(), CleanupEntry{
			Type: TaskStopped, State: live.task.State, Resource: live.task.Resource, Attempt: live.task.Attempt, Outcome: res.Stopped,
		}))
	}
	if err := e.st.CommitLazily(b); err != nil {
		e.logger.Error("could not record that a task was stopped", "run", uint64(live.key.run), "task", live.key.task, "problem", err)
	}
}

// cleanupStarted removes the start of a cleanup from the outbox, and records the execution of the cleanup machine.
func (e *Engine) cleanupStarted(id store.ID, arn string) {
	b := e.st.NewBatch()
	b.RemoveEffect(id, effectCleanup)
	b.Record(id, arn, cleanupKey, encodeCleanup(e.c.Now(), CleanupEntry{Type: CleanupStarted, Execution: arn}))
	if err := e.st.CommitLazily(b); err != nil {
		e.logger.Error("could not record that a cleanup was started", "run", uint64(id), "problem", err)
	}
}

func encodeCleanup(now time.Time, a CleanupEntry) []byte {
	v, _ := json.Marshal(storedCleanup{ // plain fields: it cannot fail
		metaVersion, now.UnixMilli(), a.Type, a.State, a.Resource, a.Outcome, a.Attempt, a.Execution,
	})
	return v
}

// CleanupReport returns the stopped work and the started cleanups of an execution, oldest first.
func (e *Engine) CleanupReport(arn string) ([]CleanupEntry, error) {
	records, err := e.Records(arn)
	var out []CleanupEntry
	for _, of := range records {
		v, ok := of[cleanupKey]
		if !ok {
			continue
		}
		var a storedCleanup
		err = errors.Join(err, json.Unmarshal(v, &a))
		out = append(out, CleanupEntry{fromMillis(a.Time), a.Type, a.State, a.Resource, a.Outcome, a.Attempt, a.Execution})
	}
	slices.SortFunc(out, func(a, b CleanupEntry) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.State, b.State), cmp.Compare(a.Execution, b.Execution))
	})
	return out, err
}

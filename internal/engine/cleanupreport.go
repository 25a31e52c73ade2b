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

// An abort ends a history at once, as on AWS: what becomes of the work that it stopped comes later, and Step Functions has no
// event for it. The engine keeps it beside the history, with the records that GetExecutionHistory never shows.

// The types of a CleanupEntry.
const (
	TaskStopped    = "TaskStopped"
	CleanupStarted = "CleanupStarted"
)

// CleanupEntry is one thing that the engine did for an execution and that no event of the history tells.
type CleanupEntry struct {
	Time time.Time
	Type string
	// Of TaskStopped: whose work was stopped, because of an abort, a timeout or a sibling's failure, and what became of it.
	State, Resource, Outcome string
	Attempt                  int
	// Of CleanupStarted: the execution of the cleanup machine.
	Execution string
}

// cleanupKey is the record's key, beside those of the task's runner.
const cleanupKey = "engine.aftermath"

// storedCleanup is a CleanupEntry on disk.
type storedCleanup struct {
	V         int    `json:"v"`
	Time      int64  `json:"time"` // milliseconds
	Type      string `json:"type"`
	State     string `json:"state,omitempty"`
	Resource  string `json:"resource,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	Execution string `json:"execution,omitempty"`
}

// confirmStop removes a stop from the outbox and records what became of the work, in one batch: a stop that is repeated after a
// crash finds nothing to stop, and must not replace the record of the first one.
func (e *Engine) confirmStop(live *liveTask, res task.Result) {
	b := e.st.NewBatch()
	b.RemoveEffect(live.key.run, effectStop+live.key.task)
	if res.Stopped != "" && live.kept {
		b.Record(live.key.run, live.key.task, cleanupKey, encodeCleanup(e.c.Now(), CleanupEntry{
			Type: TaskStopped, State: live.task.State, Resource: live.task.Resource, Attempt: live.task.Attempt, Outcome: res.Stopped,
		}))
	}
	if err := e.st.CommitLazily(b); err != nil {
		e.logger.Error("could not settle a stop", "run", live.key.run, "task", live.key.task, "problem", err)
	}
}

// cleanupStarted removes the start of a cleanup from the outbox, and records the execution of the cleanup machine.
func (e *Engine) cleanupStarted(id store.ID, arn string) {
	b := e.st.NewBatch()
	b.RemoveEffect(id, effectCleanup)
	b.Record(id, arn, cleanupKey, encodeCleanup(e.c.Now(), CleanupEntry{Type: CleanupStarted, Execution: arn}))
	if err := e.st.CommitLazily(b); err != nil {
		e.logger.Error("could not settle a cleanup", "run", uint64(id), "problem", err)
	}
}

func encodeCleanup(now time.Time, a CleanupEntry) []byte {
	v, _ := json.Marshal(storedCleanup{ // plain fields: it cannot fail
		metaVersion, now.UnixMilli(), a.Type, a.State, a.Resource, a.Outcome, a.Attempt, a.Execution,
	})
	return v
}

// CleanupReport is what the engine did for an execution beside its history, oldest first.
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

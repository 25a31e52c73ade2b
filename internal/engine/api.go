package engine

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/rayorch/rayorch/internal/history"
	"github.com/rayorch/rayorch/internal/store"
)

var errNotYet = errors.New("not built yet")

// Engine owns a state directory and drives its executions.
type Engine struct{ st *store.Store }

// Open takes a state directory and goes on with every execution that is open in it.
func Open(ctx context.Context, c Config) (*Engine, error) { return nil, errNotYet }

// Close abandons running tasks (their work goes on and is found again at the next Open) and gives the directory back.
func (e *Engine) Close() error { return errNotYet }

// Store is the engine's store, for the documents of others.
func (e *Engine) Store() *store.Store { return e.st }

// Start starts an execution. It is on disk, and has run up to its first wait for anything outside, when Start returns.
// The same name with the same input returns the execution while it is open; else AlreadyExistsError.
func (e *Engine) Start(ctx context.Context, r StartRequest) (Execution, error) {
	return Execution{}, errNotYet
}

// StartSync runs an Express execution to its end, in memory.
func (e *Engine) StartSync(ctx context.Context, r StartRequest) (Execution, error) {
	return Execution{}, errNotYet
}

// Stop aborts an execution; of a closed one it returns when it ended.
func (e *Engine) Stop(ctx context.Context, arn, name, cause string) (time.Time, error) {
	return time.Time{}, errNotYet
}

// Redrive takes a closed execution up again from the states that did not succeed.
func (e *Engine) Redrive(ctx context.Context, arn string) (time.Time, error) {
	return time.Time{}, errNotYet
}

// Describe shows an execution with its payloads.
func (e *Engine) Describe(arn string) (Execution, error) { return Execution{}, errNotYet }

// Definition is the definition that an execution runs, and its hash.
func (e *Engine) Definition(arn string) ([]byte, error) { return nil, errNotYet }

// List shows a page of executions, newest first, without payloads.
func (e *Engine) List(f ListFilter) (ListPage, error) { return ListPage{}, errNotYet }

// History is a page of an execution's events; a page shorter than its limit is the last one.
func (e *Engine) History(arn string, q HistoryQuery) ([]history.Event, error) {
	return nil, errNotYet
}

// Watch waits until the execution has an event later than after or is closed, or ctx is done.
func (e *Engine) Watch(ctx context.Context, arn string, after int64) (WatchResult, error) {
	return WatchResult{}, errNotYet
}

// TaskSuccess ends the task of a token well; output is one JSON text.
func (e *Engine) TaskSuccess(ctx context.Context, token string, output []byte) error {
	return errNotYet
}

// TaskFailure ends the task of a token with an error.
func (e *Engine) TaskFailure(ctx context.Context, token, name, cause string) error {
	return errNotYet
}

// TaskHeartbeat says that the work for a token is alive.
func (e *Engine) TaskHeartbeat(ctx context.Context, token string) error { return errNotYet }

// GetActivityTask waits for a task of an activity until ctx is done or a minute has passed; its Token is empty then.
func (e *Engine) GetActivityTask(ctx context.Context, activityARN, worker string) (ActivityTask, error) {
	return ActivityTask{}, errNotYet
}

// Logs lists the logs that are kept of an execution's tasks, oldest first.
func (e *Engine) Logs(arn string) ([]LogInfo, error) { return nil, errNotYet }

// OpenLog reads a log: ErrNoLog when there is none (yet, unless Follow waits for it).
func (e *Engine) OpenLog(ctx context.Context, arn string, q LogQuery) (io.ReadCloser, error) {
	return nil, errNotYet
}

// Delete forgets a closed execution with its history and logs.
func (e *Engine) Delete(arn string) error { return errNotYet }

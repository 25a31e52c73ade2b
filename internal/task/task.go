// Package task defines the contract between the engine and the runners that do the work of Task states: a Ray job, a local process,
// a call of the Kubernetes API. The runners are the packages below this one (raytask, proctask, ekstask). The engine calls them; they
// know nothing about states or histories.
package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Request describes one attempt of a Task to the runner, and contains the functions by which the runner reports to the engine.
type Request struct {
	// ID identifies this attempt. It is unique (a state that is entered again gets another ID), and the same after a restart of the
	// engine.
	ID string
	// Execution is the ARN of the execution, State the name of the Task state. Attempt starts at 1 and is incremented by each Retry.
	Execution, State string
	Attempt          int
	// Labels are the labels of the execution.
	Labels map[string]string
	// Resource is the Task's Resource field. Input is the evaluated Parameters or Arguments, as compact JSON.
	Resource string
	Input    []byte
	// Token is the task token, for SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat.
	Token string
	// Deadline is when the engine ends the attempt with States.Timeout. It is zero if the attempt has no timeout.
	Deadline time.Time
	// Resumed means that a previous process may have started this attempt: the runner looks for existing work before it starts any.
	// Records contains the records that the previous process stored with Keep, by key.
	Resumed bool
	Records map[string][]byte
	// Keep stores a record of the attempt. The record is on disk when Keep returns. Histories do not contain records.
	Keep func(key string, record []byte) error
	// Submitted reports that the work was accepted. The history gets a TaskSubmitted event with output, which is JSON. The event is
	// on disk when Submitted returns. The engine ignores a second call.
	Submitted func(output []byte) error
	// Report sets a text that describes the progress of the work and replaces the previous one. If the attempt times out, the history
	// shows the last text as the cause. Report is nil if the caller does not need it.
	Report func(text string)
	// Pending reports that the work does not run yet: the reason that the service gives, and the time since when. An empty reason
	// means that the work runs. If the attempt times out and Report was not called, the history shows the reason as the cause.
	// Pending is nil if the caller does not need it.
	Pending func(reason string, since time.Time)
	// GiveUp fails the attempt before its work runs. When GiveUp returns nil, the failure is on disk and ctx has ended with ErrStop, so
	// that Run stops the work as it does for any other stop. The next attempt starts when the stop is confirmed. GiveUp is nil if the
	// caller does not support it.
	GiveUp func(name, cause string) error
	// Log receives the output of the work, which `rayorch logs` shows. The engine limits its size.
	Log Log
	// HoldLog keeps Log open after Run has returned, until release is called: some work continues to print. Run calls HoldLog before it
	// returns. HoldLog is nil if the caller does not support it.
	HoldLog func() (release func())
}

// Waits calls Pending if it is set.
func (r *Request) Waits(reason string, since time.Time) {
	if r.Pending != nil {
		r.Pending(reason, since)
	}
}

// SecretSource returns the value of an environment variable that contains a secret, or "" if the variable is not set. It may block
// until another process supplies the value. Until it returns, the runner does not read the output of the task, because it could not
// redact the secret.
type SecretSource func(ctx context.Context, req *Request, variable string) (string, error)

// Environment returns a SecretSource that calls getenv, a function such as os.Getenv.
func Environment(getenv func(string) string) SecretSource {
	return func(_ context.Context, _ *Request, variable string) (string, error) { return getenv(variable), nil }
}

// Log is the stored log of an attempt. Runners write complete lines.
type Log interface {
	// Write adds lines that do not come from the job's log, such as notes of the runner.
	io.Writer
	// Append adds lines, and stores the position that follows them in the job's log. Both are stored atomically: after a crash, the
	// log has both or neither. Append blocks while the disk is full, and fails when the engine closes.
	Append(lines, position []byte) error
	// Position returns the last position that Append stored, also if a previous process stored it. It is nil if there is none.
	Position() []byte
}

// Result is the outcome of an attempt. Error is empty if the attempt succeeded; Output is then its result, as JSON.
type Result struct {
	Output       []byte
	Error, Cause string
	// Stopped describes what happened to the work of an attempt whose context ended with ErrStop; the engine then ignores the other
	// fields. The cleanup report shows it to users. It is empty if there was nothing to stop.
	Stopped string
}

// Fail returns a failed result.
func Fail(name, cause string) Result { return Result{Error: name, Cause: cause} }

// TimedOut returns the cause of failure of an attempt that ran longer than its limit.
func TimedOut(what string, after, limit time.Duration) string {
	return fmt.Sprintf("%s timed out after %s (limit %s)", what, Seconds(after), Seconds(limit))
}

// Seconds formats a duration in seconds, rounded to tenths: "4 s", "0.5 s".
func Seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(time.Second/10).Seconds(), 'f', -1, 64) + " s"
}

// Runner does the work of Tasks. The engine registers a Runner for each Resource.
type Runner interface {
	// Run does one attempt and returns when the attempt has ended. If ctx ends, context.Cause(ctx) is one of:
	//
	//   - ErrAbandon: the engine closes. The work continues and Run returns immediately. The engine ignores the result.
	//   - ErrStop: a timeout, an abort, or the failure of a sibling branch. Run stops the work, waits until the stop is confirmed, and
	//     returns. The engine uses only Stopped of the result. If the engine closes during the stop, the context of UntilAbandoned
	//     ends: Run returns immediately and leaves Stopped empty.
	//
	// If the engine exits before a stop is confirmed, the next engine repeats the stop: it calls Run with Resumed set and a ctx that
	// has already ended with ErrStop.
	//
	// Run reports all failures in the Result. It does not panic, whatever the input.
	Run(ctx context.Context, req *Request) Result
}

// Causes of the end of an attempt's context; see Runner.
var (
	ErrAbandon = errors.New("the engine is closing")
	ErrStop    = errors.New("the task is being stopped")
)

// engineKey is the key of the engine's context in the contexts of attempts.
type engineKey struct{}

// WithEngine returns a copy of the engine's context in which UntilAbandoned finds the engine's context. The engine derives the
// contexts of attempts from it.
func WithEngine(ctx context.Context) context.Context { return context.WithValue(ctx, engineKey{}, ctx) }

// UntilAbandoned returns a context for work that must continue after ErrStop has ended the attempt's context, such as the stop itself.
// The context ends only with ErrAbandon. The caller must call the returned function to release it.
func UntilAbandoned(ctx context.Context) (context.Context, context.CancelFunc) {
	engine, ok := ctx.Value(engineKey{}).(context.Context)
	if !ok {
		engine = ctx
	}
	on, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(engine, func() {
		if cause := context.Cause(engine); errors.Is(cause, ErrAbandon) {
			cancel(cause)
		}
	})
	return on, func() { unhook(); cancel(nil) }
}

// Decode decodes the arguments of one of rayorch's own tasks into a struct. An unknown field is an error, so that misspelled fields are
// not ignored.
func Decode(input []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(input))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("must be a single JSON object")
	}
	return nil
}

// Package task is the contract between the engine and what acts for a Task state outside of it: a Ray job, a local
// process, a call of a Kubernetes API. Runners live in packages below it (raytask, proctask, ...); the engine calls them;
// the runners know nothing of states or histories.
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

// Request is one attempt of a Task: everything that the runner may know of it.
type Request struct {
	// ID is unique to this attempt of this entry of the state, and the same again after a restart of the engine.
	ID string
	// Execution is the execution's ARN, State the Task state's name, Attempt counts from 1 (Retry's attempts).
	Execution, State string
	Attempt          int
	// Labels are those of the execution.
	Labels map[string]string
	// Resource is the Task's Resource as written, Input the evaluated Parameters or Arguments: compact JSON.
	Resource string
	Input    []byte
	// Token is the task's token: SendTaskSuccess and its siblings take it.
	Token string
	// Deadline is when the engine will end the attempt with States.Timeout; zero when never.
	Deadline time.Time
	// Resumed says that a former process may have started this very attempt: the runner looks for what is there
	// before it acts. Records holds what that process kept by Keep, by key.
	Resumed bool
	Records map[string][]byte
	// Keep puts a record of the attempt on disk before it returns. No history shows it.
	Keep func(key string, record []byte) error
	// Submitted tells the engine that the work was accepted (TaskSubmitted in the history) with this JSON as output.
	// It is on disk when Submitted returns. A second call is ignored.
	Submitted func(output []byte) error
	// Report says how the work stands, for people, each time in place of what was said before: when the attempt times out,
	// it is the cause that the history shows. nil where nobody listens.
	Report func(text string)
	// Pending says that the work does not run yet: why, as the service that runs it says, and since when. An empty reason says
	// that it runs. Without a report, the reason is the cause that the history shows when the attempt times out. nil where nobody
	// listens.
	Pending func(reason string, since time.Time)
	// GiveUp ends the attempt with a failure before its work runs. The failure is on disk when GiveUp returns nil, and ctx has
	// ended with ErrStop: Run then stops the work as after any other stop. The next attempt starts when that is confirmed. nil
	// where nobody listens.
	GiveUp func(name, cause string) error
	// Log takes what the work prints, for `rayorch logs`. It is bounded by the engine.
	Log Log
	// HoldLog keeps Log open when Run has returned, until release is called: for work that goes on printing. It is called
	// before Run returns; nil where an attempt's log cannot be held.
	HoldLog func() (release func())
}

// Waits calls Pending if it is set.
func (r *Request) Waits(reason string, since time.Time) {
	if r.Pending != nil {
		r.Pending(reason, since)
	}
}

// SecretSource gives the value of an environment variable that holds a secret; empty where it is not set. It may wait until
// somebody supplies the value: before that, nothing of the task's output is read, as it could not be redacted.
type SecretSource func(ctx context.Context, req *Request, variable string) (string, error)

// Environment is the source that a function such as os.Getenv is.
func Environment(getenv func(string) string) SecretSource {
	return func(_ context.Context, _ *Request, variable string) (string, error) { return getenv(variable), nil }
}

// Log is the kept log of an attempt. It takes whole lines.
type Log interface {
	// Write adds lines that come from no source, such as notes of the runner.
	io.Writer
	// Append adds lines and keeps the position in their source that follows them. After a crash both are there, or neither.
	// It waits while the disk is full and fails when the engine closes.
	Append(lines, position []byte) error
	// Position is the position that was kept with the last lines, also by a former process; nil when there is none.
	Position() []byte
}

// Result is how an attempt ended: Error is empty when it succeeded, and Output is then its JSON.
type Result struct {
	Output       []byte
	Error, Cause string
	// Stopped says, of an attempt whose context ended with ErrStop, what became of its work: the rest is not used then. It is
	// for people, who see it beside the history. Empty where there was nothing to stop.
	Stopped string
}

// Fail makes a failed result.
func Fail(name, cause string) Result { return Result{Error: name, Cause: cause} }

// TimedOut is the cause of an attempt that ran longer than its limit.
func TimedOut(what string, after, limit time.Duration) string {
	return fmt.Sprintf("%s timed out after %s (limit %s)", what, Seconds(after), Seconds(limit))
}

// Seconds is a duration in seconds, to a tenth: "4 s".
func Seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(time.Second/10).Seconds(), 'f', -1, 64) + " s"
}

// Runner acts for the Tasks of the resources that it is registered for.
type Runner interface {
	// Run does one attempt and returns when it has ended. When ctx ends, context.Cause(ctx) says why: with ErrAbandon
	// (the engine closes) the work goes on and Run returns at once, its result unused; with ErrStop (timeout, abort, a
	// sibling's failure) Run stops the work, confirms it, and then returns, its result unused. When the engine closes
	// during that stop, the context of UntilAbandoned ends: Run returns immediately and leaves Stopped empty.
	// A stop that was not confirmed when the engine ended is asked for again by the next one: Run is then called with
	// Resumed set and a ctx that has ended with ErrStop already.
	// An attempt's failure is a Result; Run never panics on input.
	Run(ctx context.Context, req *Request) Result
}

// Why a running attempt's context ends.
var (
	ErrAbandon = errors.New("the engine is closing")
	ErrStop    = errors.New("the task is to be stopped")
)

type engineKey struct{}

// WithEngine lets UntilAbandoned find the engine's context, which ends with ErrAbandon, in the contexts of its attempts.
func WithEngine(ctx context.Context) context.Context { return context.WithValue(ctx, engineKey{}, ctx) }

// UntilAbandoned returns a context for work that continues after ErrStop has ended an attempt's context. It ends only with
// ErrAbandon.
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

// Decode reads the arguments of a task of ours into a struct. A field that it does not have is an error, so that a misspelt one is not
// ignored.
func Decode(input []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(input))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("one JSON object is expected")
	}
	return nil
}

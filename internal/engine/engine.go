// Package engine drives executions: it stores the decisions of package interp, starts and stops the runners of tasks, arms timers, and
// resumes executions after a restart. It knows states only through interp, and Ray only through task.Runner. The API and the commands
// use it.
//
// The order is always the same: a fact changes a run, the consequences are committed and synced, and only then the engine acts on them
// or lets callers see them. Effects outside the store, such as starting a task, are in the outbox from the commit that makes them
// necessary until they are performed; an engine performs those that its predecessor left.
//
// A run is the engine's form of an execution. An open run is interrupted if this engine does not drive it: either because Config.Paused
// or Config.ReadOnly is set and the run has not been resumed (the code calls it resting), or because it is parked.
//
// The files by subject:
//
//   - engine.go: configuration, types and errors of the API; open.go: opening, closing, background work
//   - run.go: runs in memory, and applying facts to them; commit.go: what a commit contains, the outbox, acting on a decision
//   - start.go, express.go, redrive.go, abort.go, rest.go: starting, redriving, stopping and resuming executions
//   - parked.go, notes.go: executions that crash the process
//   - tasks.go, pending.go, activity.go, tokens.go, nested.go: tasks and their runners, activities, callbacks, nested executions
//   - timers.go, clock.go: deadlines on a clock that setting the wall clock does not affect
//   - distmap.go and distmap_*.go: distributed Maps; distmap.go begins with an overview
//   - cleanup.go, cleanupreport.go: cleanup machines, and the report on stopped work
//   - logs.go, logs_position.go, logs_read.go: the logs of tasks
//   - describe.go, list.go, history.go, watch.go, metrics.go: reading
//   - record.go, machines.go: stored records and definitions; retain.go, collect.go: deleting them
//   - check.go, salvage.go: checking and repairing a state directory
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// Config is what Open needs; only Dir has no default.
type Config struct {
	// Dir is the state directory, which Open creates if it is missing. One engine owns it at a time.
	Dir string
	// FS is the file system of Dir. Defaults to the operating system's; tests replace it.
	FS vfs.FS
	// Now is the wall clock. Defaults to time.Now.
	Now func() time.Time
	// Uptime is the time since the machine booted, or since any other fixed moment: unlike Now, it is not affected by setting the clock.
	// Defaults to the time since Open.
	Uptime func() time.Duration
	// Boot identifies the boot that Uptime counts from, so that deadlines stay correct across a restart of the process even if the wall
	// clock was set. Defaults to none: after a restart, deadlines follow the wall clock.
	Boot string
	// Runners run Tasks, by a prefix of their Resource such as "arn:aws:states:::ray:". The longest matching prefix is used. Activities
	// and states:startExecution need no runner. Defaults to none.
	Runners map[string]task.Runner
	// Machines returns the Machines that resolve ARNs for states:startExecution and for cleanups. Open calls it once, with the store that
	// it opened. Defaults to none: such tasks fail.
	Machines func(*store.Store) Machines
	// Prepare is called before an execution is created, and may add labels to the request. Its error becomes a StartError. It is not
	// called for the children of a distributed Map, which get their parent's labels. Defaults to none.
	Prepare func(ctx context.Context, arn string, r *StartRequest) error
	// Objects is the object store that distributed Maps read items from and write results to. Defaults to none: such Maps fail.
	Objects Objects
	// Region and Account are used in ARNs. They default to us-east-1 and 123456789012.
	Region, Account string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Retention is how long a closed execution is kept. Defaults to 90 days, as on AWS; a negative value keeps executions forever.
	Retention time.Duration
	// Paused makes Open resume no execution: those that it finds are interrupted until Resume. Defaults to false: Open resumes all.
	Paused bool
	// ReadOnly opens Dir without writing to it, even if it is not writable: all changes fail, and all open executions are interrupted. A
	// directory that does not exist is treated as an empty one.
	ReadOnly bool
	// Reserve is the free disk space, in bytes, below which no execution starts. Defaults to 64 MiB.
	Reserve uint64
	// HotRuns is the maximum number of idle executions in memory. Defaults to 1,024.
	HotRuns int
	// LogBytes is the maximum size of the stored log of one attempt of a task, in bytes. Defaults to 4 MiB.
	LogBytes int64
	// StopGrace is how long a runner may take to confirm that it stopped its work before the engine logs a warning.
	// Defaults to one minute.
	StopGrace time.Duration
}

// Machines resolves the ARN of a state machine, version or alias to a StartRequest without Name and Input. The error is an
// UnknownMachineError if there is none.
type Machines interface {
	Resolve(arn string) (StartRequest, error)
}

// StartRequest has the parameters of an execution. The engine stores all of it with the execution, so that a later change of the state
// machine does not affect the execution.
type StartRequest struct {
	// MachineARN is the state machine's ARN, without version or alias.
	MachineARN, MachineName string
	// Name is the execution's. Defaults to a new UUID.
	Name string
	// Definition is the text of the definition, which must be valid.
	Definition []byte
	// VersionARN and AliasARN are set if the caller started a version or an alias; RevisionID is that of the definition.
	VersionARN, AliasARN, RevisionID string
	RoleARN                          string
	// Input is one JSON text. Defaults to {}.
	Input []byte
	// Type is Standard or Express. Defaults to Standard.
	Type string
	// Cleanup is the ARN of a state machine that is started when the execution ends ABORTED or TIMED_OUT. Defaults to none.
	Cleanup string
	// Labels are stored and returned. The engine reads only task.OriginLabel, which nested executions inherit.
	Labels map[string]string
	// TraceHeader is stored and returned.
	TraceHeader string
}

// Execution is the result of Describe. Times have a resolution of one millisecond; Stopped is zero while the execution runs.
type Execution struct {
	ARN, Name                        string
	MachineARN, MachineName          string
	VersionARN, AliasARN, RevisionID string
	RoleARN, Type, TraceHeader       string
	MapRunARN                        string
	Cleanup                          string
	Labels                           map[string]string
	Status                           stepfn.Status
	Started, Stopped                 time.Time
	Input, Output                    []byte // Output is set only if the execution succeeded
	Error, Cause                     string
	RedriveCount                     int
	Redriven                         time.Time
	RedriveStatus, RedriveReason     string // REDRIVABLE, NOT_REDRIVABLE, REDRIVABLE_BY_MAP_RUN
	LastEventID                      int64
	ItemCount                        int64 // the number of items of a distributed Map's child execution
	DefinitionHash                   string
}

// Closed reports whether the execution has ended.
func (x *Execution) Closed() bool {
	return x.Status != stepfn.Running && x.Status != stepfn.PendingRedrive
}

// The errors that callers distinguish, besides the error types below.
var (
	ErrExecutionDoesNotExist = errors.New("the execution does not exist")
	ErrTaskDoesNotExist      = errors.New("the task does not exist")
	ErrTaskTimedOut          = errors.New("the task has timed out or its execution has ended")
	ErrInvalidToken          = errors.New("the task token is invalid")
	ErrInvalidPage           = errors.New("the page token is invalid")
	ErrExpress               = errors.New("the operation is not supported by this type of state machine")
	ErrNoLog                 = errors.New("no such log")
	ErrClosing               = errors.New("the engine is closing")
	ErrMapRunDoesNotExist    = errors.New("the map run does not exist")
)

// AlreadyExistsError means that an execution with this name exists and has another input, or has already ended.
type AlreadyExistsError struct{ ARN string }

func (e *AlreadyExistsError) Error() string {
	return fmt.Sprintf("execution already exists: %s", e.ARN)
}

// StartError wraps an error of Config.Prepare, because of which an execution did not start.
type StartError struct{ Err error }

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// LateActivityError is ErrTaskTimedOut for the token of an activity worker. errors.Is reports it as ErrTaskTimedOut.
type LateActivityError struct{ Activity string }

func (e *LateActivityError) Error() string { return ErrTaskTimedOut.Error() + ": " + e.Activity }

// Is makes errors.Is(err, ErrTaskTimedOut) true.
func (e *LateActivityError) Is(target error) bool { return target == ErrTaskTimedOut }

// NotRedrivableError means that an execution cannot be redriven. Reason is AWS's text.
type NotRedrivableError struct{ ARN, Reason string }

func (e *NotRedrivableError) Error() string { return e.Reason }

// UnknownMachineError means that there is no state machine with this ARN.
type UnknownMachineError struct{ ARN string }

func (e *UnknownMachineError) Error() string {
	return fmt.Sprintf("state machine does not exist: %s", e.ARN)
}

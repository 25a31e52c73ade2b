// Package engine drives executions: it stores what interp decides, starts and stops the runners of tasks, arms timers, and
// resumes everything after a restart. It knows states only through interp and Ray only through task.Runner. The API,
// the callers of catalog, and the commands use it.
//
// The order is always the same: one fact changes one run, the consequences are committed and synced, and only then the
// engine acts on them or lets anybody see them.
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
	// FS holds Dir. Defaults to the operating system's; tests stand in for it.
	FS vfs.FS
	// Now is the wall clock. Defaults to time.Now.
	Now func() time.Time
	// Uptime is the time since the machine's boot, or since any moment that does not change; nobody sets it. Defaults to the time
	// since Open.
	Uptime func() time.Duration
	// Boot names the boot that Uptime counts from, so that deadlines stay right over a restart even if the wall clock was set.
	// Defaults to none: at a restart the wall clock decides.
	Boot string
	// Runners act for Tasks, by the prefix of their Resource, such as "arn:aws:states:::ray:"; the longest prefix
	// that matches is used. Activities, callbacks and states:startExecution need none. Defaults to none.
	Runners map[string]task.Runner
	// Machines finds the state machines that states:startExecution names, and cleanup machines. Open calls it once,
	// with the store that it opened. Defaults to none: such tasks fail.
	Machines func(*store.Store) Machines
	// Prepare is called for each execution that is about to be created, and may add labels to it. Its error becomes a StartError. The
	// children of a distributed Map have their parent's labels instead. Defaults to nothing.
	Prepare func(ctx context.Context, arn string, r *StartRequest) error
	// Objects are where distributed Maps read items from and write results to. Defaults to none: such Maps fail.
	Objects Objects
	// Region and Account stand in ARNs. Default to us-east-1 and 123456789012.
	Region, Account string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Retention is how long a closed execution is kept. Defaults to 90 days, as AWS's; negative keeps it forever.
	Retention time.Duration
	// Paused lets every execution that Open finds rest until Resume names it. Defaults to false: Open resumes all.
	Paused bool
	// ReadOnly opens Dir without writing to it, even if it cannot be written: every change fails, and every execution
	// rests. A directory that does not exist counts as an empty one.
	ReadOnly bool
	// Reserve is the free space on the disk, in bytes, below which no execution starts. Defaults to 64 MiB.
	Reserve uint64
	// HotRuns is how many idle executions are kept in memory. Defaults to 1,024.
	HotRuns int
	// LogBytes bounds the stored log of one attempt of a task, in bytes. Defaults to 4 MiB.
	LogBytes int64
	// StopGrace is how long a runner may take to confirm that it stopped its work before the engine logs a warning.
	// Defaults to one minute.
	StopGrace time.Duration
}

// Machines finds a state machine, version or alias by its ARN, ready to be started: everything of the request but Name
// and Input. Its error is UnknownMachineError if there is none.
type Machines interface {
	Resolve(arn string) (StartRequest, error)
}

// StartRequest starts an execution of a definition. The engine stores all of it with the execution: a later change of
// the state machine does not affect the execution.
type StartRequest struct {
	// MachineARN is the state machine's ARN, without version or alias.
	MachineARN, MachineName string
	// Name is the execution's. Defaults to a new UUID.
	Name string
	// Definition is the checked text of the state machine.
	Definition []byte
	// VersionARN and AliasARN are set if the start named one; RevisionID is the machine's.
	VersionARN, AliasARN, RevisionID string
	RoleARN                          string
	// Input is one JSON text. Defaults to {}.
	Input []byte
	// Type is Standard or Express. Defaults to Standard.
	Type string
	// Cleanup is the ARN of a machine that is started when the execution ends ABORTED or TIMED_OUT. Defaults to none.
	Cleanup string
	// Labels are kept with the execution and returned. The engine reads only task.OriginLabel, which nested executions inherit.
	Labels map[string]string
	// TraceHeader is kept and returned.
	TraceHeader string
}

// Execution is what Describe shows. Times are to the millisecond; Stopped is zero while it runs.
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
	Input, Output                    []byte // Output only when it succeeded
	Error, Cause                     string
	RedriveCount                     int
	Redriven                         time.Time
	RedriveStatus, RedriveReason     string // REDRIVABLE, NOT_REDRIVABLE, REDRIVABLE_BY_MAP_RUN
	LastEventID                      int64
	ItemCount                        int64 // of a distributed Map's child execution with a batch
	DefinitionHash                   string
}

// Closed reports whether the execution has ended.
func (x *Execution) Closed() bool {
	return x.Status != stepfn.Running && x.Status != stepfn.PendingRedrive
}

// What callers branch on. AlreadyExistsError, NotRedrivableError and UnknownMachineError carry more.
var (
	ErrExecutionDoesNotExist = errors.New("the execution does not exist")
	ErrTaskDoesNotExist      = errors.New("the task does not exist")
	ErrTaskTimedOut          = errors.New("the task has timed out or its execution has ended")
	ErrInvalidToken          = errors.New("the task token is invalid")
	ErrInvalidPage           = errors.New("the page token is invalid")
	ErrExpress               = errors.New("the operation is not supported by this type of state machine")
	ErrNoLog                 = errors.New("there is no such log")
	ErrClosing               = errors.New("the engine is closing")
	ErrMapRunDoesNotExist    = errors.New("the map run does not exist")
)

// AlreadyExistsError means that an execution of this name exists, and has another input or has already ended.
type AlreadyExistsError struct{ ARN string }

func (e *AlreadyExistsError) Error() string {
	return fmt.Sprintf("execution already exists: %s", e.ARN)
}

// StartError says why Config.Prepare did not let an execution start.
type StartError struct{ Err error }

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// LateActivityError is ErrTaskTimedOut for a worker's token.
type LateActivityError struct{ Activity string }

func (e *LateActivityError) Error() string { return ErrTaskTimedOut.Error() + ": " + e.Activity }

// Is makes it the sentinel, too.
func (e *LateActivityError) Is(target error) bool { return target == ErrTaskTimedOut }

// NotRedrivableError says why an execution cannot be redriven, in AWS's words.
type NotRedrivableError struct{ ARN, Reason string }

func (e *NotRedrivableError) Error() string { return e.Reason }

// UnknownMachineError means that there is no state machine with this ARN.
type UnknownMachineError struct{ ARN string }

func (e *UnknownMachineError) Error() string {
	return fmt.Sprintf("state machine does not exist: %s", e.ARN)
}

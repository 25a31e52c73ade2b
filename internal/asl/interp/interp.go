// Package interp is the state machine: given an execution's state, one fact and the time, it decides what happens next.
// It does no I/O, reads no clock and starts no goroutine; the same run, fact and time give the same decision. The
// engine calls it, keeps what it decides, and then acts.
//
// An execution's state is a Run: a head and a set of frames, one frame for each line of control (the execution itself,
// each Parallel branch, each Map iteration). A Run is a fold of the history; it is kept beside the history, so that a
// restart costs one read and not a replay, and only frames that changed are written again.
package interp

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl/history"
)

// Fact is one thing that happened: what Apply decides upon. Exactly one of the types below.
type Fact interface{ fact() }

type (
	// Start begins a new run.
	Start struct{}
	// Continue goes on after a Decision with More.
	Continue struct{}
	// Wake says that time has passed: every timer that is due at now fires. Reports are what was said last of the work
	// of tasks, by Task.ID: the cause of a timeout.
	Wake struct{ Reports map[string]string }
	// TaskStarted says that a worker took the task of an activity (ActivityStarted); tasks of other resources start
	// when they are scheduled.
	TaskStarted struct{ Task, Worker string }
	// TaskSubmitted says that the work of a task was accepted; Output is what TaskSubmitted shows.
	TaskSubmitted struct {
		Task   string
		Output []byte
	}
	// TaskEnded says that a task ended, well (Error is empty) or not.
	TaskEnded struct {
		Task         string
		Output       []byte
		Error, Cause string
		// Stop reports that the task failed before its work ended, so that the work must be stopped.
		Stop bool
	}
	// TaskHeartbeat says that a task is alive.
	TaskHeartbeat struct{ Task string }
	// Abort ends the run as StopExecution does.
	Abort struct{ Error, Cause string }
	// Redrive takes up a run that failed, timed out or was aborted, from the states that did not succeed.
	Redrive struct{ ClientToken string }
	// MapRunEnded says that a distributed Map's run ended: Output is the array of results, or what the result writer
	// gives; Error is empty when it succeeded.
	MapRunEnded struct {
		MapRun       string // MapRun.ID
		Output       []byte
		Error, Cause string
	}
)

func (Start) fact()         {}
func (Continue) fact()      {}
func (Wake) fact()          {}
func (TaskStarted) fact()   {}
func (TaskSubmitted) fact() {}
func (TaskEnded) fact()     {}
func (TaskHeartbeat) fact() {}
func (Abort) fact()         {}
func (Redrive) fact()       {}
func (MapRunEnded) fact()   {}

// Decision is what follows from a fact. The engine puts Events, the head and the Dirty frames on disk in one commit,
// removes the Gone ones, and only then acts on Tasks and Stops.
type Decision struct {
	Events []history.Event
	Dirty  []FrameID
	Gone   []FrameID
	Tasks  []Task   // to be started
	Stops  []string // ids of tasks to be stopped: nobody waits for their results
	// MapRuns are distributed Maps to be started; StopMapRuns are ids of those whose children are to be aborted.
	MapRuns     []MapRun
	StopMapRuns []string
	// Wake is the run's earliest deadline after this decision (Wait, timeouts, heartbeats, Retry's intervals), by the steady
	// clock: the engine applies Wake then, and whenever Moment.Ahead changes. Zero when the run waits for no timer.
	Wake time.Time
	// More says that the run could go on at once but that this decision is long enough: apply Continue after the
	// commit. It bounds memory and keeps endless loops stoppable.
	More bool
	// Closed says that this decision ended the run: its head holds status, output, error and cause.
	Closed bool
}

// FrameID names a frame within its run; the execution's own is 0. Ids are never used twice in a run.
type FrameID uint64

// Moment is the time of a fact. Wait's Seconds, timeouts, heartbeats and Retry's intervals are counted by a steady clock, which
// nobody sets; so is Decision.Wake. Wait's Timestamp is a time of the wall clock.
type Moment struct {
	Now    time.Time     // what the history shows; it never goes back
	Steady time.Time     // it never goes back either
	Ahead  time.Duration // how far the wall clock is ahead of the steady one
}

// Task is a task to be started: an entry of a Task state, one attempt of it.
type Task struct {
	// ID is unique in the run, and to this attempt: frame, entry and attempt make it.
	ID        string
	Frame     FrameID
	State     string
	Attempt   int   // from 1
	Event     int64 // the last event of its frame
	Resource  string
	Input     []byte    // evaluated Parameters or Arguments
	Timeout   time.Time // when the run will end it with States.Timeout, by the steady clock; zero when never
	Heartbeat time.Duration
	// Token is what $$.Task.Token shows; ParseToken finds run and task in it.
	Token string
	// Credentials is the evaluated Credentials field, empty without one.
	Credentials []byte
	// Submitted says, for tasks from Running, that TaskSubmitted was applied already.
	Submitted bool
}

// StoredFrame is a frame as AppendFrame wrote it.
type StoredFrame struct {
	ID   FrameID
	Data []byte
}

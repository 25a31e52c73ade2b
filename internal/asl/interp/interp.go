// Package interp is the interpreter of the States Language: given the state of an execution, one fact and the time, it
// decides what happens next. It is pure: it does no I/O, reads no clock and starts no goroutine, and the same run, fact
// and time give the same decision. The engine calls it, stores what it decides, and then acts.
//
// # Terms
//
//   - A run is the state of one execution: a head (status, output, deadline, counters) and a set of frames.
//   - A line of control, or line, executes one state at a time: the execution itself, a branch of a Parallel, or an
//     iteration of an inline Map.
//   - A frame is a unit in which the run is stored. Each line has one. Other frames store what the lines of a Parallel or
//     Map share: the group (their counters), the items of a Map, and the map run of a distributed Map. See frame.
//   - A fact is something that happened outside the interpreter: the execution starts, a task ends, time passes.
//   - A decision is what follows from a fact: history events, changed frames, and tasks to start and to stop.
//   - A moment is the time of a fact, on the wall clock and on a steady clock.
//
// A run could be computed from the history, but is stored next to it: a restart reads one record per frame instead of
// replaying all events, and a decision writes only the frames that it changed.
//
// # Files
//
//   - run.go: Apply, the queue of lines that can advance, and how events and decisions are built
//   - line.go: how a line enters and leaves a state; Pass and Succeed
//   - task.go, wait.go, choice.go, fail.go: these states; fail.go also has Retry and Catch
//   - group.go: Parallel and inline Map; maprun.go: distributed Map
//   - timer.go: deadlines, and how a run closes; redrive.go: how it is redriven
//   - eval.go, scalar.go, variables.go, data.go: input and output processing, the context object, variables, randomness
//   - frame.go, codec.go, wire.go: the frames and their stored form
//   - teststate.go, teststate_map.go: the TestState API, which executes a single state
package interp

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl/history"
)

// Fact is something that happened: the input of Apply. It is exactly one of the types below.
type Fact interface{ fact() }

type (
	// Start begins a new run.
	Start struct{}
	// Continue resumes a run after a decision with More.
	Continue struct{}
	// Wake means that time has passed: every timer that is due fires. Reports has the latest status report on the work
	// of tasks, by Task.ID; it becomes the cause of a timeout.
	Wake struct{ Reports map[string]string }
	// TaskStarted means that a worker took the task of an activity (ActivityStarted). Tasks of other resources start
	// when they are scheduled.
	TaskStarted struct{ Task, Worker string }
	// TaskSubmitted means that the service accepted the work of a task; Output is the output of the event
	// TaskSubmitted.
	TaskSubmitted struct {
		Task   string
		Output []byte
	}
	// TaskEnded means that a task succeeded (Error is empty) or failed.
	TaskEnded struct {
		Task         string
		Output       []byte
		Error, Cause string
		// Stop means that the task failed before its work ended, so that the work must be stopped.
		Stop bool
	}
	// TaskHeartbeat means that a task is alive.
	TaskHeartbeat struct{ Task string }
	// Abort ends the run as StopExecution does.
	Abort struct{ Error, Cause string }
	// Redrive restarts a run that failed, timed out or was aborted, from the states that did not succeed.
	Redrive struct{ ClientToken string }
	// MapRunEnded means that the map run of a distributed Map ended. Output is the array of results, or the output of
	// the result writer. Error is empty if the map run succeeded.
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

// Decision is what follows from a fact. The engine commits Events, the head and the Dirty frames together, and removes
// the Gone frames in the same commit. Only then does it act on the other fields.
type Decision struct {
	Events []history.Event
	Dirty  []FrameID
	Gone   []FrameID
	Tasks  []Task   // to start
	Stops  []string // ids of tasks to stop: nothing waits for their results any more
	// MapRuns are distributed Maps to start. StopMapRuns are the ids of map runs whose children are to be aborted.
	MapRuns     []MapRun
	StopMapRuns []string
	// Wake is the earliest deadline of the run after this decision (Wait, timeouts, heartbeats, retry intervals), by
	// the steady clock. The engine applies Wake at that time, and whenever Moment.Ahead changes. It is zero if the run
	// waits for no timer.
	Wake time.Time
	// More means that the run could advance further, but the decision is long enough: apply Continue after the commit.
	// This bounds memory, and makes it possible to stop an endless loop.
	More bool
	// Closed means that this decision ended the run: the head has the status, output, error and cause.
	Closed bool
}

// FrameID identifies a frame within its run. The frame of the execution itself is 0. A run never reuses an id.
type FrameID uint64

// Moment is the time of a fact. Seconds of a Wait, timeouts, heartbeats and retry intervals are measured by a steady
// clock, which nobody can set, and so is Decision.Wake. The Timestamp of a Wait is a time of the wall clock.
type Moment struct {
	Now    time.Time     // the time in the history; it never decreases
	Steady time.Time     // never decreases
	Ahead  time.Duration // wall clock minus steady clock
}

// Task is a task to start: one attempt of a Task state that was entered.
type Task struct {
	// ID is unique within the run and for this attempt: it consists of the frame, the entry and the attempt.
	ID        string
	Frame     FrameID
	State     string
	Attempt   int   // from 1
	Event     int64 // the last event of its frame when it was scheduled
	Resource  string
	Input     []byte    // evaluated Parameters or Arguments
	Timeout   time.Time // when the run ends the task with States.Timeout, by the steady clock; zero: never
	Heartbeat time.Duration
	// Token is the value of $$.Task.Token. ParseToken extracts the execution and the task from it.
	Token string
	// Credentials is the evaluated Credentials field, empty if the state has none.
	Credentials []byte
	// Submitted means, in the tasks that Running returns, that TaskSubmitted was already applied.
	Submitted bool
}

// StoredFrame is a frame as AppendFrame encoded it.
type StoredFrame struct {
	ID   FrameID
	Data []byte
}

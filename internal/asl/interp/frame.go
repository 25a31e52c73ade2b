package interp

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl"
)

// The frames that every run has.
const (
	rootFrame   FrameID = 0 // the line of the execution itself
	originFrame FrameID = 1 // the Params; written once, never removed
	firstFrame  FrameID = 2
)

// kind is the type of a frame. The numbers are stored.
type kind byte

const (
	lineKind   kind = 1 // a line of control
	groupKind  kind = 2 // the lines of a Parallel or inline Map: their counters
	itemsKind  kind = 3 // the items of a Map; a separate frame, so that the frame of the group stays small
	doneKind   kind = 4 // the output of a line that ended, kept until its group ends
	mapRunKind kind = 5 // the map run of a distributed Map
)

// phase is what a line does now. The numbers are stored.
type phase byte

const (
	ready    phase = 1 + iota // about to enter its state
	redo                      // about to execute its state again without entering it: Retry or Redrive
	waiting                   // for the timer of a Wait
	working                   // a task runs
	retrying                  // for the timer of a Retry
	grouped                   // its state is a Parallel or inline Map whose lines run
	mapping                   // a distributed Map runs
	failed                    // ended by its own error; kept for Redrive
	aborted                   // ended by the error of another line, or from outside; kept for Redrive
)

// frame is a line of control, or a part of the state of one that is stored separately. The kind determines which fields are
// used.
//
// Every event refers to a previous one (previousEventId), which is not always the one that was emitted before it. last,
// before and entered of a line are the candidates; which of them an event refers to follows recordings of Step Functions.
type frame struct {
	id, parent FrameID // the parent of a line is its group; of a group or map run, its line; of items and outputs, their group
	kind       kind
	phase      phase
	stored     bool // an earlier decision stored it
	dirty      bool // this decision changed it
	queued     bool // it is in the run's queue

	// lineKind
	program       *asl.Program
	state         *asl.State
	input         *data // the state's raw input
	vars          map[string]*data
	index         int64 // of the branch or iteration
	last          int64 // the previous event of the line's next event
	before        int64 // the value of last when the state was entered
	entered       int64 // the event with which the state was entered
	enteredAt     time.Time
	entries       int64     // how often a state was entered or executed again; part of the ids of tasks
	retries       []int     // by retrier
	retried       int       // their sum: State.RetryCount
	timer         time.Time // end of a Wait or of a retry interval
	group         FrameID   // the group or map run of its state; 0: none
	mapRunStarted int64     // the event MapRunStarted
	redriven      bool      // a redrive executes the state again
	task          *taskState
	fail          *failure // why it failed

	// groupKind
	started, running, ended int64   // numbers of lines
	length                  int64   // how many lines there are in total
	limit                   int64   // MaxConcurrency; 0: unlimited
	startEvent              int64   // ParallelStateStarted or MapStateStarted
	items                   FrameID // 0: the group of a Parallel
	lines                   []FrameID
	results                 []*data // outputs of the lines that ended, by index

	// itemsKind uses input for the array of items; doneKind uses index, and input for the output.

	mapRun *MapRun // mapRunKind
}

// taskState is the running task of a line.
type taskState struct {
	id             string
	input          []byte
	credentials    []byte
	token          string
	timeoutSeconds int64
	timeout        time.Time     // by the steady clock; zero: never
	heartbeat      time.Duration // interval; 0: none required
	beat           time.Time     // when the next heartbeat is overdue, by the steady clock
	submitted      bool
	attempt        int
}

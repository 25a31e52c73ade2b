package interp

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl"
)

// The frames that every run has.
const (
	rootFrame   FrameID = 0
	originFrame FrameID = 1 // the Params; written once, never gone
	firstFrame  FrameID = 2
)

type kind byte

const (
	lineKind   kind = 1 // a line of control
	groupKind  kind = 2 // a Parallel or an inline Map at work: it counts its lines
	itemsKind  kind = 3 // what a Map works on; apart, so that a group's record stays small
	doneKind   kind = 4 // the output of a line that ended, until its group ends
	mapRunKind kind = 5 // a distributed Map's run
)

type phase byte

const (
	ready    phase = 1 + iota // about to enter its state
	redo                      // about to do its state again, without entering it: Retry or Redrive
	waiting                   // for the timer of a Wait
	working                   // a task runs
	retrying                  // for the timer of a Retry
	grouped                   // lines run beneath
	mapping                   // a distributed Map runs
	failed                    // ended by an error; kept for Redrive
	aborted                   // ended by another's error or from outside; kept for Redrive
)

// frame is one line of control, or what belongs to one. Which fields mean something depends on the kind.
type frame struct {
	id, parent FrameID // a line's parent is its group, a group's is its line, items' and done's are their group
	kind       kind
	phase      phase
	stored     bool // on disk since a former decision
	dirty      bool // changed in this decision
	queued     bool // in the run's queue

	// line
	program       *asl.Program
	state         *asl.State
	input         *data // the state's raw input
	vars          map[string]*data
	index         int64 // of the branch or iteration
	last          int64 // the event that the line's next one follows
	before        int64 // what last was when the state was entered
	entered       int64 // the event that entered the state
	enteredAt     time.Time
	entries       int64 // states entered or done again, for ids of tasks
	retries       []int // by retrier
	retried       int   // all of them: State.RetryCount
	timer         time.Time
	group         FrameID // a group or a map run; 0: none
	mapRunStarted int64
	redriven      bool // the state is done again after a redrive
	task          *taskState
	fail          *failure // why it failed

	// group
	started, running, ended int64
	length                  int64
	limit                   int64 // MaxConcurrency, 0: none
	startEvent              int64
	items                   FrameID // 0: a Parallel
	lines                   []FrameID
	results                 []*data // of the lines that ended, by index

	// items: input holds the array

	// done: index and input, the output

	mapRun *MapRun
}

// taskState is a running task.
type taskState struct {
	id             string
	input          []byte
	credentials    []byte
	token          string
	timeoutSeconds int64
	timeout        time.Time
	heartbeat      time.Duration
	beat           time.Time // when the heartbeat is overdue
	submitted      bool
	attempt        int
}

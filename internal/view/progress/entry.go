package progress

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// The kinds of entries that this package treats specially. The kind of other entries is the state's type, too.
const (
	kindTask     = "Task"
	kindWait     = "Wait"
	kindMap      = "Map"
	kindParallel = "Parallel"
	kindFail     = "Fail"
	kindSkipped  = "Skipped" // not a state: a step whose condition was false
)

// Entry is one entry of an execution into a state. A state that is entered several times (in a loop or in iterations of a Map) has
// several. Some entries are steps of the pipeline (IsStep).
type Entry struct {
	N       int    // its position among all entries, from 0
	Event   int64  // the event that entered the state, which has its input
	Name    string // the state's name, with [index] inside a Map
	State   string // the state's name alone
	Kind    string // the state's type, or Skipped
	Depth   int    // the number of Map and Parallel states around it
	Index   int    // of the innermost Map iteration around it; -1 outside of Maps
	Status  Status
	Attempt int       // from 1; 0 before the first
	Entered time.Time //
	Ended   time.Time // zero while it runs
	Input   string    // JSON
	Output  string    // JSON: what the job returned, or the state's output if the task is not a job of rayorch
	Error   string    // of the last failed attempt
	Cause   string    //
	Job     Job       // of the newest attempt
	Waiting *Waiting  // why the entry is pending, if known
	Items   *Items    // of a Map
	MapRun  string    // the ARN of a distributed Map's run

	OutputEvent int64     // the event that has the output; 0 before the state's exit
	Scheduled   time.Time // when the newest attempt was scheduled
	Attempts    []Attempt // of a Task, or of a Parallel that represents a step
	Tolerated   bool      // it failed, and the parallel or forEach around it tolerates the failure
	SkipReason  string    // the condition that was false, with its values; empty if the definition does not record it
	Within      *Entry    // the step of which this state, inside the step's Parallel, is a part; nil if none

	meta         annotation.State // of the state, zero if it has none
	in           *frame           // around the entry, nil at the top level
	children     []*Entry         // of a Map or Parallel: the entries directly inside
	composite    bool             // a Parallel that represents a step in a cluster: its states make the attempts
	neverStarted bool             // a Map or Parallel that failed before anything in it started
	gaveUp       bool             // a step whose last attempt failed; its exit shows whether the failure was caught
	exited       bool             // the run continued after it, so that a redrive does not run it again
	tick, rev    int              // see View.touch
}

// Attempt is one attempt of a step.
type Attempt struct {
	N                         int
	Scheduled, Started, Ended time.Time
	Status                    Status
	Error, Cause              string
	Tasks                     []int64 // the events that scheduled tasks that may have the job's log, in order
}

// Items are the numbers of iterations of a Map.
type Items struct {
	Total     int `json:"total"`
	Started   int `json:"started"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Aborted   int `json:"aborted"`
}

// Job is the work that an attempt started outside of the execution, according to the output of its submission or of its end. The JSON
// names are those of the task runners.
type Job struct {
	SubmissionID string `json:"SubmissionId"`
	Address      string `json:"Address"`
	SessionName  string `json:"SessionName"`
	ID           string `json:"Id"`
	Pid          int    `json:"Pid"`

	// Output is what the job returned. It is known only after the task has ended.
	Output json.RawMessage `json:"Output"`
}

// Dashboard returns the URL of the job in Ray's dashboard, "" if unknown. The address is from the output of a task, and the console makes a
// link of the result. Therefore, only http and https addresses are accepted.
func (j Job) Dashboard() string {
	at, err := url.Parse(j.Address)
	if err != nil || j.SubmissionID == "" || at.Scheme != "http" && at.Scheme != "https" {
		return ""
	}
	return strings.TrimSuffix(j.Address, "/") + "/#/jobs/" + url.PathEscape(j.SubmissionID)
}

// IsStep reports whether the entry is a step of the pipeline: a Task or Wait state, a Parallel that represents a step, or a skipped step.
// States inside such a Parallel are not steps. A Map or Parallel that failed before anything in it started counts as a step, so that its
// error is visible.
func (e *Entry) IsStep() bool {
	switch {
	case e.composite:
		return true
	case e.Within != nil:
		return false
	}
	return e.neverStarted || e.Kind == kindTask || e.Kind == kindWait || e.Kind == kindSkipped
}

// IsWait reports whether the entry is of a Wait state.
func (e *Entry) IsWait() bool { return e.Kind == kindWait }

// Duration returns how long the entry took, or has taken until now if it still runs.
func (e *Entry) Duration(now time.Time) time.Duration {
	if !e.Ended.IsZero() {
		now = e.Ended
	}
	return max(0, now.Sub(e.Entered))
}

// Tasks returns the events that scheduled the tasks that may have the log of an attempt, in order. The last task that has a log has the
// complete log: a task that polls the job reads the log from the beginning.
func (e *Entry) Tasks(attempt int) []int64 {
	for i := range e.Attempts {
		if e.Attempts[i].N == attempt {
			return e.Attempts[i].Tasks
		}
	}
	return nil
}

// newest returns the newest attempt, nil before the first.
func (e *Entry) newest() *Attempt {
	if len(e.Attempts) == 0 {
		return nil
	}
	return &e.Attempts[len(e.Attempts)-1]
}

// open returns the newest attempt if it has not ended, otherwise nil.
func (e *Entry) open() *Attempt {
	if a := e.newest(); a != nil && a.Ended.IsZero() {
		return a
	}
	return nil
}

// isGroup reports whether the state contains other states.
func (e *Entry) isGroup() bool { return e.Kind == kindMap || e.Kind == kindParallel }

// frame is a level of nesting: a Parallel or Map state, or one iteration of a Map. Events of a line of control are in a frame.
type frame struct {
	group *Entry
	index int // of the iteration; -1 for the state itself
	outer *frame
}

// place is the position of an event in the execution.
type place struct {
	entry *Entry // the entry to which the event belongs, if any
	in    *frame // around the event, nil at the top level
	left  *Entry // the Map or Parallel that exited or failed last before the event
}

// depth returns the number of frames, including f.
func (f *frame) depth() (n int) {
	for ; f != nil; f = f.outer {
		n++
	}
	return n
}

// suffix returns the indices of the iterations, such as "[0][2]". It makes the names of entries of the same state distinct.
func (f *frame) suffix() string {
	if f == nil {
		return ""
	}
	if f.index < 0 {
		return f.outer.suffix()
	}
	return f.outer.suffix() + indexed(f.index)
}

// iteration returns the index of the innermost iteration, -1 outside of Maps.
func (f *frame) iteration() int {
	for ; f != nil; f = f.outer {
		if f.index >= 0 {
			return f.index
		}
	}
	return -1
}

// step returns the step in a cluster that contains the frame, nil if there is none.
func (f *frame) step() *Entry {
	for ; f != nil; f = f.outer {
		if f.group.composite {
			return f.group
		}
	}
	return nil
}

// find returns the innermost frame whose group satisfies a condition, nil if there is none.
func (f *frame) find(is func(*Entry) bool) *frame {
	for f != nil && !is(f.group) {
		f = f.outer
	}
	return f
}

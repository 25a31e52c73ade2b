package progress

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// The kinds of entries that the fold distinguishes. Others have the state's type, too.
const (
	kindTask     = "Task"
	kindWait     = "Wait"
	kindMap      = "Map"
	kindParallel = "Parallel"
	kindFail     = "Fail"
	kindSkipped  = "Skipped" // not a state: a step whose condition did not hold
)

// Entry is one entry of a state: a state that is entered twice (a loop, a Map iteration) has two. Some are what a pipeline calls a
// step (IsStep).
type Entry struct {
	N       int    // its position among all entries, from 0
	Event   int64  // the event that entered the state, which has its input
	Name    string // the state's name, with [index] inside a Map
	State   string // the state's name alone
	Kind    string // the state's type, or Skipped
	Depth   int    // how many Map and Parallel states are around it
	Index   int    // of the iteration of the Map around it; -1 outside
	Status  Status
	Attempt int       // from 1; 0 before the first
	Entered time.Time //
	Ended   time.Time // zero while it runs
	Input   string    // JSON
	Output  string    // JSON of what the job returned, or of the state's output where the task is no job of ours
	Error   string    // of the last failed attempt
	Cause   string    //
	Job     Job       // the newest attempt's
	Waiting *Waiting  // why it is pending, if that is known
	Items   *Items    // of a Map
	MapRun  string    // the ARN of a distributed Map's run

	OutputEvent int64     // the event that has the output; 0 before the state's exit
	Scheduled   time.Time // the newest attempt
	Attempts    []Attempt // of a Task, or of a Parallel that stands for a step
	Tolerated   bool      // it failed, and its parallel or forEach tolerates that
	SkipReason  string    // the condition that did not hold, and its values; empty if the definition does not record it
	Within      *Entry    // the step for which a state inside a Parallel works, if any

	says      annotation.State
	in        *frame
	children  []*Entry // of a Map or Parallel: the entries directly inside
	composite bool     // a Parallel whose states make the attempts of a step
	itself    bool     // a Map or Parallel that failed before anything in it started
	gaveUp    bool     // the step's last attempt failed, unless its exit shows that the failure was caught
	exited    bool     // a redrive does not run it again
	redriven  int64    // the last redrive that resumed it
	tick, rev int      // see View.touch
}

// Attempt is one attempt of a step.
type Attempt struct {
	N                         int
	Scheduled, Started, Ended time.Time
	Status                    Status
	Error, Cause              string
	Tasks                     []int64 // the events that scheduled the tasks that may have the job's log, in order
}

// Items are the numbers of a Map's iterations.
type Items struct {
	Total     int `json:"total"`
	Started   int `json:"started"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Aborted   int `json:"aborted"`
}

// Job is the work that an attempt started outside of the execution, according to the output of its submission or of its end.
type Job struct {
	SubmissionID string `json:"SubmissionId"`
	Address      string `json:"Address"`
	SessionName  string `json:"SessionName"`
	ID           string `json:"Id"`
	Pid          int    `json:"Pid"`

	// Output is what the job returned; only the task's end shows it.
	Output json.RawMessage `json:"Output"`
}

// Dashboard is the page of Ray's dashboard that shows the job, or empty. The address comes from the output of a task and becomes a link,
// so only http and https addresses are used.
func (j Job) Dashboard() string {
	at, err := url.Parse(j.Address)
	if err != nil || j.SubmissionID == "" || at.Scheme != "http" && at.Scheme != "https" {
		return ""
	}
	return strings.TrimSuffix(j.Address, "/") + "/#/jobs/" + url.PathEscape(j.SubmissionID)
}

// IsStep reports whether a pipeline calls the entry a step: a Task or Wait state, a Parallel that stands for a step, or a step that was
// skipped, but no state inside such a Parallel. A Map or Parallel that failed before anything in it started is shown as one, too.
func (e *Entry) IsStep() bool {
	switch {
	case e.composite:
		return true
	case e.Within != nil:
		return false
	}
	return e.itself || e.Kind == kindTask || e.Kind == kindWait || e.Kind == kindSkipped
}

// IsWait reports whether the state only waits.
func (e *Entry) IsWait() bool { return e.Kind == kindWait }

// Duration is how long the entry took, or has taken until now if it still runs.
func (e *Entry) Duration(now time.Time) time.Duration {
	if !e.Ended.IsZero() {
		now = e.Ended
	}
	return max(0, now.Sub(e.Entered))
}

// Tasks are the events that scheduled the tasks that may have the log of an attempt, in order. The last task with a log has all of
// it, because an interrupted reader starts again.
func (e *Entry) Tasks(attempt int) []int64 {
	for i := range e.Attempts {
		if e.Attempts[i].N == attempt {
			return e.Attempts[i].Tasks
		}
	}
	return nil
}

// newest is the newest attempt, nil before the first.
func (e *Entry) newest() *Attempt {
	if len(e.Attempts) == 0 {
		return nil
	}
	return &e.Attempts[len(e.Attempts)-1]
}

// open is the newest attempt if it has not ended.
func (e *Entry) open() *Attempt {
	if a := e.newest(); a != nil && a.Ended.IsZero() {
		return a
	}
	return nil
}

// holds reports whether other states are inside the state.
func (e *Entry) holds() bool { return e.Kind == kindMap || e.Kind == kindParallel }

// frame is what the history of a line of control is in: a Parallel or Map state, or one iteration of a Map.
type frame struct {
	group *Entry
	index int // of the iteration; -1 for the state itself
	outer *frame
}

// place is where an event stands.
type place struct {
	entry *Entry // the state that it belongs to, if any
	in    *frame
	left  *Entry // the Map or Parallel that exited last on this path
}

// depth is how many Map and Parallel states are around.
func (f *frame) depth() (n int) {
	for ; f != nil; f = f.outer {
		n++
	}
	return n
}

// suffix distinguishes the entries of one state: it has the indices of the iterations around it.
func (f *frame) suffix() string {
	if f == nil {
		return ""
	}
	if f.index < 0 {
		return f.outer.suffix()
	}
	return f.outer.suffix() + indexed(f.index)
}

// iteration is the index of the innermost iteration, -1 outside of Maps.
func (f *frame) iteration() int {
	for ; f != nil; f = f.outer {
		if f.index >= 0 {
			return f.index
		}
	}
	return -1
}

// step is the step in a cluster around a state, if any.
func (f *frame) step() *Entry {
	for ; f != nil; f = f.outer {
		if f.group.composite {
			return f.group
		}
	}
	return nil
}

// find is the innermost frame whose group satisfies a condition.
func (f *frame) find(is func(*Entry) bool) *frame {
	for f != nil && !is(f.group) {
		f = f.outer
	}
	return f
}

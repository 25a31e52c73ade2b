package progress

import "time"

// Status of an entry: the same word in the terminal, in JSON and in the console.
type Status string

// The statuses.
const (
	Pending   Status = "pending"   // scheduled, but not running yet
	Running   Status = "running"   //
	Retrying  Status = "retrying"  // the last attempt failed, and the step waits for the next one
	Succeeded Status = "succeeded" //
	Failed    Status = "failed"    // the last attempt failed, whatever the result of the run
	Caught    Status = "caught"    // the same, but handled by a Catch that rayorch did not compile
	Skipped   Status = "skipped"   // the condition did not hold
	Cancelled Status = "cancelled" // stopped: with the run, by the run's timeout, or by another step's failure
)

// Ended reports whether the status is final, except for a redrive.
func (s Status) Ended() bool { return s != Pending && s != Running && s != Retrying }

// undone reports whether a redrive runs the step again.
func (s Status) undone() bool { return s == Failed || s == Cancelled }

// Word returns the status as users see it.
func (e *Entry) Word() string {
	if e.Tolerated {
		return string(e.Status) + " (tolerated)"
	}
	return string(e.Status)
}

// beginAttempt starts an attempt.
func (v *View) beginAttempt(x *Entry, when time.Time) {
	x.Attempt++
	x.Job, x.Ended, x.Scheduled, x.Waiting = Job{}, time.Time{}, when, nil
	x.Attempts = append(x.Attempts, Attempt{N: x.Attempt, Scheduled: when, Status: Pending})
	v.set(x, Pending)
}

// endAttempt ends the attempt that is open.
func (e *Entry) endAttempt(status Status, when time.Time) {
	if a := e.open(); a != nil {
		a.Ended, a.Status = when, status
	}
}

// runs records that the work of the newest attempt runs.
func (v *View) runs(x *Entry) {
	if x.Status != Pending {
		return
	}
	v.set(x, Running)
	if a := x.open(); a != nil {
		a.Status = Running
	}
}

// set changes the status, and the numbers of the state's entries by status.
func (v *View) set(x *Entry, status Status) {
	if !status.Ended() {
		x.Ended = time.Time{}
	}
	v.touch(x)
	counts := v.states[x.State].counts
	if x.Status != "" {
		counts[x.Status]--
	}
	counts[status]++
	x.Status = status
}

// stateCount is what a picture of the definition shows of a state.
type stateCount struct {
	entered int // how often
	counts  map[Status]int
	last    *Entry
}

// count counts an entry that has no status yet.
func (v *View) count(x *Entry) {
	c := v.states[x.State]
	if c == nil {
		c = &stateCount{counts: map[Status]int{}}
		v.states[x.State] = c
	}
	c.entered++
	c.last = x
}

// status is the status of a state: of its only line of control that of the newest entry, of several that of most interest.
func (c *stateCount) status() Status {
	for _, s := range []Status{Running, Retrying, Pending} {
		if c.counts[s] > 0 {
			return s
		}
	}
	if c.last.Index < 0 {
		return c.last.Status
	}
	for _, s := range []Status{Failed, Caught, Cancelled, Succeeded, Skipped} {
		if c.counts[s] > 0 {
			return s
		}
	}
	return ""
}

package progress

import "time"

// Status is the status of an entry, as it appears in the terminal, in JSON and in the console.
type Status string

// The statuses.
const (
	Pending   Status = "pending"   // scheduled, but not running yet
	Running   Status = "running"   //
	Retrying  Status = "retrying"  // the last attempt failed, and the next one has not started
	Succeeded Status = "succeeded" //
	Failed    Status = "failed"    // the last attempt failed, even if the run succeeded
	Caught    Status = "caught"    // the last attempt failed, and a Catch that rayorch did not compile handled it
	Skipped   Status = "skipped"   // the condition was false
	Cancelled Status = "cancelled" // stopped together with the run, by the run's timeout, or because another step failed
)

// Ended reports whether the status is final. Only a redrive can change a final status.
func (s Status) Ended() bool { return s != Pending && s != Running && s != Retrying }

// undone reports whether a redrive runs the entry again.
func (s Status) undone() bool { return s == Failed || s == Cancelled }

// Word returns the status for display.
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

// endAttempt ends the newest attempt if it is open.
func (e *Entry) endAttempt(status Status, when time.Time) {
	if a := e.open(); a != nil {
		a.Ended, a.Status = when, status
	}
}

// markRunning records that the work of the newest attempt has started to run.
func (v *View) markRunning(x *Entry) {
	if x.Status != Pending {
		return
	}
	v.set(x, Running)
	if a := x.open(); a != nil {
		a.Status = Running
	}
}

// set changes the status of an entry, and the counts of its state.
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

// stateCount has the data for a state in a graph of the definition.
type stateCount struct {
	entered int            // the number of entries
	counts  map[Status]int // the number of entries by status
	last    *Entry
}

// count counts a new entry, which has no status yet.
func (v *View) count(x *Entry) {
	c := v.states[x.State]
	if c == nil {
		c = &stateCount{counts: map[Status]int{}}
		v.states[x.State] = c
	}
	c.entered++
	c.last = x
}

// status returns the status of a state. If any entry is active, it is that entry's status. Otherwise, it is the status of the newest entry,
// or, in a Map, whose iterations run concurrently, the most important one of all entries.
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

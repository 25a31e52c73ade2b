package progress

import "time"

// Status of a step: the same word in the terminal, in JSON and in the console.
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
func (s *Step) Word() string {
	if s.Tolerated {
		return string(s.Status) + " (tolerated)"
	}
	return string(s.Status)
}

// begin starts an attempt.
func (s *Step) begin(when time.Time) {
	s.Status, s.Attempt, s.Job, s.Ended, s.Scheduled = Pending, s.Attempt+1, Job{}, time.Time{}, when
	s.Waiting = nil
}

// fails records that an attempt failed. The next events show whether another attempt follows.
func (s *Step) fails() { s.Status, s.Ended = Retrying, time.Time{} }

// end ends a step that is open.
func (s *Step) end(status Status, when time.Time) {
	if !s.Status.Ended() {
		s.Status, s.Ended = status, when
	}
}

// waits records why the work of the newest attempt does not run yet.
func (s *Step) waits(reason string) {
	if s.Status == Pending && reason != "" {
		s.Waiting = &Waiting{Since: s.Scheduled, Reason: reason}
	}
}

// runs records that the work of the newest attempt runs.
func (s *Step) runs() {
	if s.Status == Pending {
		s.Status = Running
	}
}

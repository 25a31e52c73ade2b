package progress

import "time"

// Status of a step: the same word in the terminal, in JSON and in the console.
type Status string

// The statuses.
const (
	Pending   Status = "pending"   // its work is scheduled and does not run yet
	Running   Status = "running"   //
	Retrying  Status = "retrying"  // the last attempt failed, and another one is due
	Succeeded Status = "succeeded" //
	Failed    Status = "failed"    // the attempts are used up, whatever then became of the run
	Caught    Status = "caught"    // the same where a catcher went on that is not rayorch's own
	Skipped   Status = "skipped"   // the condition did not hold
	Cancelled Status = "cancelled" // it was cut off by a stop, a timeout, or a failure beside it
)

// Ended says that the status will not change again, except by a redrive.
func (s Status) Ended() bool { return s != Pending && s != Running && s != Retrying }

// undone says that a redrive does the step again.
func (s Status) undone() bool { return s == Failed || s == Cancelled }

// Word is the status for people.
func (s *Step) Word() string {
	if s.Tolerated {
		return string(s.Status) + " (tolerated)"
	}
	return string(s.Status)
}

// begin begins an attempt.
func (s *Step) begin(when time.Time) {
	s.Status, s.Attempt, s.Job, s.Ended, s.Scheduled = Pending, s.Attempt+1, Job{}, time.Time{}, when
}

// fails notes that an attempt failed. What follows says whether another one is due.
func (s *Step) fails() { s.Status, s.Ended = Retrying, time.Time{} }

// end ends a step that is open.
func (s *Step) end(status Status, when time.Time) {
	if !s.Status.Ended() {
		s.Status, s.Ended = status, when
	}
}

// runs notes that the work of the newest attempt runs.
func (s *Step) runs() {
	if s.Status == Pending {
		s.Status = Running
	}
}

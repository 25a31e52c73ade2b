package progress

import (
	"strconv"
	"time"
)

// Seconds is a time that is Unix time in seconds in JSON, as in the API. The zero time is 0.
type Seconds time.Time

// MarshalJSON implements json.Marshaler, with a precision of milliseconds.
func (s Seconds) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("0"), nil
	}
	return strconv.AppendFloat(nil, float64(time.Time(s).UnixMilli())/1000, 'f', 3, 64), nil
}

// IsZero reports whether the time is missing. encoding/json calls it for omitzero.
func (s Seconds) IsZero() bool { return time.Time(s).IsZero() }

// Shown is an entry in JSON. docs/serve.md documents it.
type Shown struct {
	N           int            `json:"n"`
	Event       int64          `json:"event"`
	Name        string         `json:"name"`
	State       string         `json:"state"`
	Kind        string         `json:"kind"`
	Step        bool           `json:"step,omitempty"`
	Within      *int           `json:"within,omitempty"`
	Depth       int            `json:"depth,omitempty"`
	Status      Status         `json:"status"`
	Tolerated   bool           `json:"tolerated,omitempty"`
	Entered     Seconds        `json:"entered"`
	Ended       Seconds        `json:"ended"`
	Attempt     int            `json:"attempt"`
	Attempts    []ShownAttempt `json:"attempts,omitempty"`
	Error       string         `json:"error,omitempty"`
	Cause       string         `json:"cause,omitempty"`
	SkipReason  string         `json:"skipReason,omitempty"`
	Job         *ShownJob      `json:"job,omitempty"`
	Waiting     *ShownWaiting  `json:"waiting,omitempty"`
	Items       *Items         `json:"items,omitempty"`
	MapRun      string         `json:"mapRun,omitempty"`
	Input       string         `json:"input,omitempty"`
	Output      string         `json:"output,omitempty"`
	OutputEvent int64          `json:"outputEvent,omitempty"`
}

// ShownAttempt is an attempt in JSON.
type ShownAttempt struct {
	N         int     `json:"n"`
	Status    Status  `json:"status"`
	Scheduled Seconds `json:"scheduled"`
	Started   Seconds `json:"started"`
	Ended     Seconds `json:"ended"`
	Error     string  `json:"error,omitempty"`
	Cause     string  `json:"cause,omitempty"`
	Tasks     []int64 `json:"tasks,omitempty"`
}

// ShownJob is a job in JSON.
type ShownJob struct {
	SubmissionID string `json:"submissionId,omitempty"`
	ID           string `json:"id,omitempty"`
	Dashboard    string `json:"dashboard,omitempty"`
}

// ShownWaiting is the reason why an entry is pending in JSON.
type ShownWaiting struct {
	Since  Seconds `json:"since"`
	Reason string  `json:"reason"`
}

// ShownState is a state of the definition in JSON: how often it was entered, and its status in a graph.
type ShownState struct {
	Entered int    `json:"entered"`
	Status  Status `json:"status"`
}

// shown returns a copy of the entry, which stays unchanged while the view changes.
func (e *Entry) shown() Shown {
	s := Shown{
		N: e.N, Event: e.Event, Name: e.Name, State: e.State, Kind: e.Kind, Step: e.IsStep(), Depth: e.Depth, Status: e.Status,
		Tolerated: e.Tolerated, Entered: Seconds(e.Entered), Ended: Seconds(e.Ended), Attempt: e.Attempt, Error: e.Error, Cause: e.Cause,
		SkipReason: e.SkipReason, MapRun: e.MapRun, Input: e.Input, Output: e.Output, OutputEvent: e.OutputEvent,
	}
	if e.Within != nil {
		s.Within = &e.Within.N
	}
	if e.Job.SubmissionID != "" || e.Job.ID != "" {
		s.Job = &ShownJob{e.Job.SubmissionID, e.Job.ID, e.Job.Dashboard()}
	}
	if e.Status == Pending && e.Waiting != nil {
		s.Waiting = &ShownWaiting{Seconds(e.Waiting.Since), e.Waiting.Reason}
	}
	if e.Items != nil {
		items := *e.Items
		s.Items = &items
	}
	for _, a := range e.Attempts {
		s.Attempts = append(s.Attempts, ShownAttempt{
			a.N, a.Status, Seconds(a.Scheduled), Seconds(a.Started), Seconds(a.Ended), a.Error, a.Cause, a.Tasks,
		})
	}
	return s
}

package api

import (
	"net/http"
	"time"
)

// pending lists the tasks of an execution whose work does not run yet, such as a job in a queue: ?execution=ARN. event is the id
// of an event of the task in the history. parked is the reason why the execution is parked, if it is: none of its tasks runs.
func (s *Server) pending(w http.ResponseWriter, r *http.Request) {
	arn := r.URL.Query().Get("execution")
	all, err := s.eng.Pending(arn)
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	type entry struct {
		Event   int64     `json:"event"`
		State   string    `json:"state"`
		Attempt int       `json:"attempt"`
		Since   time.Time `json:"since"`
		Reason  string    `json:"reason"`
	}
	out := make([]entry, len(all))
	for i, p := range all {
		out[i] = entry{p.Event, p.State, p.Attempt, p.Since.UTC(), p.Reason}
	}
	answer := struct {
		Pending []entry `json:"pending"`
		Parked  string  `json:"parked,omitempty"`
	}{Pending: out}
	for _, p := range s.eng.Parked() {
		if p.ARN == arn {
			answer.Parked = p.Reason
		}
	}
	writeJSON(w, answer)
}

package api

import (
	"net/http"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

// left counts what is still to be done outside for an execution: ?execution=ARN. A client that stopped a run waits for 0.
func (s *Server) left(w http.ResponseWriter, r *http.Request) {
	n, err := s.eng.Left(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]int{"left": n})
}

// origin says what of an execution came over the network: ?execution=ARN. What such an execution names is not the owner's word.
func (s *Server) origin(w http.ResponseWriter, r *http.Request) {
	x, err := s.eng.Describe(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]string{"origin": x.Labels[task.OriginLabel]})
}

// resume takes up executions that rest since the server opened the state directory: ?execution=ARN, repeated; all of
// them without one.
func (s *Server) resume(w http.ResponseWriter, r *http.Request) {
	if err := s.eng.Resume(r.Context(), r.URL.Query()["execution"]...); err != nil {
		s.failExtra(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// parkedJSON says why executions are parked.
func parkedJSON(all []engine.Parked) []any {
	out := make([]any, 0, len(all))
	for _, p := range all {
		out = append(out, map[string]any{"execution": p.ARN, "since": p.Since, "reason": p.Reason})
	}
	return out
}

// resting lists the executions that nobody drives: they rest since the server opened the state directory, or are parked.
func (s *Server) resting(w http.ResponseWriter, r *http.Request) {
	arns, err := s.eng.Resting()
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]any{"executions": arns, "parked": parkedJSON(s.eng.Parked())})
}

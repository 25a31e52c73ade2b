package api

import (
	"net/http"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

// left returns the number of an execution's pending effects, such as jobs to stop: ?execution=ARN. A client that stopped an
// execution waits until it is 0.
func (s *Server) left(w http.ResponseWriter, r *http.Request) {
	n, err := s.eng.PendingEffects(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]int{"left": n})
}

// origin returns what came over the network, "definition" or "input": ?execution=ARN. A client must not trust the paths in such
// an execution, for example to delete a directory, as if the owner had written them.
func (s *Server) origin(w http.ResponseWriter, r *http.Request) {
	x, err := s.eng.Describe(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]string{"origin": x.Labels[task.OriginLabel]})
}

// resume resumes executions that no process has driven since the server opened the state directory, and parked ones:
// ?execution=ARN, may be repeated (default: all).
func (s *Server) resume(w http.ResponseWriter, r *http.Request) {
	if err := s.eng.Resume(r.Context(), r.URL.Query()["execution"]...); err != nil {
		s.failExtra(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// parkedJSON lists parked executions with the reasons.
func parkedJSON(all []engine.Parked) []any {
	out := make([]any, 0, len(all))
	for _, p := range all {
		out = append(out, map[string]any{"execution": p.ARN, "since": p.Since, "reason": p.Reason})
	}
	return out
}

// resting lists the open executions that no process drives: those that were not resumed since the server opened the state
// directory, and parked ones.
func (s *Server) resting(w http.ResponseWriter, r *http.Request) {
	arns, err := s.eng.Interrupted()
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]any{"executions": arns, "parked": parkedJSON(s.eng.Parked())})
}

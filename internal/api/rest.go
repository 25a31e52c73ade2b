package api

import "net/http"

// left counts what is still to be done outside for an execution: ?execution=ARN. A client that stopped a run waits for 0.
func (s *Server) left(w http.ResponseWriter, r *http.Request) {
	n, err := s.eng.Left(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]int{"left": n})
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

// resting lists the open executions that nobody drives: they rest since the server opened the state directory.
func (s *Server) resting(w http.ResponseWriter, r *http.Request) {
	arns, err := s.eng.Resting()
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, map[string]any{"executions": arns})
}

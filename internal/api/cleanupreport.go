package api

import (
	"net/http"

	"github.com/rayorch/rayorch/internal/engine"
)

// cleanupReport tells what the engine did for an execution and its history does not show, oldest first: ?execution=ARN.
func (s *Server) cleanupReport(w http.ResponseWriter, r *http.Request) {
	done, err := s.eng.CleanupReport(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	out := []map[string]any{}
	for i := range done {
		out = append(out, cleanupJSON(&done[i]))
	}
	writeJSON(w, map[string]any{"aftermath": out})
}

// cleanupJSON is shaped as an event of GetExecutionHistory is. It has no id: it is none of the history's.
func cleanupJSON(a *engine.CleanupEntry) map[string]any {
	out := map[string]any{"type": a.Type, "timestamp": a.Time}
	switch a.Type {
	case engine.TaskStopped:
		out["taskStoppedEventDetails"] = map[string]any{
			"name": a.State, "attempt": a.Attempt, "resource": a.Resource, "outcome": a.Outcome,
		}
	case engine.CleanupStarted:
		out["cleanupStartedEventDetails"] = map[string]any{"execution": a.Execution}
	}
	return out
}

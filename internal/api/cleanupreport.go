package api

import (
	"net/http"

	"github.com/rayorch/rayorch/internal/engine"
)

// cleanupReport returns the work that the engine stopped, and the cleanup executions that it started, oldest first:
// ?execution=ARN. The execution's history does not contain them.
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

// cleanupJSON converts an entry to the form of an event in GetExecutionHistory. It has no id, because it is not in the history.
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

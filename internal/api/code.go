package api

import (
	"encoding/json"
	"net/http"

	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// Code stores the code that executions run, as snapshots of directories.
type Code interface {
	// Code returns the snapshots of an execution.
	Code(execution string) ([]snapshot.Snapshot, error)
	// Users returns, for each package, the executions that use it.
	Users() (map[string][]string, error)
	// AddSources records the directories that belong to the code of an execution that is about to start.
	AddSources(execution string, sources []snapshot.Source) error
}

// code lists the snapshots of an execution: ?execution=ARN. Without execution, it lists the executions that use each package.
func (s *Server) code(w http.ResponseWriter, r *http.Request) {
	var answer any
	var err error
	if execution := r.URL.Query().Get("execution"); execution == "" {
		answer, err = s.cfg.Code.Users()
	} else {
		var all []snapshot.Snapshot
		all, err = s.cfg.Code.Code(execution)
		answer = append([]snapshot.Snapshot{}, all...)
	}
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, answer)
}

// maxSources is the maximum size of a request that names directories, in bytes.
const maxSources = 1 << 20

// recordSources records the directories that belong to the code of an execution that is about to start: ?execution=ARN.
func (s *Server) recordSources(w http.ResponseWriter, r *http.Request) {
	var sources []snapshot.Source
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSources)).Decode(&sources); err != nil {
		http.Error(w, "the body must be a JSON list of sources, at most 1 MiB", http.StatusBadRequest)
		return
	}
	if err := s.cfg.Code.AddSources(r.URL.Query().Get("execution"), sources); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

package api

import (
	"encoding/json"
	"net/http"
)

// Secrets stores the values of environment variables that the client that starts an execution supplies for its tasks.
type Secrets interface {
	// Missing returns the names of the execution's variables whose values are missing.
	Missing(execution string) ([]string, error)
	// Add stores values of the execution's variables.
	Add(execution string, values map[string]string) error
}

// maxSecrets is the maximum size of a request with values, in bytes.
const maxSecrets = 1 << 20

// missingSecrets lists the variables of an execution whose values are missing: ?execution=ARN.
func (s *Server) missingSecrets(w http.ResponseWriter, r *http.Request) {
	names, err := s.cfg.Secrets.Missing(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, append([]string{}, names...))
}

// putSecrets stores values of an execution's variables: ?execution=ARN, and a JSON object in the body.
func (s *Server) putSecrets(w http.ResponseWriter, r *http.Request) {
	var values map[string]string
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSecrets)).Decode(&values); err != nil {
		http.Error(w, "the body must be a JSON object of strings, at most 1 MiB", http.StatusBadRequest)
		return
	}
	if err := s.cfg.Secrets.Add(r.URL.Query().Get("execution"), values); err != nil {
		s.failExtra(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

package api

import (
	"encoding/json"
	"net/http"
)

// Secrets keeps the values of environment variables that the starter of an execution supplies for its tasks.
type Secrets interface {
	// Wanted are the variables that the execution's starter supplies and whose values are missing.
	Wanted(execution string) ([]string, error)
	// Give takes values.
	Give(execution string, values map[string]string) error
}

// maxSecrets bounds a request's values, in bytes.
const maxSecrets = 1 << 20

func (s *Server) missingSecrets(w http.ResponseWriter, r *http.Request) {
	names, err := s.cfg.Secrets.Wanted(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	writeJSON(w, append([]string{}, names...))
}

func (s *Server) putSecrets(w http.ResponseWriter, r *http.Request) {
	var values map[string]string
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSecrets)).Decode(&values); err != nil {
		http.Error(w, "the body must be a JSON object of strings of at most 1 MiB", http.StatusBadRequest)
		return
	}
	if err := s.cfg.Secrets.Give(r.URL.Query().Get("execution"), values); err != nil {
		s.failExtra(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/store"
	"github.com/rayorch/rayorch/internal/task"
)

// secretKind is the kind of the documents that name the variables whose values a run's starter supplies. Values are never
// on disk.
const secretKind = "secrets"

// vault holds the values of the secrets that the starters of runs handed over, in memory. A run whose starter handed none
// over, as one that an SDK started, gets them from the owner's environment.
type vault struct {
	docs *store.Store
	eng  *engine.Engine

	mu      sync.Mutex
	values  map[string]map[string]string // by execution and variable
	changed chan struct{}                // closed when values come
}

func newVault() *vault {
	return &vault{values: map[string]map[string]string{}, changed: make(chan struct{})}
}

// names are the variables that the run's starter supplies.
func (v *vault) names(execution string) ([]string, error) {
	doc, err := v.docs.Doc(secretKind, execution)
	if errors.Is(err, store.ErrNoDoc) {
		return nil, nil
	}
	var names []string
	if err == nil {
		err = json.Unmarshal(doc, &names)
	}
	return names, err
}

// Wanted are the variables that the run's starter supplies and whose values are not here.
func (v *vault) Wanted(execution string) ([]string, error) {
	names, err := v.names(execution)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget()
	return slices.DeleteFunc(names, func(name string) bool {
		_, ok := v.values[execution][name]
		return ok
	}), err
}

// Give takes values for a run, which need not have been started yet. Those that are here stay: a run keeps its starter's.
func (v *vault) Give(execution string, values map[string]string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	names, err := v.names(execution)
	if err != nil {
		return err
	}
	known := len(names)
	for name := range values {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > known {
		slices.Sort(names)
		doc, err := json.Marshal(names)
		if err != nil {
			return err
		}
		if err := v.docs.PutDocs(secretKind, store.Doc{Name: execution, Value: doc}); err != nil {
			return err
		}
	}
	v.forget()
	here := v.values[execution]
	if here == nil {
		here = map[string]string{}
		v.values[execution] = here
	}
	for name, value := range values {
		if _, ok := here[name]; !ok {
			here[name] = value
		}
	}
	close(v.changed)
	v.changed = make(chan struct{})
	return nil
}

// forget drops the values of runs that have ended.
func (v *vault) forget() {
	for arn := range v.values {
		if x, err := v.eng.Describe(arn); err == nil && x.Closed() {
			delete(v.values, arn)
		}
	}
}

// secret is the value of a variable for a task. It waits for one that the run's starter has to supply.
func (v *vault) secret(ctx context.Context, req *task.Request, variable string) (string, error) {
	if task.FromNetwork(req.Labels) { // the runner has checked that it may read the variable here
		return os.Getenv(variable), nil
	}
	names, err := v.names(req.Execution)
	if err != nil {
		return "", err
	}
	if !slices.Contains(names, variable) {
		return os.Getenv(variable), nil
	}
	for began := time.Now(); ; {
		v.mu.Lock()
		value, ok := v.values[req.Execution][variable]
		changed := v.changed
		v.mu.Unlock()
		if ok {
			req.Waits("", began)
			return value, nil
		}
		req.Waits(fmt.Sprintf("waits for the secret in the environment variable %s, which the process that started the run supplies: "+
			"supply it again with rayorch resume %s", variable, nameOf(req.Execution)), began)
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// environment is the values of variables here. A missing one is an error before anything starts with it.
func environment(variables []string) (map[string]string, error) {
	values := map[string]string{}
	var missing []string
	for _, name := range variables {
		if value := os.Getenv(name); value != "" {
			values[name] = value
		} else {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fail(exitError, "set "+strings.Join(missing, " and ")+" in the environment of this command",
			"missing secrets: environment variables that are not set: %s", strings.Join(missing, ", "))
	}
	return values, nil
}

// supply hands the secrets of open runs over again, from this environment: a new owner does not have them.
func (s *session) supply(ctx context.Context, arns ...string) error {
	if s.dir == "" {
		return nil
	}
	for _, arn := range arns {
		names, err := s.wantedSecrets(ctx, arn)
		if err != nil {
			return err
		}
		values, err := environment(names)
		if err != nil {
			return err
		}
		if err := s.giveSecrets(ctx, arn, values); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) wantedSecrets(ctx context.Context, arn string) (names []string, err error) {
	if s.owner != nil {
		return s.owner.vault.Wanted(arn)
	}
	resp, err := s.extension(ctx, "secrets", url.Values{"execution": {arn}})
	if unknown(err) {
		return nil, nil // an owner of an older release
	}
	if err != nil {
		return nil, err
	}
	err = json.NewDecoder(resp.Body).Decode(&names)
	return names, errors.Join(err, resp.Body.Close())
}

// giveSecrets hands values over to the owner: by the directory's socket, which is the user's alone.
func (s *session) giveSecrets(ctx context.Context, arn string, values map[string]string) error {
	if len(values) == 0 {
		return nil
	}
	if s.owner != nil {
		return s.owner.vault.Give(arn, values)
	}
	body, err := json.Marshal(values)
	if err != nil {
		return err
	}
	resp, err := s.extend(ctx, http.MethodPost, "secrets", url.Values{"execution": {arn}}, bytes.NewReader(body))
	if unknown(err) {
		return fail(exitError, "stop that process, or use another directory with --state-dir",
			"process %d (rayorch %s) owns the state directory and does not take this run's secrets: %w", s.addr.PID, s.addr.Version, err)
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// executionARN is what StartExecution will call the execution of a machine, or of a version of it.
func executionARN(machine, name string) string {
	return stepfn.ExecutionOf(machine, name)
}

// secretValues are the values of the secrets that the steps use here, from this environment. Targets in a cluster have theirs
// there.
func (s *source) secretValues() (map[string]string, error) {
	name, err := s.targetName()
	if err != nil {
		return nil, err
	}
	if t, ok := s.pipeline.Targets.Get(name); ok && t.Kind != kindLocal {
		return nil, nil
	}
	users := secretUsers(s.pipeline.Steps)
	var variables []string
	for _, e := range s.pipeline.Secrets.Entries {
		if len(users[e.Key]) > 0 && e.Value.Env != "" {
			variables = append(variables, e.Value.Env)
		}
	}
	return environment(variables)
}

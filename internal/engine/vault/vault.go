// Package vault holds the values of secrets in the memory of the owner of a state directory. The process that starts a run sends them to
// the owner through the API (api.Secrets), and task runners read them (task.SecretSource). Only the names of the variables are stored,
// so that the next owner knows which values it has to wait for.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task"
)

// kind is the kind of the documents with the names of a run's variables. The name of a document is the execution's ARN.
const kind = "secrets"

// Vault has the values of all runs. It is safe for concurrent use after the store and the engine are set. A run that was started without
// values, for example with an SDK, gets them from the owner's environment.
type Vault struct {
	docs *store.Store
	eng  *engine.Engine

	mu      sync.Mutex
	values  map[string]map[string]string // by execution and variable
	changed chan struct{}                // closed when values are added
}

// New returns an empty vault. Keep and Of set its store and engine, because these are opened after the runners that use the vault.
func New() *Vault {
	return &Vault{values: map[string]map[string]string{}, changed: make(chan struct{})}
}

// SetStore sets the store of the names.
func (v *Vault) SetStore(docs *store.Store) { v.docs = docs }

// SetEngine sets the engine, from which the vault learns which runs have ended.
func (v *Vault) SetEngine(eng *engine.Engine) { v.eng = eng }

// names returns the variables whose values the process that started the run supplies.
func (v *Vault) names(execution string) ([]string, error) {
	doc, err := v.docs.Doc(kind, execution)
	if errors.Is(err, store.ErrNoDoc) {
		return nil, nil
	}
	var names []string
	if err == nil {
		err = json.Unmarshal(doc, &names)
	}
	return names, err
}

// Missing returns the variables whose values the process that started the run supplies, and that are missing in memory.
func (v *Vault) Missing(execution string) ([]string, error) {
	names, err := v.names(execution)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget()
	return slices.DeleteFunc(names, func(name string) bool {
		_, ok := v.values[execution][name]
		return ok
	}), err
}

// Add adds values for a run, before or after it starts. It does not replace existing values: a run keeps the values with which it was
// started.
func (v *Vault) Add(execution string, values map[string]string) error {
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
		if err := v.docs.PutDocs(kind, store.Doc{Name: execution, Value: doc}); err != nil {
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

// forget deletes the values of runs that have ended. The caller holds v.mu.
func (v *Vault) forget() {
	for arn := range v.values {
		if x, err := v.eng.Describe(arn); err == nil && x.Closed() {
			delete(v.values, arn)
		}
	}
}

// Secret returns the value of a variable for a task. If the process that started the run has to supply it, Secret waits for it, and shows
// the task as pending. It implements task.SecretSource.
func (v *Vault) Secret(ctx context.Context, req *task.Request, variable string) (string, error) {
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
	name := req.Execution[strings.LastIndex(req.Execution, ":")+1:]
	for began := time.Now(); ; {
		v.mu.Lock()
		value, ok := v.values[req.Execution][variable]
		changed := v.changed
		v.mu.Unlock()
		if ok {
			req.Waits("", began)
			return value, nil
		}
		req.Waits(fmt.Sprintf("waiting for the secret in the environment variable %s of the process that started the run: set %s and run "+
			"rayorch resume %s", variable, variable, name), began)
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

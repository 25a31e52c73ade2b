// Package catalog keeps state machines, with their revisions, versions and aliases, and activities, and the tags of both. Creating,
// updating and deleting them follows the rules of Step Functions, and its errors have AWS's texts. The package runs nothing: package api
// calls it, and the engine uses it through api to resolve the state machines that tasks name.
//
// The whole catalog is in memory and on disk: reads do not access the store, and writes are on disk when they return.
package catalog

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// Error is an error of the Step Functions API. Code is the name of the exception.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// errorf returns an Error. The API returns its text to the client unchanged.
func errorf(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Docs stores the catalog's records. It is a *store.Store.
type Docs interface {
	PutDocs(kind string, docs ...store.Doc) error
	Docs(kind, prefix, after string, limit int) ([]store.Doc, error)
}

// Config is what Open needs; only Docs has no default.
type Config struct {
	Docs Docs
	// Region and Account are used in ARNs. They default to us-east-1 and 123456789012.
	Region, Account string
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Catalog has the resources of one account in one region. It is safe for concurrent use.
type Catalog struct {
	cfg Config

	writing sync.Mutex // one change at a time, held over its write to disk

	mu         sync.RWMutex // guards the maps; their values are immutable
	machines   map[string]*Machine
	activities map[string]*Activity
}

func (c *Catalog) arn(kind, name string) string {
	return stepfn.NewARN(c.cfg.Region, c.cfg.Account, kind, name, "")
}

// Open reads the catalog.
func Open(c Config) (*Catalog, error) {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Account == "" {
		c.Account = "123456789012"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	cat := &Catalog{
		cfg: c, machines: map[string]*Machine{}, activities: map[string]*Activity{},
	}
	if err := cat.load(); err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	return cat, nil
}

// now returns the time in milliseconds, the resolution of AWS's timestamps.
func (c *Catalog) now() time.Time { return c.cfg.Now().UTC().Truncate(time.Millisecond) }

// local reports whether an ARN is in this catalog's account and region.
func (c *Catalog) local(a stepfn.ARN) bool {
	return a.Region == c.cfg.Region && a.Account == c.cfg.Account
}

// machine returns the machine with a name, nil if there is none.
func (c *Catalog) machine(name string) *Machine {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.machines[name]
}

// find parses the ARN of a machine, version or alias, and returns the machine.
func (c *Catalog) find(arn string) (stepfn.ARN, *Machine, error) {
	a, err := ExpectARN(arn, stepfn.KindMachine)
	if err != nil {
		return a, nil, err
	}
	if m := c.machine(a.Name); m != nil && c.local(a) {
		return a, m, nil
	}
	return a, nil, errNoMachine(arn)
}

// findUnqualified is find for actions that do not accept a version or an alias.
func (c *Catalog) findUnqualified(arn string) (*Machine, error) {
	a, m, err := c.find(arn)
	if err == nil && a.Qualifier != "" {
		return nil, errNoMachine(arn)
	}
	return m, err
}

func errNoMachine(arn string) error {
	return errorf("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", arn)
}

// swap writes documents to disk, and then replaces the machine in memory. The caller holds c.writing.
func (c *Catalog) swap(m *Machine, docs ...store.Doc) error {
	if err := c.cfg.Docs.PutDocs(docKind, docs...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[m.Name] = m
	return nil
}

// copy returns a copy of the machine that the caller may change. Its maps are copies, too; their values are shared and immutable.
func (m *Machine) copy() *Machine {
	n := *m
	n.versions, n.aliases, n.Tags = maps.Clone(m.versions), maps.Clone(m.aliases), append([]Tag(nil), m.Tags...)
	return &n
}

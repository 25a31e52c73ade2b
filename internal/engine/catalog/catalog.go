// Package catalog keeps what executions are started from: state machines with their revisions, versions and aliases, and
// activities, with the tags of both. It decides by AWS's rules what a create, an update or a delete does and answers in
// AWS's words. It runs nothing; api calls it, and through api the engine resolves the machines that tasks name.
//
// Everything is in memory and on disk: reads never touch the store, writes are on disk when they return.
package catalog

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// Error is a refusal in AWS's terms: Code is the exception's name.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// errorf makes a refusal; its text goes to the client as it is.
func errorf(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Docs is where the catalog keeps its records: a *store.Store.
type Docs interface {
	PutDocs(kind string, docs ...store.Doc) error
	Docs(kind, prefix, after string, limit int) ([]store.Doc, error)
}

// Config is what Open needs; only Docs has no default.
type Config struct {
	Docs Docs
	// Region and Account stand in ARNs. Default to us-east-1 and 123456789012.
	Region, Account string
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Catalog holds the resources of one account in one region.
type Catalog struct {
	cfg Config

	writing sync.Mutex // one change at a time, held over its write to disk

	mu         sync.RWMutex // guards the maps; what they point to never changes
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

// now is the time as AWS keeps it: to the millisecond.
func (c *Catalog) now() time.Time { return c.cfg.Now().UTC().Truncate(time.Millisecond) }

// local says whether an ARN is of this catalog's account and region.
func (c *Catalog) local(a stepfn.ARN) bool {
	return a.Region == c.cfg.Region && a.Account == c.cfg.Account
}

// machine finds a machine by its name, nil when there is none.
func (c *Catalog) machine(name string) *Machine {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.machines[name]
}

// find takes a machine's ARN apart and finds the machine.
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

// findUnqualified is find for actions that take no version and no alias.
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

// swap puts a machine's new state on disk and then in its place; the caller holds c.writing.
func (c *Catalog) swap(m *Machine, docs ...store.Doc) error {
	if err := c.cfg.Docs.PutDocs(docKind, docs...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[m.Name] = m
	return nil
}

// copy is the machine to be changed: its maps are its own, what they point to is shared and never changed.
func (m *Machine) copy() *Machine {
	n := *m
	n.versions, n.aliases, n.Tags = maps.Clone(m.versions), maps.Clone(m.aliases), append([]Tag(nil), m.Tags...)
	return &n
}

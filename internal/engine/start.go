package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// An execution starts in three steps: prepare packs the code that it will run (Config.Prepare), machineOf parses and stores the
// definition, and begin applies interp.Start, whose commit creates the run together with its first events. Before this commit, nothing of
// the execution is visible; a crash leaves at most a package and a definition to which nothing refers.

// newRun has the parameters of a run that is to be created.
type newRun struct {
	StartRequest
	arn    string
	group  string
	hash   string        // the hash of the definition, if the request does not contain the definition
	params interp.Params // the fields that only the children of a distributed Map have
	parent *parent       // set for the children of a distributed Map
	items  int64         // the number of items of such a child
	by     store.ID      // the run that starts it; 0 for a client
}

// Start starts an execution. When Start returns, the execution is on disk and has run until its first wait. If an execution with the same
// name exists, Start returns it if it is open and has the same input; otherwise the error is an AlreadyExistsError. The error is
// store.ErrFull if the disk has no space for new work.
func (e *Engine) Start(ctx context.Context, r StartRequest) (Execution, error) {
	return e.startFor(ctx, 0, r)
}

// startFor is Start with the run that starts the execution; by is 0 for a client.
func (e *Engine) startFor(ctx context.Context, by store.ID, r StartRequest) (Execution, error) {
	if err := e.enter(); err != nil {
		return Execution{}, err
	}
	defer e.leave()
	named := r.Name != ""
	r = r.withDefaults()
	b := e.newRunOf(r)
	b.by = by
	switch {
	case r.Type == stepfn.Express:
		x, _, err := e.startExpress(ctx, b)
		return x, err
	case named:
		return e.start(ctx, b)
	}
	return e.create(ctx, b) // the name is a new UUID: no other execution has it
}

func (r StartRequest) withDefaults() StartRequest {
	if r.Name == "" {
		r.Name = uuid.NewString()
	}
	if len(r.Input) == 0 {
		r.Input = []byte("{}")
	}
	if r.Type == "" {
		r.Type = stepfn.Standard
	}
	if r.MachineName == "" {
		r.MachineName = stepfn.NameOf(r.MachineARN)
	}
	return r
}

func (e *Engine) newRunOf(r StartRequest) newRun {
	kind, tail := stepfn.KindExecution, r.Name
	if r.Type == stepfn.Express {
		kind, tail = stepfn.KindExpress, r.Name+":"+uuid.NewString()
	}
	return newRun{StartRequest: r, group: r.MachineARN, arn: stepfn.NewARN(e.c.Region, e.c.Account, kind, r.MachineName, tail)}
}

// start creates a run, or returns the existing one with the same ARN.
func (e *Engine) start(ctx context.Context, b newRun) (Execution, error) {
	unlock, err := e.starting.lock(ctx, b.arn)
	if err != nil {
		return Execution{}, err
	}
	defer unlock()
	id, err := e.st.Find(b.arn)
	if err == nil {
		return e.existing(id, b)
	}
	if !errors.Is(err, store.ErrNoRun) {
		return Execution{}, err
	}
	return e.create(ctx, b)
}

// create creates a run. The caller makes sure that no run has its ARN.
func (e *Engine) create(ctx context.Context, b newRun) (Execution, error) {
	if err := e.st.Admit(); err != nil {
		return Execution{}, err
	}
	if err := e.prepare(ctx, &b); err != nil {
		return Execution{}, err
	}
	e.machines.naming.RLock()
	defer e.machines.naming.RUnlock()
	m, hash, err := e.machineOf(&b)
	if err != nil {
		return Execution{}, err
	}
	return e.begin(b, m, hash)
}

// prepare calls Config.Prepare. The caller must not hold a run's lock, because Prepare may take long.
func (e *Engine) prepare(ctx context.Context, b *newRun) error {
	if e.c.Prepare == nil || b.parent != nil {
		return nil
	}
	if err := e.c.Prepare(ctx, b.arn, &b.StartRequest); err != nil {
		return &StartError{err}
	}
	return nil
}

func (e *Engine) machineOf(b *newRun) (*asl.Machine, string, error) {
	if b.hash == "" {
		return e.machines.of(b.Definition)
	}
	m, err := e.machines.byHash(b.hash)
	return m, b.hash, err
}

// begin creates the run in memory and applies its first fact, whose commit stores it.
func (e *Engine) begin(b newRun, m *asl.Machine, hash string) (Execution, error) {
	r := e.hot.get(e.st.NewID())
	defer e.hot.put(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	e.fill(r, b, m, hash)
	r.by = b.by
	p := &pending{fact: interp.Start{}}
	r.post(p)
	e.work(r)
	if p.err != nil {
		return Execution{}, fmt.Errorf("start %s: %w", b.arn, p.err)
	}
	e.counters.started.Add(1)
	return e.executionOf(r.state.Params(), r.state.Head(), &r.meta), nil
}

// fill sets the state and the meta part of a new run. The seed makes random values of the run reproducible.
func (e *Engine) fill(r *run, b newRun, m *asl.Machine, hash string) {
	now := e.momentFor(r).Now.Truncate(time.Millisecond)
	p := b.params
	p.ExecutionARN, p.Name = b.arn, b.Name
	p.MachineARN, p.MachineName = b.MachineARN, b.MachineName
	p.AliasARN, p.VersionARN = b.AliasARN, b.VersionARN
	p.RoleARN, p.Region = b.RoleARN, e.c.Region
	p.Express, p.Input = p.Express || b.Type == stepfn.Express, b.Input
	p.StartTime, p.Seed = now, seed()
	r.state = interp.New(p, m)
	r.state.CheckResources(e.checkResource)
	r.meta = meta{
		Hash: hash, Group: b.group, Start: now.UnixMilli(), Revision: b.RevisionID, Cleanup: b.Cleanup,
		Trace: b.TraceHeader, Items: b.items, Parent: b.parent, Labels: b.Labels,
	}
}

// existing returns the result of a start whose name is taken by the run id.
func (e *Engine) existing(id store.ID, b newRun) (Execution, error) {
	x, err := e.describe(id)
	if err != nil {
		return Execution{}, err
	}
	if x.Closed() || !bytes.Equal(x.Input, b.Input) {
		return Execution{}, &AlreadyExistsError{ARN: b.arn}
	}
	return x, nil
}

func seed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// hashUUID formats a hash as a UUID of version 4, for names that must be reproducible.
func hashUUID(sum [sha256.Size]byte) string {
	b := uuid.UUID(sum[:16])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return b.String()
}

// nameLocks serializes the starts of executions with the same name.
type nameLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the lock is released
}

// lock locks a name, or returns the error of ctx.
func (n *nameLocks) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		n.mu.Lock()
		busy := n.held[name]
		if busy == nil {
			break
		}
		n.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer n.mu.Unlock()
	if n.held == nil {
		n.held = map[string]chan struct{}{}
	}
	free := make(chan struct{})
	n.held[name] = free
	return func() {
		n.mu.Lock()
		delete(n.held, name)
		n.mu.Unlock()
		close(free)
	}, nil
}

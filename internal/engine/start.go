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

// newRun is all that a new run is made of.
type newRun struct {
	StartRequest
	arn    string
	group  string
	hash   string        // of the definition, when it is not in the request
	params interp.Params // the fields that only a distributed Map's children have
	parent *parent
	items  int64
	by     store.ID // the run for which it is started; 0 for a client
}

// Start starts an execution. It is on disk, and has run up to its first wait for anything outside, when Start returns.
// The same name with the same input returns the execution while it is open; else AlreadyExistsError. store.ErrFull says
// that the disk has no room for new work.
func (e *Engine) Start(ctx context.Context, r StartRequest) (Execution, error) {
	return e.startFor(ctx, 0, r)
}

// startFor is Start for another run.
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
	return e.create(ctx, b) // a new UUID is nobody's name
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

// start makes a run unless there is one of this ARN.
func (e *Engine) start(ctx context.Context, b newRun) (Execution, error) {
	unlock, err := e.starting.lock(ctx, b.arn)
	if err != nil {
		return Execution{}, err
	}
	defer unlock()
	id, err := e.st.Find(b.arn)
	if err == nil {
		return e.same(id, b)
	}
	if !errors.Is(err, store.ErrNoRun) {
		return Execution{}, err
	}
	return e.create(ctx, b)
}

// create makes a run whose name is free.
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

// prepare calls Config.Prepare. No lock is held, because it may take long.
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

// begin makes the run and applies its first fact.
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

// same answers a start whose name is taken.
func (e *Engine) same(id store.ID, b newRun) (Execution, error) {
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

// hashUUID is a hash in the form of a UUID of version 4, for names that must be the same each time.
func hashUUID(sum [sha256.Size]byte) string {
	b := uuid.UUID(sum[:16])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return b.String()
}

// nameLocks serialise the starts of one name.
type nameLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

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

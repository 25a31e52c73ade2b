package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task"
)

// Engine owns a state directory and drives its executions. It is safe for concurrent use.
type Engine struct {
	c      Config
	st     *store.Store
	logger *slog.Logger
	lookup Machines

	machines   machines
	hot        hotRuns
	starting   nameLocks
	tasks      taskTable
	clock      *clock
	timers     *timers
	activities activities
	watchers   watchers
	mapRuns    mapRuns
	mapRecords mapRecords
	resting    resting
	crashes    crashes
	notes      *notes
	express    sync.Map // the ARN of an Express execution, which is only in memory -> store.ID
	logs       *logs
	counters   counters

	// ctx is the parent of all contexts of the engine. Close cancels it with task.ErrAbandon.
	ctx   context.Context
	end   context.CancelCauseFunc
	gate  sync.RWMutex // guards shut against wg.Add
	shut  bool
	wg    sync.WaitGroup
	begun time.Time // when the engine was opened
}

func (c Config) withDefaults() Config {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Uptime == nil {
		opened := time.Now()
		c.Uptime = func() time.Duration { return time.Since(opened) }
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Account == "" {
		c.Account = "123456789012"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Retention == 0 {
		c.Retention = 90 * 24 * time.Hour
	}
	if c.HotRuns == 0 {
		c.HotRuns = 1024
	}
	if c.LogBytes == 0 {
		c.LogBytes = 4 << 20
	}
	if c.StopGrace == 0 {
		c.StopGrace = time.Minute
	}
	return c
}

// Open opens a state directory and resumes its open executions, unless Config.Paused or Config.ReadOnly is set. The error is a
// store.LockedError if another process owns the directory, and a store.NewerError if a newer release wrote it.
func Open(ctx context.Context, c Config) (*Engine, error) {
	c = c.withDefaults()
	o := store.Options{FS: c.FS, Logger: c.Logger, ReadOnly: c.ReadOnly, Reserve: c.Reserve}
	if _, err := c.FS.Stat(c.FS.PathJoin(c.Dir, "db")); c.ReadOnly && errors.Is(err, fs.ErrNotExist) {
		c.FS = vfs.NewMem()
		o.FS, o.ReadOnly = c.FS, false
	}
	st, err := store.Open(c.Dir, o)
	if err != nil {
		return nil, err
	}
	e := &Engine{c: c, st: st, logger: c.Logger, begun: c.Now()}
	e.ctx, e.end = context.WithCancelCause(context.WithoutCancel(ctx))
	e.ctx = task.WithEngine(e.ctx)
	e.machines.st = st
	e.mapRuns.e, e.mapRecords.st = e, st
	e.crashes.st, e.crashes.logger = st, c.Logger
	e.machines.forgotten.Store(true) // an earlier engine may have crashed between deleting executions and collecting definitions
	e.hot.max = c.HotRuns
	e.logs = newLogs(e.ctx, st, c.FS, c.LogBytes, c.Logger)
	e.clock = openClock(&e.c, st)
	e.timers = newTimers(e.clock, e.fire, e.clockSet)
	if c.Machines != nil {
		e.lookup = c.Machines(st)
	}
	if err := errors.Join(e.openCrashes(), e.recover()); err != nil {
		return nil, errors.Join(fmt.Errorf("resume the executions in %s: %w", c.Dir, err), e.Close())
	}
	if !c.ReadOnly {
		e.background(e.timers.run)
		e.background(e.retain)
		e.background(e.watchRoom)
	}
	return e, nil
}

// roomEvery is how often the free space on the disk is checked.
const roomEvery = time.Second

// watchRoom logs when the disk becomes full and when it has space again.
func (e *Engine) watchRoom(ctx context.Context) {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	for full := false; ; {
		switch now := e.st.Admit() != nil; {
		case now && !full:
			e.logger.Error("the disk of the state directory is full: no run starts, and running ones wait for space", "dir", e.c.Dir)
			full = true
		case !now && full:
			e.logger.Info("the disk of the state directory has space again", "dir", e.c.Dir)
			full = false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close abandons running tasks (their work continues, and the next Open finds it) and releases the directory.
// It also ends Express executions and stops their tasks.
func (e *Engine) Close() error {
	e.gate.Lock()
	if e.shut {
		e.gate.Unlock()
		return nil
	}
	e.shut = true
	e.gate.Unlock()
	e.end(task.ErrAbandon)
	if e.awaitIdle() {
		e.notes.close()
	}
	return e.st.Close()
}

// fullGrace is how long Close waits before it checks whether the disk is full: a wait for space may never end.
const fullGrace = time.Second

// awaitIdle waits until no work is in progress. On a full disk it gives up and returns false; then Close leaves the store as after a
// crash.
func (e *Engine) awaitIdle() bool {
	idle := make(chan struct{})
	go func() { // outlives Close only if awaitIdle gives up
		e.wg.Wait()
		close(idle)
	}()
	for {
		select {
		case <-idle:
			return true
		case <-time.After(fullGrace):
			if e.st.Full() {
				return false
			}
		}
	}
}

// Store returns the engine's store, in which other packages keep documents.
func (e *Engine) Store() *store.Store { return e.st }

// Config returns the configuration with defaults filled in.
func (e *Engine) Config() Config { return e.c }

// enter begins work that Close waits for; leave ends it.
func (e *Engine) enter() error {
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.shut {
		return ErrClosing
	}
	e.wg.Add(1)
	return nil
}

func (e *Engine) leave() { e.wg.Done() }

// background runs fn in a goroutine that Close waits for; fn must return when its context ends. It returns false, without calling fn,
// if the engine is closing.
func (e *Engine) background(fn func(ctx context.Context)) bool {
	if e.enter() != nil {
		return false
	}
	go func() {
		defer e.leave()
		fn(e.ctx)
	}()
	return true
}

// effect is a pending effect in the outbox. v is its value, empty for most kinds.
type effect struct {
	id   store.ID
	name string
	v    []byte
}

// resumeRuns drives the runs for which want returns true: it arms the timers of the open ones, and performs pending effects that an
// earlier engine left (tasks, stops, cleanups, map runs), also those of closed runs. Parked runs are left out.
func (e *Engine) resumeRuns(want func(store.ID) bool) error {
	var unfinished, moved []store.ID
	ahead := e.clock.now().Ahead
	err := e.st.Opens(func(id store.ID, v []byte) {
		if !want(id) || e.crashes.park(id) {
			return
		}
		o := decodeOpen(v)
		e.timers.set(id, fromMillis(o.wake))
		e.counters.open.Add(1)
		if o.more {
			unfinished = append(unfinished, id)
		} else if o.wake != 0 && o.ahead != ahead {
			moved = append(moved, id)
		}
	})
	if err != nil {
		return err
	}
	effects := map[store.ID][]effect{}
	err = e.st.Outbox(func(id store.ID, name string, v []byte) {
		if !want(id) || e.crashes.park(id) {
			return
		}
		effects[id] = append(effects[id], effect{id, name, append([]byte(nil), v...)})
	})
	for id, list := range effects {
		err = errors.Join(err, e.unlessDamaged(id, e.perform(id, list)))
	}
	if len(moved) > 0 {
		e.clockSet(moved)
	}
	for _, id := range unfinished {
		e.later(func() { _ = e.deliver(id, interp.Continue{}) })
	}
	return err
}

// unlessDamaged logs a DamagedError and returns nil, so that one unreadable execution does not keep the others from being resumed.
func (e *Engine) unlessDamaged(id store.ID, err error) error {
	var d *store.DamagedError
	if !errors.As(err, &d) {
		return err
	}
	e.logger.Error("an open execution cannot be read and is not resumed", "run", uint64(id), "problem", err)
	return nil
}

// later runs fn in the background. It does nothing if the engine is closing: the next engine finds the same work.
func (e *Engine) later(fn func()) {
	e.background(func(context.Context) { fn() })
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// clock is the clock of a state directory. Its steady time is a base plus Config.Uptime, so that setting the wall clock does not change
// it. How far the wall clock is ahead of the steady time is kept separately. Deadlines on disk are steady times. After a restart of the
// process, the base stays the same. After a reboot of the machine, a new base is computed from the wall clock and the last difference.
type clock struct {
	st *store.Store
	c  *Config

	wall   func() time.Time
	uptime func() time.Duration

	mu sync.Mutex
	clockMark
}

// clockMark is the stored part of a clock. A state directory of an earlier release does not have it: then Ahead is 0.
type clockMark struct {
	Boot  string        `json:"boot"`
	Base  int64         `json:"base"`  // the steady time when Uptime was 0, in nanoseconds since 1970
	Ahead time.Duration `json:"ahead"` // the wall clock minus the steady time
}

const (
	clockDocs = "clock"
	clockDoc  = "mark"
)

// The wall clock was set if its difference to the steady clock changes by more than leastStep. The change is ignored if reading both
// clocks took longer than readAtOnce: on a busy machine, time may pass between the two readings.
const (
	leastStep  = 500 * time.Millisecond
	readAtOnce = 100 * time.Millisecond
)

func newClock(c *Config, old clockMark) *clock {
	k := &clock{wall: c.Now, uptime: c.Uptime, clockMark: clockMark{c.Boot, old.Base, old.Ahead}}
	if c.Boot == "" || c.Boot != old.Boot {
		k.Base = c.Now().Add(-old.Ahead).UnixNano() - int64(c.Uptime())
	}
	k.now()
	return k
}

// now reads both clocks, and updates Ahead if the wall clock was set.
func (k *clock) now() interp.Moment {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.uptime()
	wall, up := k.wall().Round(0).UTC(), k.uptime()
	steady := time.Unix(0, k.Base+int64(up)).UTC()
	if step := wall.Sub(steady) - k.Ahead; step.Abs() > leastStep && up-before < readAtOnce {
		k.Ahead += step.Truncate(time.Millisecond)
	}
	return interp.Moment{Now: wall, Steady: steady, Ahead: k.Ahead}
}

// mark returns the part of the clock to store.
func (k *clock) mark() clockMark {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.clockMark
}

// wallAt converts a steady time to the time of the wall clock, assuming that nobody sets it. It returns zero for zero.
func (k *clock) wallAt(steady time.Time) time.Time {
	if steady.IsZero() {
		return steady
	}
	return steady.Add(k.mark().Ahead)
}

// openClock continues the clock of the state directory. A damaged record is treated as a missing one.
func openClock(c *Config, st *store.Store) *clock {
	var old clockMark
	v, err := st.Doc(clockDocs, clockDoc)
	if err == nil {
		err = json.Unmarshal(v, &old)
	}
	if err != nil && !errors.Is(err, store.ErrNoDoc) {
		c.Logger.Error("the record of the clock cannot be read: deadlines follow the wall clock", "problem", err)
		old = clockMark{}
	}
	k := newClock(c, old)
	k.st, k.c = st, c
	k.keep(old)
	return k
}

// keep stores the mark if it differs from old. It does not sync: the next commit, which may rely on the mark, syncs it, too.
func (k *clock) keep(old clockMark) {
	now := k.mark()
	if k.c.ReadOnly || now == old || k.c.Boot == "" && now.Ahead == old.Ahead {
		return
	}
	v, _ := json.Marshal(now) // cannot fail
	b := k.st.NewBatch()
	b.Doc(clockDocs, clockDoc, v)
	if err := k.st.CommitLazily(b); err != nil {
		k.c.Logger.Error("could not store the state of the clock", "problem", err)
	}
}

// clockSet handles a step of the wall clock: it wakes up the runs with timers, so that they compute their deadlines again.
func (e *Engine) clockSet(ids []store.ID) {
	e.background(func(ctx context.Context) {
		e.clock.keep(clockMark{})
		for _, id := range ids {
			if ctx.Err() != nil {
				return // the next engine notices by their open records that the clock was set
			}
			e.fire(id)
		}
	})
}

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

// clock is the time of a state directory's runs. Its steady time is Config.Uptime after a base, so that setting the wall clock does
// not change it; how far the wall clock is ahead is kept separately. Deadlines on disk are of the steady time. A restart continues with the
// same base as long as the machine has not booted; then the steady time is the wall clock's, less the distance that it had.
type clock struct {
	st *store.Store
	c  *Config

	wall   func() time.Time
	uptime func() time.Duration

	mu sync.Mutex
	clockMark
}

// clockMark is what the state directory keeps of a clock. In one without it, as earlier releases leave, the distance is 0.
type clockMark struct {
	Boot  string        `json:"boot"`
	Base  int64         `json:"base"` // the steady time at the boot, in nanoseconds
	Ahead time.Duration `json:"ahead"`
}

const (
	clockDocs = "clock"
	clockDoc  = "mark"
)

// The wall clock was set if it differs by more than leastStep. If reading both clocks takes longer than readAtOnce, time passed
// between one and the other: a busy machine must not look like one whose clock was set.
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

// now reads both clocks.
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

// mark is what is to be kept of the clock.
func (k *clock) mark() clockMark {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.clockMark
}

// wallAt is what the wall clock will show at a steady time if nobody sets it; zero for zero.
func (k *clock) wallAt(steady time.Time) time.Time {
	if steady.IsZero() {
		return steady
	}
	return steady.Add(k.mark().Ahead)
}

// openClock resumes the clock of the state directory. A damaged record counts as none.
func openClock(c *Config, st *store.Store) *clock {
	var old clockMark
	v, err := st.Doc(clockDocs, clockDoc)
	if err == nil {
		err = json.Unmarshal(v, &old)
	}
	if err != nil && !errors.Is(err, store.ErrNoDoc) {
		c.Logger.Error("the record of the clock cannot be read: the wall clock decides what is due", "problem", err)
		old = clockMark{}
	}
	k := newClock(c, old)
	k.st, k.c = st, c
	k.keep(old)
	return k
}

// keep writes what changed. It does not wait for the disk: the first commit that relies on it syncs it, too.
func (k *clock) keep(old clockMark) {
	now := k.mark()
	if k.c.ReadOnly || now == old || k.c.Boot == "" && now.Ahead == old.Ahead {
		return
	}
	v, _ := json.Marshal(now) // cannot fail
	b := k.st.NewBatch()
	b.Doc(clockDocs, clockDoc, v)
	if err := k.st.CommitLazily(b); err != nil {
		k.c.Logger.Error("record the clock", "problem", err)
	}
}

// clockSet follows a step of the wall clock: the runs whose timers are armed look again when their Timestamps are due.
func (e *Engine) clockSet(ids []store.ID) {
	e.background(func(ctx context.Context) {
		e.clock.keep(clockMark{})
		for _, id := range ids {
			if ctx.Err() != nil {
				return // the next engine sees by their records that the clock was set
			}
			e.fire(id)
		}
	})
}

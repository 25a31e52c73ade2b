package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// settable is a wall clock that the test sets, on a machine whose uptime is not affected.
type settable struct {
	boot   string
	booted time.Time
	ahead  atomic.Int64
}

func newSettable(boot string) *settable { return &settable{boot: boot, booted: time.Now()} }

func (s *settable) set(by time.Duration) { s.ahead.Add(int64(by)) }

func (s *settable) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func (s *settable) config(c *engine.Config) {
	c.Now, c.Boot = s.now, s.boot
	c.Uptime = func() time.Duration { return time.Since(s.booted) }
}

// waitUntil returns a definition that waits for a time of the wall clock.
func waitUntil(t time.Time) string {
	return fmt.Sprintf(`{"StartAt":"W","States":{"W":{"Type":"Wait","Timestamp":%q,"End":true}}}`, t.UTC().Format(time.RFC3339))
}

// relative has definitions that take one minute, independent of the wall clock.
var relative = map[string]struct {
	definition string
	status     stepfn.Status
}{
	"wait":    {wait(60), stepfn.Succeeded},
	"timeout": {`{"StartAt":"T","States":{"T":{"Type":"Task","TimeoutSeconds":60,"Resource":"arn:aws:states:::test:do.sync","End":true}}}`, stepfn.Failed},
	"heartbeat": {`{"StartAt":"T","States":{"T":{"Type":"Task","TimeoutSeconds":9000,"HeartbeatSeconds":60,
		"Resource":"arn:aws:states:::test:do.sync","End":true}}}`, stepfn.Failed},
	"retry": {`{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:fail","Retry":[{"ErrorEquals":["States.TaskFailed"],
		"IntervalSeconds":60,"MaxAttempts":1}],"End":true}}}`, stepfn.Failed},
	"execution": {`{"StartAt":"T","TimeoutSeconds":60,"States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","End":true}}}`,
		stepfn.TimedOut},
}

func hang(ctx context.Context, req *task.Request) task.Result {
	if req.Resource == "arn:aws:states:::test:fail" {
		return task.Fail("Oops", "")
	}
	<-ctx.Done()
	return task.Result{Stopped: "it waits no longer"}
}

var clockSteps = map[string]time.Duration{
	"forward beyond": 2 * time.Hour, "forward a bit": 20 * time.Second, "back": -24 * time.Hour, "back a bit": -30 * time.Second,
}

// Setting the wall clock does not affect the duration of a wait, a timeout, a heartbeat, the interval of a retry, or the timeout of an
// execution. The times in the history do not go back.
func TestClockSteps(t *testing.T) {
	for name, step := range clockSteps {
		for kind, c := range relative {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					clock := newSettable("")
					e := open(t, vfs.NewMem(), hang, clock.config)
					x := start(t, e, "a", c.definition, `{}`)
					begin := time.Now()
					time.Sleep(10 * time.Second)
					clock.set(step)
					x = end(t, e, x.ARN)
					if took := time.Since(begin); took != time.Minute || x.Status != c.status {
						t.Errorf("%s after %s, want %s after a minute", x.Status, took, c.status)
					}
					if x.Stopped.Before(x.Started.Add(time.Minute)) {
						t.Errorf("started %s, stopped %s", x.Started, x.Stopped)
					}
					closeEngine(t, e)
				})
			})
		}
	}
}

// An execution that starts after the clock was set has the new time, and takes as long as before.
func TestClockStepThenStart(t *testing.T) {
	for name, step := range clockSteps {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := newSettable("")
				e := open(t, vfs.NewMem(), nil, clock.config)
				clock.set(step)
				x := end(t, e, start(t, e, "a", wait(60), `{}`).ARN)
				if took := x.Stopped.Sub(x.Started); took != time.Minute || clock.now().Sub(x.Stopped) > time.Second {
					t.Errorf("it took %s and ended %s, now it is %s", took, x.Stopped, clock.now())
				}
				closeEngine(t, e)
			})
		})
	}
}

// A Wait with a Timestamp follows the wall clock.
func TestClockStepMovesTimestamp(t *testing.T) {
	for name, c := range map[string]struct{ step, want time.Duration }{
		"forward beyond": {2 * time.Hour, 10 * time.Second},
		"forward a bit":  {20 * time.Second, 40 * time.Second},
		"back":           {-10 * time.Minute, 11 * time.Minute},
		"back a bit":     {-30 * time.Second, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := newSettable("")
				e := open(t, vfs.NewMem(), nil, clock.config)
				begin := time.Now()
				x := start(t, e, "a", waitUntil(clock.now().Add(time.Minute)), `{}`)
				time.Sleep(10 * time.Second)
				clock.set(c.step)
				x = end(t, e, x.ARN)
				if took := time.Since(begin); took < c.want || took > c.want+2*time.Second {
					t.Errorf("it took %s, want %s", took, c.want)
				}
				if x.LastEventID != 4 {
					t.Errorf("it has %d events", x.LastEventID)
				}
				closeEngine(t, e)
			})
		})
	}
}

// On a busy machine, time may pass between reading one clock and the other. This must not look as if the wall clock was set.
func TestClockOnABusyMachine(t *testing.T) {
	for _, c := range []struct{ between, step, want time.Duration }{
		{0, 0, 0},
		{0, 700 * time.Millisecond, 700 * time.Millisecond},
		{0, -time.Hour, -time.Hour},
		{0, 300 * time.Millisecond, 0},
		{700 * time.Millisecond, 0, 0},
	} {
		var wall, uptime, between time.Duration
		now := engine.NewClock(func() time.Time {
			uptime += between
			return time.Unix(1e9, 0).Add(wall)
		}, func() time.Duration { return uptime })
		wall, uptime, between = time.Minute+c.step, time.Minute, c.between
		if at := now(); at.Ahead != c.want {
			t.Errorf("%s between the readings, set by %s: the clock is ahead by %s, want %s", c.between, c.step, at.Ahead, c.want)
		}
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// After a restart of the process without a reboot, it does not matter whether the clock was set before, between or after the two engines.
// After a reboot, the time that the machine was off is known only from the wall clock.
func TestClockStepsOverRestart(t *testing.T) {
	for name, c := range map[string]struct {
		before, between int // seconds by which the clock is set
		reboot          bool
		want            int // seconds of a wait of 10 minutes
		until           int // seconds of a Timestamp in 10 minutes
	}{
		"nothing":             {0, 0, false, 600, 600},
		"forward before":      {300, 0, false, 600, 300},
		"back before":         {-300, 0, false, 600, 900},
		"forward between":     {0, 300, false, 600, 300},
		"back between":        {0, -300, false, 600, 900},
		"back and forward":    {-7200, 7500, false, 600, 300},
		"reboot":              {0, 0, true, 600, 600},
		"set, then reboot":    {-300, 0, true, 600, 900},
		"set during the boot": {0, 300, true, 300, 300},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs, clock := vfs.NewMem(), newSettable("first")
				e := open(t, fs, nil, clock.config)
				begin := time.Now()
				relative := start(t, e, "relative", wait(600), `{}`)
				until := start(t, e, "until", waitUntil(clock.now().Add(10*time.Minute)), `{}`)
				time.Sleep(10 * time.Second)
				clock.set(seconds(c.before))
				time.Sleep(10 * time.Second)
				closeEngine(t, e)
				time.Sleep(40 * time.Second)
				clock.set(seconds(c.between))
				if c.reboot {
					clock.boot, clock.booted = "second", time.Now().Add(-5*time.Second)
				}
				e = open(t, fs, nil, clock.config)
				took := make(chan time.Duration)
				go func() {
					end(t, e, until.ARN)
					took <- time.Since(begin)
				}()
				end(t, e, relative.ARN)
				if took := time.Since(begin); (took - seconds(c.want)).Abs() > 2*time.Second {
					t.Errorf("Seconds took %s, want %s", took, seconds(c.want))
				}
				if took := <-took; (took - seconds(c.until)).Abs() > 2*time.Second {
					t.Errorf("Timestamp took %s, want %s", took, seconds(c.until))
				}
				closeEngine(t, e)
			})
		})
	}
}

// If the clock was set while an execution was interrupted, its deadline is computed again when it is resumed, also after another restart.
func TestClockStepWhileInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, clock := vfs.NewMem(), newSettable("first")
		e := open(t, fs, nil, clock.config)
		begin := time.Now()
		x := start(t, e, "a", waitUntil(clock.now().Add(12*time.Minute)), `{}`)
		closeEngine(t, e)
		clock.set(5 * time.Minute)
		paused := func(c *engine.Config) { c.Paused = true }
		closeEngine(t, open(t, fs, nil, clock.config, paused))
		e = open(t, fs, nil, clock.config, paused)
		if err := e.Resume(t.Context(), x.ARN); err != nil {
			t.Fatal(err)
		}
		end(t, e, x.ARN)
		if took := time.Since(begin); (took - 7*time.Minute).Abs() > 2*time.Second {
			t.Errorf("it took %s, want 7m", took)
		}
		closeEngine(t, e)
	})
}

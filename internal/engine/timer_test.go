package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

func wait(seconds int) string {
	return fmt.Sprintf(`{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":%d,"End":true}}}`, seconds)
}

func TestWaitTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, vfs.NewMem(), nil)
		for _, seconds := range []int{90, 5, 30} {
			start(t, e, fmt.Sprint("w", seconds), wait(seconds), `{}`)
		}
		begin := time.Now()
		for _, seconds := range []int{5, 30, 90} {
			x := end(t, e, "arn:aws:states:us-east-1:123456789012:execution:m:w"+fmt.Sprint(seconds))
			if took := time.Since(begin); took != time.Duration(seconds)*time.Second {
				t.Errorf("a wait of %d seconds took %s", seconds, took)
			}
			if got := x.Stopped.Sub(x.Started); got != time.Duration(seconds)*time.Second {
				t.Errorf("a wait of %d seconds took %s according to its history", seconds, got)
			}
		}
		closeEngine(t, e)
	})
}

func closeEngine(t *testing.T, e *engine.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// A timer survives a restart, even if its deadline passes while no engine runs.
func TestWaitOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e := open(t, fs, nil)
		short, long := start(t, e, "short", wait(10), `{}`), start(t, e, "long", wait(100), `{}`)
		closeEngine(t, e)
		time.Sleep(50 * time.Second)
		begin := time.Now()
		e = open(t, fs, nil)
		end(t, e, short.ARN)
		if took := time.Since(begin); took != 0 {
			t.Errorf("the wait whose deadline had passed took %s more", took)
		}
		end(t, e, long.ARN)
		if took := time.Since(begin); took != 50*time.Second {
			t.Errorf("the other wait took %s more", took)
		}
		closeEngine(t, e)
	})
}

func TestTimeoutStopsTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stopped atomic.Bool
		e := open(t, vfs.NewMem(), func(ctx context.Context, req *task.Request) task.Result {
			req.Report("it waits")
			req.Report("it waits for a machine")
			<-ctx.Done()
			stopped.Store(errors.Is(context.Cause(ctx), task.ErrStop))
			time.Sleep(3 * time.Second) // the runner needs time to stop the work
			return task.Result{Output: []byte(`"late"`)}
		})
		begin := time.Now()
		x := end(t, e, start(t, e, "a", `{"StartAt":"T","States":{"T":{"Type":"Task","TimeoutSeconds":20,
			"Resource":"arn:aws:states:::test:do.sync","End":true}}}`, `{}`).ARN)
		if x.Cause != "it waits for a machine" {
			t.Errorf("the cause is %q", x.Cause)
		}
		if x.Status != stepfn.Failed || x.Error != "States.Timeout" || time.Since(begin) != 20*time.Second {
			t.Errorf("%s %s after %s", x.Status, x.Error, time.Since(begin))
		}
		closeEngine(t, e)
		if !stopped.Load() {
			t.Error("the runner was not stopped")
		}
	})
}

// No warning is logged for a runner that confirms a stop immediately, even if watchStop starts only after that.
func TestConfirmedStopIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e := open(t, fs, func(ctx context.Context, _ *task.Request) task.Result {
			on, cancel := task.UntilAbandoned(ctx)
			defer cancel()
			<-on.Done()
			return task.Result{}
		})
		x := start(t, e, "a", oneTask, `{}`)
		if _, err := e.Stop(x.ARN, "", ""); err != nil {
			t.Fatal(err)
		}
		closeEngine(t, e) // the stop is not confirmed: the next engine requests it again, with a context that has ended
		var asked atomic.Int32
		var logged bytes.Buffer
		e = open(t, fs, func(context.Context, *task.Request) task.Result {
			asked.Add(1)
			return task.Result{}
		}, func(c *engine.Config) { c.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
		time.Sleep(time.Hour)
		closeEngine(t, e)
		if asked.Load() != 1 || strings.Contains(logged.String(), "has not confirmed") {
			t.Errorf("the runner was called %d times to stop; the log:\n%s", asked.Load(), logged.String())
		}
	})
}

func TestRetryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		e := open(t, vfs.NewMem(), func(_ context.Context, req *task.Request) task.Result {
			if attempts++; req.Attempt != attempts {
				t.Errorf("attempt %d is numbered %d", attempts, req.Attempt)
			}
			return task.Fail("Oops", "")
		})
		begin := time.Now()
		end(t, e, start(t, e, "a", `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync",
			"Retry":[{"ErrorEquals":["Oops"],"IntervalSeconds":10,"MaxAttempts":2,"BackoffRate":3}],"End":true}}}`, `{}`).ARN)
		if took := time.Since(begin); attempts != 3 || took != 40*time.Second {
			t.Errorf("%d attempts in %s", attempts, took)
		}
		closeEngine(t, e)
	})
}

func TestRetentionDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, vfs.NewMem(), nil, func(c *engine.Config) { c.Retention = time.Hour })
		x := start(t, e, "a", pass, `{}`)
		time.Sleep(59 * time.Minute)
		if _, err := e.Describe(x.ARN); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Minute)
		if _, err := e.Describe(x.ARN); !errors.Is(err, engine.ErrExecutionDoesNotExist) {
			t.Errorf("after the retention: %v", err)
		}
		closeEngine(t, e)
	})
}

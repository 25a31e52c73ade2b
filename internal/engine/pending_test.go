package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

const twice = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","End":true,
	"Retry":[{"ErrorEquals":["Late"],"IntervalSeconds":1,"MaxAttempts":1}]}}}`

// givesUp is a runner whose first attempt gives up and stops when release is closed; further attempts succeed.
func givesUp(t *testing.T, release <-chan struct{}, began func(attempt int)) fake {
	return func(ctx context.Context, req *task.Request) task.Result {
		began(req.Attempt)
		if req.Attempt > 1 {
			return task.Result{Output: []byte(`1`)}
		}
		if ctx.Err() == nil {
			if err := req.GiveUp("Late", "no room"); err != nil {
				t.Error(err)
			}
		}
		if cause := context.Cause(ctx); !errors.Is(cause, task.ErrStop) {
			t.Errorf("after GiveUp the context's cause is %v", cause)
		}
		<-release
		return task.Result{Stopped: "killed"}
	}
}

// When a runner gives up, the attempt fails immediately. The next attempt waits until the stop is confirmed.
func TestGiveUp(t *testing.T) { synctest.Test(t, giveUp) }

func giveUp(t *testing.T) {
	release := make(chan struct{})
	var began []int
	e := open(t, vfs.NewMem(), givesUp(t, release, func(n int) { began = append(began, n) }))
	x := start(t, e, "a", twice, `{}`)
	time.Sleep(time.Minute)
	synctest.Wait()
	want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskFailed", "TaskScheduled", "TaskStarted"}
	if diff := cmp.Diff(want, types(t, e, x.ARN)); diff != "" || !slices.Equal(began, []int{1}) {
		t.Errorf("attempts %v started before the stop was confirmed; the history: %s", began, diff)
	}
	waits, err := e.Pending(x.ARN)
	if err != nil || len(waits) != 1 || waits[0].Attempt != 2 || waits[0].Event != 7 || waits[0].Reason != "the previous attempt is being stopped" {
		t.Errorf("pending is %+v, %v", waits, err)
	}
	close(release)
	if x := end(t, e, x.ARN); x.Status != stepfn.Succeeded || !slices.Equal(began, []int{1, 2}) {
		t.Errorf("%s after the attempts %v", x.Status, began)
	}
	awaitEffects(t, e, x.ARN)
	if got, err := e.CleanupReport(x.ARN); err != nil || len(got) != 1 || got[0].Outcome != "killed" || got[0].Attempt != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// After a crash, the next engine requests the stop again, and the next attempt still waits for it.
func TestGiveUpThenCrash(t *testing.T) { synctest.Test(t, giveUpThenCrash) }

func giveUpThenCrash(t *testing.T) {
	fs, release := vfs.NewCrashableMem(), make(chan struct{})
	e := open(t, fs, givesUp(t, release, func(int) {}))
	x := start(t, e, "a", twice, `{}`)
	time.Sleep(time.Minute)
	synctest.Wait()
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	if left, err := e.PendingEffects(x.ARN); err != nil || left != 2 {
		t.Errorf("%d effects are pending, %v; want the stop and the next attempt", left, err)
	}
	close(release)
	release = make(chan struct{})
	var began []int
	e = open(t, crashed, givesUp(t, release, func(n int) { began = append(began, n) }))
	time.Sleep(time.Minute)
	synctest.Wait()
	if !slices.Equal(began, []int{1}) {
		t.Errorf("the attempts %v started before the stop was confirmed", began)
	}
	close(release)
	if x := end(t, e, x.ARN); x.Status != stepfn.Succeeded {
		t.Errorf("%s %s: %s", x.Status, x.Error, x.Cause)
	}
}

// The reason why a task is pending becomes the cause of its timeout, unless the runner reports another cause.
func TestTimeoutWhilePending(t *testing.T) { synctest.Test(t, timeoutWhilePending) }

func timeoutWhilePending(t *testing.T) {
	const timed = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","TimeoutSeconds":1,"End":true}}}`
	for _, report := range []string{"", "no room; the job is deleted"} {
		e := open(t, vfs.NewMem(), func(ctx context.Context, req *task.Request) task.Result {
			req.Pending("no room", time.Now())
			if report != "" {
				req.Report(report)
			}
			<-ctx.Done()
			return task.Result{}
		})
		want := "no room"
		if report != "" {
			want = report
		}
		if x := end(t, e, start(t, e, "a", timed, `{}`).ARN); x.Error != "States.Timeout" || x.Cause != want {
			t.Errorf("%s: %q, want %q", x.Error, x.Cause, want)
		}
	}
}

func TestPending(t *testing.T) { synctest.Test(t, pending) }

func pending(t *testing.T) {
	e := open(t, vfs.NewMem(), func(_ context.Context, req *task.Request) task.Result {
		since := time.Now()
		req.Pending("the environment is being set up", since)
		time.Sleep(10 * time.Second)
		req.Pending("no room", since)
		time.Sleep(10 * time.Second)
		req.Pending("", time.Time{})
		time.Sleep(10 * time.Second)
		req.Pending("last reason", since)
		return task.Result{Output: []byte(`1`)}
	})
	begin := time.Now()
	x := start(t, e, "a", oneTask, `{}`)
	for _, want := range []string{"the environment is being set up", "no room", "", ""} {
		time.Sleep(5 * time.Second)
		synctest.Wait()
		got, err := e.Pending(x.ARN)
		if err != nil || (want == "") != (len(got) == 0) {
			t.Fatalf("after %s: %+v, %v", time.Since(begin), got, err)
		}
		if want != "" && (got[0].Reason != want || !got[0].Since.Equal(begin) || got[0].State != "T" || got[0].Attempt != 1 || got[0].Event != 4) {
			t.Errorf("after %s: %+v", time.Since(begin), got[0])
		}
		time.Sleep(5 * time.Second)
	}
	if _, err := e.Pending(x.ARN + "-none"); !errors.Is(err, engine.ErrExecutionDoesNotExist) {
		t.Errorf("of an unknown execution: %v", err)
	}
}

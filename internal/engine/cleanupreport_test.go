package engine_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

// The outcome of the work that an abort stopped is known only after the last event of the history. It is in the cleanup report, also of
// the next engine, and not in the history.
func TestCleanupReportOfAnAbort(t *testing.T) {
	const sweeper = "arn:aws:states:us-east-1:123456789012:stateMachine:sweeper"
	fs := vfs.NewMem()
	running := make(chan struct{})
	e := open(t, fs, func(ctx context.Context, _ *task.Request) task.Result {
		close(running)
		<-ctx.Done()
		return task.Result{Cause: "not used", Stopped: "deleted the job"}
	}, with(machines{sweeper: pass}))
	r := request("a", oneTask, `{}`)
	r.Cleanup = sweeper
	x, err := e.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	<-running
	if _, err := e.Stop(x.ARN, "", "why not"); err != nil {
		t.Fatal(err)
	}
	awaitEffects(t, e, x.ARN)
	before := types(t, e, x.ARN)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, fs, nil)
	got, err := e.CleanupReport(x.ARN)
	if err != nil {
		t.Fatal(err)
	}
	cleanup := sweep(t, e, sweeper)
	want := []engine.CleanupEntry{
		{Type: engine.TaskStopped, State: "T", Attempt: 1, Resource: "arn:aws:states:::test:do.sync", Outcome: "deleted the job"},
		{Type: engine.CleanupStarted, Execution: cleanup},
	}
	byType := cmpopts.SortSlices(func(a, b engine.CleanupEntry) bool { return a.Type > b.Type }) // their order is not defined
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(engine.CleanupEntry{}, "Time"), byType); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, types(t, e, x.ARN)); diff != "" || before[len(before)-1] != "ExecutionAborted" {
		t.Errorf("the history was %v, and then changed: %s", before, diff)
	}
}

// A task that times out is stopped, too, and is in the report. An attempt that ends by itself is not.
func TestCleanupReportOfATimeout(t *testing.T) { synctest.Test(t, cleanupReportOfATimeout) }

func cleanupReportOfATimeout(t *testing.T) {
	const timed = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","TimeoutSeconds":1,"End":true}}}`
	e := open(t, vfs.NewMem(), func(ctx context.Context, req *task.Request) task.Result {
		if req.Deadline.IsZero() {
			return task.Result{Output: []byte(`1`), Stopped: "not stopped at all"}
		}
		<-ctx.Done()
		return task.Result{Stopped: "gone"}
	})
	x := end(t, e, start(t, e, "late", timed, `{}`).ARN)
	awaitEffects(t, e, x.ARN)
	if got, err := e.CleanupReport(x.ARN); err != nil || len(got) != 1 || got[0].Outcome != "gone" {
		t.Errorf("%s: %+v, %v", x.Status, got, err)
	}
	x = end(t, e, start(t, e, "soon", oneTask, `{}`).ARN)
	if got, err := e.CleanupReport(x.ARN); err != nil || len(got) != 0 {
		t.Errorf("%s: %+v, %v", x.Status, got, err)
	}
	if _, err := e.CleanupReport(x.ARN + "-none"); err == nil {
		t.Error("CleanupReport of an unknown execution succeeded")
	}
}

// awaitEffects waits until a closed execution has no pending effects.
func awaitEffects(t *testing.T, e *engine.Engine, arn string) {
	t.Helper()
	until(t, func() (any, bool) {
		n, err := e.PendingEffects(arn)
		if err != nil {
			t.Fatal(err)
		}
		return n, n == 0
	})
}

// sweep returns the ARN of the only execution of the cleanup machine.
func sweep(t *testing.T, e *engine.Engine, machine string) string {
	t.Helper()
	page, err := e.List(engine.ListFilter{MachineARN: machine})
	if err != nil || len(page.Executions) != 1 {
		t.Fatalf("%d executions, %v", len(page.Executions), err)
	}
	return page.Executions[0].ARN
}

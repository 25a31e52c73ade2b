package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

func paused(c *engine.Config) { c.Paused = true }

// A paused engine does not drive the executions that it finds until they are resumed, resumes each only once, and drives new ones.
func TestPausedEngine(t *testing.T) {
	fs := vfs.NewMem()
	e := open(t, fs, func(ctx context.Context, _ *task.Request) task.Result {
		<-ctx.Done()
		return task.Result{}
	})
	first, second := start(t, e, "first", oneTask, `{}`), start(t, e, "second", oneTask, `{}`)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	runs := make(chan string, 8)
	e = open(t, fs, func(_ context.Context, req *task.Request) task.Result {
		runs <- req.Execution
		return task.Result{Output: []byte(`1`)}
	}, paused)
	if n, err := e.PendingEffects(first.ARN); err != nil || n != 1 {
		t.Errorf("PendingEffects of an interrupted execution: %d, %v", n, err)
	}
	if x := end(t, e, start(t, e, "new", oneTask, `{}`).ARN); x.Status != stepfn.Succeeded {
		t.Errorf("a new execution ended %s", x.Status)
	}
	for range 2 {
		if err := e.Resume(t.Context(), second.ARN); err != nil {
			t.Fatal(err)
		}
	}
	if x := end(t, e, second.ARN); x.Status != stepfn.Succeeded {
		t.Errorf("the resumed execution ended %s", x.Status)
	}
	if x, err := e.Describe(first.ARN); err != nil || x.Status != stepfn.Running {
		t.Errorf("the execution that was not resumed is %s, %v", x.Status, err)
	}
	if err := e.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	end(t, e, first.ARN)
	if n, err := e.PendingEffects(first.ARN); err != nil || n != 0 {
		t.Errorf("PendingEffects of an ended execution: %d, %v", n, err)
	}
	close(runs)
	var got []string
	for arn := range runs {
		got = append(got, arn[len(arn)-5:])
	}
	if len(got) != 3 {
		t.Errorf("the runner was called for %v, want each execution once", got)
	}
	if err := e.Resume(t.Context(), "arn:aws:states:us-east-1:123456789012:execution:m:none"); err == nil {
		t.Error("Resume of an unknown execution succeeded")
	}
}

// In a paused engine, a redriven execution continues immediately. Resuming it as well must not start its task a second time.
func TestRedriveInPausedEngine(t *testing.T) {
	fs := vfs.NewMem()
	e := open(t, fs, func(context.Context, *task.Request) task.Result { return task.Result{Error: "Broken"} })
	arn := end(t, e, start(t, e, "first", oneTask, `{}`).ARN).ARN
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	began, proceed := make(chan struct{}, 8), make(chan struct{})
	e = open(t, fs, func(context.Context, *task.Request) task.Result {
		began <- struct{}{}
		<-proceed
		return task.Result{Output: []byte(`1`)}
	}, paused)
	if _, err := e.Redrive(arn); err != nil {
		t.Fatal(err)
	}
	if err := e.Resume(t.Context(), arn); err != nil {
		t.Fatal(err)
	}
	close(proceed)
	x := end(t, e, arn)
	closeEngine(t, e) // it waits for all runners, so that no further one can start
	if x.Status != stepfn.Succeeded || len(began) != 1 {
		t.Errorf("%s, its task was started %d times", x.Status, len(began))
	}
}

// Stopping an interrupted execution stops its work, although the execution was not resumed.
func TestStopOfInterruptedExecution(t *testing.T) {
	fs := vfs.NewMem()
	e := open(t, fs, func(ctx context.Context, _ *task.Request) task.Result {
		<-ctx.Done()
		return task.Result{}
	})
	arn := start(t, e, "first", oneTask, `{}`).ARN
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan bool, 1)
	e = open(t, fs, func(ctx context.Context, req *task.Request) task.Result {
		<-ctx.Done()
		stopped <- req.Resumed && errors.Is(context.Cause(ctx), task.ErrStop)
		return task.Result{}
	}, paused)
	if resting, err := e.Interrupted(); err != nil || len(resting) != 1 || resting[0] != arn {
		t.Errorf("resting: %v, %v", resting, err)
	}
	if _, err := e.Stop(arn, "", ""); err != nil {
		t.Fatal(err)
	}
	if !<-stopped {
		t.Error("the runner was not called to stop the work that an earlier engine started")
	}
	if resting, err := e.Interrupted(); err != nil || len(resting) != 0 {
		t.Errorf("resting after the stop: %v, %v", resting, err)
	}
}

// The children of a distributed Map are interrupted and resumed with the execution that started them.
func TestResumeOfMapChildren(t *testing.T) {
	fs := vfs.NewMem()
	started := make(chan struct{}, 8)
	e := open(t, fs, func(ctx context.Context, _ *task.Request) task.Result {
		started <- struct{}{}
		<-ctx.Done()
		return task.Result{}
	})
	arn := start(t, e, "first", distributed(""), `[1,2,3]`).ARN
	for range 3 {
		<-started
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, fs, func(_ context.Context, req *task.Request) task.Result {
		return task.Result{Output: req.Input}
	}, paused)
	if resting, err := e.Interrupted(); err != nil || len(resting) != 4 {
		t.Errorf("resting: %v, %v", resting, err)
	}
	if err := e.Resume(t.Context(), arn); err != nil {
		t.Fatal(err)
	}
	if x := end(t, e, arn); x.Status != stepfn.Succeeded {
		t.Errorf("it ended %s: %s", x.Status, x.Cause)
	}
}

// dueThen waits for a minute, and then enters a state that must not be entered.
const dueThen = `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":60,"Next":"Poison"},
 "Poison":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","End":true}}}`

// Stopping an interrupted execution does not fire a timer that is due, neither its own nor those of its children.
func TestStopOfInterruptedExecutionRunsNothing(t *testing.T) {
	for name, definition := range map[string]string{
		"wait": dueThen,
		"map": `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":{
			"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},` + dueThen[1:] + `}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := vfs.NewMem()
				e := open(t, fs, nil)
				arn := start(t, e, "first", definition, `[1,2,3]`).ARN
				synctest.Wait()
				closeEngine(t, e)
				time.Sleep(time.Hour)
				e = open(t, fs, func(context.Context, *task.Request) task.Result {
					t.Error("a state was entered")
					return task.Result{}
				}, paused)
				if _, err := e.Stop(arn, "", ""); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if resting, err := e.Interrupted(); err != nil || len(resting) != 0 {
					t.Errorf("resting after the stop: %v, %v", resting, err)
				}
				runs, _, err := e.MapRuns(arn, "", 0)
				for _, m := range runs {
					page, lerr := e.List(engine.ListFilter{MapRunARN: m.ARN, Status: stepfn.Aborted})
					if lerr != nil || len(page.Executions) != 3 {
						t.Errorf("%d children are aborted, %v", len(page.Executions), lerr)
					}
				}
				if x, derr := e.Describe(arn); err != nil || derr != nil || x.Status != stepfn.Aborted {
					t.Errorf("%s, %v, %v", x.Status, err, derr)
				}
				closeEngine(t, e)
				sound(t, fs)
			})
		})
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

const machineARN = "arn:aws:states:us-east-1:123456789012:stateMachine:m"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// fake is a runner that calls a function of the test.
type fake func(ctx context.Context, req *task.Request) task.Result

func (f fake) Run(ctx context.Context, req *task.Request) task.Result { return f(ctx, req) }

func open(t *testing.T, fs vfs.FS, run fake, more ...func(*engine.Config)) *engine.Engine {
	t.Helper()
	c := engine.Config{Dir: "state", FS: fs, Logger: quiet}
	if run != nil {
		c.Runners = map[string]task.Runner{"arn:aws:states:::test:": run}
	}
	for _, m := range more {
		m(&c)
	}
	e, err := engine.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func start(t *testing.T, e *engine.Engine, name, definition, input string) engine.Execution {
	t.Helper()
	x, err := e.Start(t.Context(), request(name, definition, input))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func request(name, definition, input string) engine.StartRequest {
	return engine.StartRequest{MachineARN: machineARN, Name: name, Definition: []byte(definition), Input: []byte(input)}
}

// patience is the maximum time that a test waits, long enough for a busy machine.
const patience = 5 * time.Minute

// until polls until see returns true. saw is for the message of a timeout.
func until(t *testing.T, see func() (saw any, ok bool)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		saw, ok := see()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout after %s, last seen: %v", patience, saw)
		}
	}
}

// end waits for the end of an execution. The timeout is for each event, because some definitions wait ten minutes (of synctest's time).
func end(t *testing.T, e *engine.Engine, arn string) engine.Execution {
	t.Helper()
	for after := int64(0); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		w, err := e.Watch(ctx, arn, after)
		cancel()
		if err != nil {
			t.Errorf("after event %d of %s: %v", after, arn, err)
			t.Fatalf("the events: %v", types(t, e, arn))
		}
		if w.Closed {
			break
		}
		after = w.LastEventID
	}
	x, err := e.Describe(arn)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// types returns the types of an execution's events, and checks that their ids are consecutive.
func types(t *testing.T, e *engine.Engine, arn string) []string {
	t.Helper()
	events, err := e.History(arn, engine.HistoryQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, ev := range events {
		if ev.ID != int64(i+1) {
			t.Errorf("event %d has id %d", i+1, ev.ID)
		}
		out = append(out, string(ev.Type))
	}
	return out
}

const pass = `{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`

const oneTask = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","End":true}}}`

const waiting = `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":3600,"End":true}}}`

func TestPassEndsImmediately(t *testing.T) {
	e := open(t, vfs.NewMem(), nil)
	x := start(t, e, "a", pass, `{"a":1}`)
	if x.Status != stepfn.Succeeded || string(x.Output) != `{"a":1}` {
		t.Errorf("Start returned %s with %s", x.Status, x.Output)
	}
	again, err := e.Describe(x.ARN)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(x, again); diff != "" {
		t.Errorf("the results of Start and Describe differ:\n%s", diff)
	}
	want := []string{"ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"}
	if diff := cmp.Diff(want, types(t, e, x.ARN)); diff != "" {
		t.Error(diff)
	}
}

func TestHistoryPages(t *testing.T) {
	e := open(t, vfs.NewMem(), func(_ context.Context, req *task.Request) task.Result {
		_ = req.Submitted([]byte(`{}`))
		return task.Result{Output: []byte("1")}
	})
	x := end(t, e, start(t, e, "a", oneTask, `{}`).ARN)
	all, err := e.History(x.ARN, engine.HistoryQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(all)) != x.LastEventID {
		t.Errorf("%d events, the last id is %d", len(all), x.LastEventID)
	}
	for _, reverse := range []bool{false, true} {
		var ids []int64
		for q := (engine.HistoryQuery{Limit: 2, Reverse: reverse}); ; {
			page, err := e.History(x.ARN, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range page {
				ids = append(ids, ev.ID)
			}
			if len(page) < q.Limit {
				break
			}
			q.After = page[len(page)-1].ID
			if reverse && q.After == 1 {
				break
			}
		}
		want := idsOf(all)
		if reverse {
			for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
				want[i], want[j] = want[j], want[i]
			}
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("reverse %t: %s", reverse, diff)
		}
	}
}

func idsOf(events []history.Event) (ids []int64) {
	for _, ev := range events {
		ids = append(ids, ev.ID)
	}
	return ids
}

func TestNames(t *testing.T) {
	e := open(t, vfs.NewMem(), nil)
	first := start(t, e, "n", waiting, `{"a":1}`)
	if again := start(t, e, "n", waiting, `{"a":1}`); again.ARN != first.ARN || !again.Started.Equal(first.Started) {
		t.Errorf("a second start with the same input returned %s, started %s", again.ARN, again.Started)
	}
	var exists *engine.AlreadyExistsError
	if _, err := e.Start(t.Context(), request("n", waiting, `{"a":2}`)); !errors.As(err, &exists) {
		t.Errorf("start with another input: %v", err)
	}
	if _, err := e.Stop(first.ARN, "E", "C"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start(t.Context(), request("n", waiting, `{"a":1}`)); !errors.As(err, &exists) {
		t.Errorf("start with the name of a closed execution: %v", err)
	}
	x, err := e.Describe(first.ARN)
	if err != nil || x.Status != stepfn.Aborted || x.Error != "E" || x.Cause != "C" {
		t.Errorf("after stop: %+v, %v", x, err)
	}
}

// Concurrent starts with the same name create one execution.
func TestConcurrentStartsOfOneName(t *testing.T) {
	e := open(t, vfs.NewMem(), nil)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := e.Start(t.Context(), request("n", waiting, `{}`)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	page, err := e.List(engine.ListFilter{MachineARN: machineARN})
	if err != nil || len(page.Executions) != 1 {
		t.Errorf("%d executions, %v", len(page.Executions), err)
	}
}

func TestList(t *testing.T) {
	e := open(t, vfs.NewMem(), nil)
	var want []string
	for i := range 7 {
		definition := pass
		if i%2 == 0 {
			definition = waiting
		}
		want = append([]string{start(t, e, fmt.Sprint("x", i), definition, `{}`).Name}, want...)
	}
	got := names(t, e, engine.ListFilter{MachineARN: machineARN, Limit: 2})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all, by pages of 2: %s", diff)
	}
	got = names(t, e, engine.ListFilter{MachineARN: machineARN, Status: stepfn.Running})
	if diff := cmp.Diff([]string{"x6", "x4", "x2", "x0"}, got); diff != "" {
		t.Errorf("the running ones: %s", diff)
	}
	got = names(t, e, engine.ListFilter{})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("of all machines: %s", diff)
	}
	if _, err := e.List(engine.ListFilter{MachineARN: machineARN, Token: "!"}); !errors.Is(err, engine.ErrInvalidPage) {
		t.Errorf("an invalid token: %v", err)
	}
}

// names returns the names of the executions that a filter selects, from all pages.
func names(t *testing.T, e *engine.Engine, f engine.ListFilter) (out []string) {
	t.Helper()
	for {
		page, err := e.List(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page.Executions {
			out = append(out, x.Name)
		}
		if f.Token = page.Next; f.Token == "" {
			return out
		}
	}
}

func TestTaskWithoutRunnerFails(t *testing.T) {
	e := open(t, vfs.NewMem(), nil)
	x := end(t, e, start(t, e, "a", oneTask, `{}`).ARN)
	if x.Status != stepfn.Failed || !strings.Contains(x.Cause, "no task runner") {
		t.Errorf("%s: %s", x.Status, x.Cause)
	}
}

func TestRunnerPanicFailsTheTask(t *testing.T) {
	e := open(t, vfs.NewMem(), func(context.Context, *task.Request) task.Result { panic("oops") })
	x := end(t, e, start(t, e, "a", oneTask, `{}`).ARN)
	if x.Status != stepfn.Failed || !strings.Contains(x.Cause, "oops") {
		t.Errorf("%s: %s", x.Status, x.Cause)
	}
}

// Stop stops the runner and returns before the runner confirms the stop.
func TestAbortStopsTheTask(t *testing.T) {
	stopped := make(chan error, 1)
	running := make(chan struct{})
	e := open(t, vfs.NewMem(), func(ctx context.Context, _ *task.Request) task.Result {
		close(running)
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		return task.Result{}
	})
	x := start(t, e, "a", oneTask, `{}`)
	<-running
	if _, err := e.Stop(x.ARN, "", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-stopped; !errors.Is(err, task.ErrStop) {
		t.Errorf("the runner was stopped with the cause %v", err)
	}
	if x = end(t, e, x.ARN); x.Status != stepfn.Aborted {
		t.Errorf("it ended %s", x.Status)
	}
}

// Close abandons a task. The next engine resumes it with the records that the runner kept.
func TestReopenResumesTasks(t *testing.T) {
	fs := vfs.NewMem()
	kept := make(chan struct{})
	e := open(t, fs, func(ctx context.Context, req *task.Request) task.Result {
		if err := req.Keep("where", []byte("there")); err != nil {
			t.Error(err)
		}
		if err := req.Submitted([]byte(`{"Id":1}`)); err != nil {
			t.Error(err)
		}
		close(kept)
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, task.ErrAbandon) {
			t.Errorf("Close ended the task with the cause %v", cause)
		}
		return task.Result{Output: []byte(`"not used"`)}
	})
	x := start(t, e, "a", oneTask, `{}`)
	<-kept
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, fs, func(_ context.Context, req *task.Request) task.Result {
		if !req.Resumed || string(req.Records["where"]) != "there" {
			t.Errorf("resumed %t with the records %v", req.Resumed, req.Records)
		}
		if err := req.Submitted([]byte(`{"Id":2}`)); err != nil {
			t.Error(err)
		}
		return task.Result{Output: []byte(`"done"`)}
	})
	if x = end(t, e, x.ARN); string(x.Output) != `"done"` {
		t.Errorf("it ended %s with %s", x.Status, x.Output)
	}
	want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted",
		"TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"}
	if diff := cmp.Diff(want, types(t, e, x.ARN)); diff != "" {
		t.Error(diff)
	}
}

// A stop that was not confirmed before a crash is requested again.
func TestReopenStopsAgain(t *testing.T) {
	fs := vfs.NewCrashableMem()
	running := make(chan string, 1)
	release := make(chan struct{})
	e := open(t, fs, func(ctx context.Context, req *task.Request) task.Result {
		running <- req.ID
		<-ctx.Done()
		<-release
		return task.Result{}
	})
	x := start(t, e, "a", oneTask, `{"in":1}`)
	id := <-running
	if _, err := e.Stop(x.ARN, "", ""); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	close(release)
	again := make(chan *task.Request, 1)
	open(t, crashed, func(ctx context.Context, req *task.Request) task.Result {
		if !errors.Is(context.Cause(ctx), task.ErrStop) {
			t.Errorf("the context's cause is %v", context.Cause(ctx))
		}
		again <- req
		return task.Result{}
	})
	if req := <-again; req.ID != id || !req.Resumed || string(req.Input) != `{"in":1}` {
		t.Errorf("the request to stop is %+v", req)
	}
}

// A stop that was still pending when the engine closed is requested again.
func TestCloseDuringStop(t *testing.T) {
	fs := vfs.NewMem()
	running, stopping := make(chan struct{}), make(chan struct{})
	e := open(t, fs, func(ctx context.Context, _ *task.Request) task.Result {
		on, cancel := task.UntilAbandoned(ctx)
		defer cancel()
		close(running)
		<-ctx.Done()
		close(stopping)
		<-on.Done()
		return task.Result{}
	})
	x := start(t, e, "a", oneTask, `{}`)
	<-running
	if _, err := e.Stop(x.ARN, "", ""); err != nil {
		t.Fatal(err)
	}
	<-stopping
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	again := make(chan error, 1)
	open(t, fs, func(ctx context.Context, _ *task.Request) task.Result {
		again <- context.Cause(ctx)
		return task.Result{}
	})
	if err := <-again; !errors.Is(err, task.ErrStop) {
		t.Errorf("the stop was requested again with the cause %v", err)
	}
}

func TestTwoOwners(t *testing.T) {
	dir := t.TempDir()
	e, err := engine.Open(t.Context(), engine.Config{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var locked *store.LockedError
	if _, err := engine.Open(t.Context(), engine.Config{Dir: dir, Logger: quiet}); !errors.As(err, &locked) || locked.PID == 0 {
		t.Errorf("a second owner: %v", err)
	}
}

func TestClosedEngineRejectsStarts(t *testing.T) {
	e := open(t, vfs.NewMem(), nil)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start(t.Context(), request("a", pass, `{}`)); !errors.Is(err, engine.ErrClosing) {
		t.Error(err)
	}
}

func TestExpress(t *testing.T) {
	e := open(t, vfs.NewMem(), func(context.Context, *task.Request) task.Result {
		return task.Result{Output: []byte("7")}
	})
	x, err := e.StartSync(t.Context(), request("a", oneTask, `{}`))
	if err != nil || x.Status != stepfn.Succeeded || string(x.Output) != "7" || x.Type != stepfn.Express {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := e.Describe(x.ARN); !errors.Is(err, engine.ErrExpress) {
		t.Errorf("describe: %v", err)
	}
}

const callback = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.waitForTaskToken",
	"Parameters":{"Token.$":"$$.Task.Token"},"HeartbeatSeconds":1000,"End":true}}}`

func TestCallback(t *testing.T) {
	fs := vfs.NewMem()
	tokens := make(chan string, 1)
	run := func(_ context.Context, req *task.Request) task.Result {
		tokens <- req.Token
		return task.Result{Output: []byte(`{}`)}
	}
	e := open(t, fs, run)
	x := start(t, e, "a", callback, `{}`)
	token := <-tokens
	if err := e.TaskHeartbeat(token); err != nil {
		t.Error(err)
	}
	until(t, func() (any, bool) { // the engine has not yet recorded the runner's result
		events := types(t, e, x.ARN)
		return events, slices.Contains(events, "TaskSubmitted")
	})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, fs, run)
	if err := e.TaskSuccess(token, []byte(`{"ok":true}`)); err != nil {
		t.Fatal(err)
	}
	if x = end(t, e, x.ARN); string(x.Output) != `{"ok":true}` {
		t.Errorf("%s %s %s", x.Status, x.Output, x.Cause)
	}
	if err := e.TaskSuccess(token, []byte(`{}`)); !errors.Is(err, engine.ErrTaskTimedOut) {
		t.Errorf("a second success: %v", err)
	}
	if err := e.TaskSuccess("junk", []byte(`{}`)); !errors.Is(err, engine.ErrInvalidToken) {
		t.Errorf("an invalid token: %v", err)
	}
	want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted",
		"TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"}
	if diff := cmp.Diff(want, types(t, e, x.ARN)); diff != "" {
		t.Error(diff)
	}
}

const activityARN = "arn:aws:states:us-east-1:123456789012:activity:act"

const activity = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + activityARN + `","End":true}}}`

func TestActivity(t *testing.T) {
	fs := vfs.NewMem()
	e := open(t, fs, nil)
	x := start(t, e, "a", activity, `{"in":1}`)
	if err := e.Close(); err != nil { // the next engine makes the offer again
		t.Fatal(err)
	}
	e = open(t, fs, nil)
	got, err := e.GetActivityTask(t.Context(), activityARN, "worker")
	if err != nil || string(got.Input) != `{"in":1}` || got.Token == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if again, err := e.GetActivityTask(ctx, activityARN, "worker"); err != nil || again.Token != "" {
		t.Errorf("a second worker got %+v, %v", again, err)
	}
	if err := e.TaskFailure(got.Token, "Bad", "because"); err != nil {
		t.Fatal(err)
	}
	if x = end(t, e, x.ARN); x.Status != stepfn.Failed || x.Error != "Bad" {
		t.Errorf("%s %s", x.Status, x.Error)
	}
	want := []string{"ExecutionStarted", "TaskStateEntered", "ActivityScheduled", "ActivityStarted", "ActivityFailed",
		"ExecutionFailed"}
	if diff := cmp.Diff(want, types(t, e, x.ARN)); diff != "" {
		t.Error(diff)
	}
}

func TestRedrive(t *testing.T) {
	good := false
	e := open(t, vfs.NewMem(), func(context.Context, *task.Request) task.Result {
		if good {
			return task.Result{Output: []byte("1")}
		}
		return task.Fail("Bad", "first")
	})
	x := end(t, e, start(t, e, "a", oneTask, `{}`).ARN)
	if x.Status != stepfn.Failed || x.RedriveStatus != "REDRIVABLE" {
		t.Fatalf("%s %s", x.Status, x.RedriveStatus)
	}
	good = true
	if _, err := e.Redrive(x.ARN); err != nil {
		t.Fatal(err)
	}
	x = end(t, e, x.ARN)
	if x.Status != stepfn.Succeeded || x.RedriveCount != 1 {
		t.Errorf("%s after %d redrives", x.Status, x.RedriveCount)
	}
	for status, n := range map[stepfn.Status]int{stepfn.Failed: 0, stepfn.Succeeded: 1, stepfn.Running: 0, "": 1} {
		if got := names(t, e, engine.ListFilter{MachineARN: machineARN, Status: status}); len(got) != n {
			t.Errorf("listed as %q: %v", status, got)
		}
	}
	var not *engine.NotRedrivableError
	if _, err := e.Redrive(x.ARN); !errors.As(err, &not) {
		t.Errorf("a second redrive: %v", err)
	}
}

// machines resolves ARNs to definitions.
type machines map[string]string

func (m machines) Resolve(arn string) (engine.StartRequest, error) {
	definition, ok := m[arn]
	if !ok {
		return engine.StartRequest{}, &engine.UnknownMachineError{ARN: arn}
	}
	return engine.StartRequest{MachineARN: arn, Definition: []byte(definition)}, nil
}

func with(m machines) func(*engine.Config) {
	return func(c *engine.Config) { c.Machines = func(*store.Store) engine.Machines { return m } }
}

func TestNested(t *testing.T) {
	const child = "arn:aws:states:us-east-1:123456789012:stateMachine:child"
	parent := `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2",
		"Parameters":{"StateMachineArn":"` + child + `","Input":{"deep":1}},"OutputPath":"$.Output","End":true}}}`
	e := open(t, vfs.NewMem(), nil, with(machines{child: pass}))
	x := end(t, e, start(t, e, "a", parent, `{}`).ARN)
	if x.Status != stepfn.Succeeded || string(x.Output) != `{"deep":1}` {
		t.Errorf("%s %s %s", x.Status, x.Output, x.Cause)
	}
}

// A nested start fails if an execution with its name has ended, even with the same input, as with StartExecution.
func TestNestedStartWithNameOfClosedExecution(t *testing.T) {
	const child = "arn:aws:states:us-east-1:123456789012:stateMachine:child"
	e := open(t, vfs.NewMem(), nil, with(machines{child: pass}))
	r := engine.StartRequest{MachineARN: child, Definition: []byte(pass), Name: "same", Input: []byte(`{"z":1}`)}
	first, err := e.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	end(t, e, first.ARN)
	for _, pattern := range []string{"", ".sync", ".sync:2"} {
		parent := `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution` + pattern + `",
			"Parameters":{"StateMachineArn":"` + child + `","Name":"same","Input":{"z":1}},"End":true}}}`
		x := end(t, e, start(t, e, "closed-name"+strings.ReplaceAll(pattern, ":", "-"), parent, `{}`).ARN)
		if x.Status != stepfn.Failed || x.Error != "StepFunctions.ExecutionAlreadyExistsException" ||
			!strings.HasPrefix(x.Cause, "Execution Already Exists: '"+first.ARN+"'") {
			t.Errorf("startExecution%s: %s %s %s", pattern, x.Status, x.Error, x.Cause)
		}
	}
}

func TestCleanupAfterAbort(t *testing.T) {
	const sweeper = "arn:aws:states:us-east-1:123456789012:stateMachine:sweeper"
	e := open(t, vfs.NewMem(), nil, with(machines{sweeper: pass}))
	r := request("a", waiting, `{"run":1}`)
	r.Cleanup = sweeper
	x, err := e.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Stop(x.ARN, "", ""); err != nil {
		t.Fatal(err)
	}
	var swept engine.ListPage
	until(t, func() (any, bool) {
		swept, err = e.List(engine.ListFilter{MachineARN: sweeper})
		return err, len(swept.Executions) > 0
	})
	event, err := e.Describe(swept.Executions[0].ARN)
	if err != nil || !strings.Contains(string(event.Input), `"executionArn":"`+x.ARN+`"`) ||
		!strings.Contains(string(event.Input), `"status":"ABORTED"`) {
		t.Errorf("%s, %v", event.Input, err)
	}
}

func TestDelete(t *testing.T) {
	e := open(t, vfs.NewMem(), nil)
	running := start(t, e, "r", waiting, `{}`)
	if err := e.Delete(running.ARN); !errors.Is(err, engine.ErrOpen) {
		t.Errorf("delete of a running execution: %v", err)
	}
	x := start(t, e, "a", pass, `{}`)
	if err := e.Delete(x.ARN); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Describe(x.ARN); !errors.Is(err, engine.ErrExecutionDoesNotExist) {
		t.Errorf("describe: %v", err)
	}
	if got := names(t, e, engine.ListFilter{MachineARN: machineARN}); len(got) != 1 {
		t.Errorf("listed: %v", got)
	}
}

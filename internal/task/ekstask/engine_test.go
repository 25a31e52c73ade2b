package ekstask_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
)

// open opens an engine with a Runner of the bench's configuration.
func (b *bench) open(dir string) *engine.Engine {
	b.t.Helper()
	e, err := engine.Open(b.t.Context(), engine.Config{
		Dir: dir, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Runners: map[string]task.Runner{ekstask.Prefixes[0]: ekstask.New(b.cfg)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = e.Close() })
	return e
}

// execute starts an execution of one Task that runs a Job. more contains additional fields of the state.
func (b *bench) execute(e *engine.Engine, job, more map[string]any) engine.Execution {
	b.t.Helper()
	state := map[string]any{
		"Type": "Task", "Resource": prefix + "runJob.sync", "End": true,
		"Arguments": map[string]any{"Namespace": b.ns, "Job": job, "LogOptions": map[string]any{"RetrieveLogs": true}},
	}
	for key, v := range more {
		state[key] = v
	}
	definition, err := json.Marshal(map[string]any{"QueryLanguage": "JSONata", "StartAt": "T", "States": map[string]any{"T": state}})
	if err != nil {
		b.t.Fatal(err)
	}
	x, err := e.Start(b.t.Context(), engine.StartRequest{
		MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:m", Name: b.ns, Definition: definition, Input: []byte(`{}`)})
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

// await waits until an execution has ended and its tasks are stopped.
func (b *bench) await(e *engine.Engine, arn string) engine.Execution {
	b.t.Helper()
	ctx := clustertest.Context(b.t)
	for after := int64(0); ; {
		w, err := e.Watch(ctx, arn, after)
		if err != nil {
			b.t.Fatal(err)
		}
		if after = w.LastEventID; w.Closed {
			break
		}
	}
	clustertest.Until(ctx, b.t, "the stop", func() error {
		n, err := e.PendingEffects(arn)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d tasks are not stopped", n)
		}
		return err
	})
	x, err := e.Describe(arn)
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

// event returns the last event of a type.
func (b *bench) event(e *engine.Engine, arn string, typ history.Type) history.Event {
	b.t.Helper()
	events, err := e.History(arn, engine.HistoryQuery{Limit: 1000, Reverse: true})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, ev := range events {
		if ev.Type == typ {
			return ev
		}
	}
	b.t.Errorf("the history contains no %s event", typ)
	return history.Event{}
}

// TestExecution runs a Job in an execution and restarts the engine while the Job runs. It checks the result, the history and the log.
func TestExecution(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	e := b.open(dir)
	x := b.execute(e, b.object("work", "echo begun; sleep 3; echo '{\"n\": 1}' >&2", nil), nil)
	clustertest.Until(clustertest.Context(t), t, "the job", func() error {
		if len(b.jobs()) == 0 {
			return clustertest.ErrNotYet
		}
		return nil
	})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = b.open(dir)
	x = b.await(e, x.ARN)
	if x.Status != stepfn.Succeeded || !strings.Contains(string(x.Output), `begun\n{\"n\": 1}\n`) {
		t.Errorf("%s %s %s: %s", x.Status, x.Error, x.Cause, x.Output)
	}
	if ev := b.event(e, x.ARN, history.TaskSubmitted); !strings.Contains(string(ev.Output), `"kind":"Job"`) {
		t.Errorf("got TaskSubmitted output %s, want the Job", ev.Output)
	}
	b.onlyOne()
	if got := containerLines(b.storedLog(e, x.ARN)); got != "begun\n{\"n\": 1}\n" {
		t.Errorf("got log %q", got)
	}
}

// storedLog returns the log that the engine has stored for the only task.
func (b *bench) storedLog(e *engine.Engine, arn string) string {
	b.t.Helper()
	logs, err := e.Logs(arn)
	if err != nil || len(logs) != 1 {
		b.t.Fatalf("got %d logs (%v), want 1", len(logs), err)
	}
	log, err := e.OpenLog(b.t.Context(), arn, engine.LogQuery{Task: logs[0].Task})
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	text, err := io.ReadAll(log)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// TestTimeout checks that the history contains the reason why a Job has not run, and that the Job is deleted.
func TestTimeout(t *testing.T) {
	b := newBench(t)
	e := b.open(t.TempDir())
	job := b.object("work", "true", func(_, pod, _ map[string]any) { pod["nodeSelector"] = map[string]any{"no-such": "label"} })
	for seconds := 8; ; seconds *= 4 { // on a busy machine, it may take minutes until the reason is known
		x := b.await(e, b.execute(e, job, map[string]any{"TimeoutSeconds": seconds}).ARN)
		if x.Status != stepfn.Failed || x.Error != "States.Timeout" {
			t.Fatalf("%s %s", x.Status, x.Error)
		}
		b.nothingLeft()
		cause := b.event(e, x.ARN, history.TaskTimedOut).Cause
		if strings.Contains(cause, "cannot be scheduled") && strings.Contains(cause, "rayorch deletes it with its pods") {
			return
		}
		if seconds > 60 {
			t.Fatalf("got cause %q", cause)
		}
		t.Logf("after %d s: got cause %q", seconds, cause)
	}
}

// TestAbort checks that an abort deletes the Job with its pods and adds a note to the log.
func TestAbort(t *testing.T) {
	b := newBench(t)
	e := b.open(t.TempDir())
	x := b.execute(e, b.object("work", "echo begun; sleep 3600", nil), nil)
	clustertest.Until(clustertest.Context(t), t, "the job's first line", func() error {
		if logs, err := e.Logs(x.ARN); err != nil || len(logs) == 0 {
			return fmt.Errorf("there are %d logs: %w", len(logs), err)
		}
		if got := b.storedLog(e, x.ARN); !strings.Contains(got, "begun") {
			return fmt.Errorf("the log is %q", got)
		}
		return nil
	})
	if _, err := e.Stop(x.ARN, "Enough", "by a test"); err != nil {
		t.Fatal(err)
	}
	x = b.await(e, x.ARN)
	b.nothingLeft()
	if got := b.storedLog(e, x.ARN); x.Status != stepfn.Aborted || !strings.Contains(got, "rayorch: deleted the job work") {
		t.Errorf("got status %s, log %q", x.Status, got)
	}
}

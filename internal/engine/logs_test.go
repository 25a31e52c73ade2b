package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

func readLog(t *testing.T, e *engine.Engine, arn string, q engine.LogQuery) string {
	t.Helper()
	r, err := e.OpenLog(t.Context(), arn, q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A log keeps its beginning and its end, and reports how many bytes between them were omitted. After a restart, the log continues.
func TestLogIsBounded(t *testing.T) {
	fs := vfs.NewMem()
	const lines = 1000
	half := make(chan struct{})
	small := func(c *engine.Config) { c.LogBytes = 4000 }
	e := open(t, fs, func(ctx context.Context, req *task.Request) task.Result {
		for i := range lines / 2 {
			fmt.Fprintf(req.Log, "line %04d\n", i)
		}
		close(half)
		<-ctx.Done()
		return task.Result{}
	}, small)
	x := start(t, e, "a", oneTask, `{}`)
	<-half
	closeEngine(t, e)
	e = open(t, fs, func(_ context.Context, req *task.Request) task.Result {
		for i := lines / 2; i < lines; i++ {
			fmt.Fprintf(req.Log, "line %04d\n", i)
		}
		return task.Result{Output: []byte("1")}
	}, small)
	end(t, e, x.ARN)
	text := readLog(t, e, x.ARN, engine.LogQuery{State: "T", Follow: true})
	if !strings.HasPrefix(text, "line 0000\n") || !strings.HasSuffix(text, "line 0999\n") {
		t.Errorf("begins %.20q, ends %q", text, text[len(text)-20:])
	}
	infos, err := e.Logs(x.ARN)
	if err != nil || len(infos) != 1 {
		t.Fatalf("%v, %v", infos, err)
	}
	if got := infos[0]; got.State != "T" || got.Attempt != 1 || got.Size > 4000 || got.Size+got.Dropped != lines*10 {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(text, fmt.Sprintf("... %d bytes omitted ...", infos[0].Dropped)) {
		t.Error("the log does not have the line about omitted bytes")
	}
	if err := e.Delete(x.ARN); err != nil {
		t.Fatal(err)
	}
	if names, err := fs.List("state/logs"); err != nil || len(names) != 0 {
		t.Errorf("after delete: %v, %v", names, err)
	}
}

// A reader that follows a log, opened before the log exists, gets all lines until the task ends.
func TestLogFollow(t *testing.T) {
	ready, seen := make(chan struct{}), make(chan struct{})
	e := open(t, vfs.NewMem(), func(_ context.Context, req *task.Request) task.Result {
		<-ready
		fmt.Fprintln(req.Log, "first")
		<-seen
		fmt.Fprintln(req.Log, "last")
		return task.Result{Output: []byte("1")}
	})
	x := start(t, e, "a", oneTask, `{}`)
	if _, err := e.OpenLog(t.Context(), x.ARN, engine.LogQuery{State: "T"}); !errors.Is(err, engine.ErrNoLog) {
		t.Errorf("without follow: %v", err)
	}
	close(ready)
	r, err := e.OpenLog(t.Context(), x.ARN, engine.LogQuery{State: "T", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(r, first); err != nil || string(first) != "first\n" {
		t.Fatalf("%q, %v", first, err)
	}
	close(seen)
	rest, err := io.ReadAll(r)
	if err != nil || string(rest) != "last\n" {
		t.Errorf("%q, %v", rest, err)
	}
	if _, err := e.OpenLog(t.Context(), x.ARN, engine.LogQuery{State: "X", Follow: true}); !errors.Is(err, engine.ErrNoLog) {
		t.Errorf("a state without a log: %v", err)
	}
}

// A log can be found by the TaskScheduled event of its attempt, also after a retry, after a restart before the first line, and after a
// redrive.
func TestLogEvent(t *testing.T) {
	fs := vfs.NewMem()
	begun, printing := make(chan struct{}, 1), false
	runner := func(ctx context.Context, req *task.Request) task.Result {
		_ = req.Submitted([]byte(`{}`))
		if !printing { // in the first process
			begun <- struct{}{}
			<-ctx.Done()
			return task.Result{}
		}
		fmt.Fprintf(req.Log, "attempt %d\n", req.Attempt)
		return task.Fail("Flaky", "")
	}
	e := open(t, fs, runner)
	x := start(t, e, "a", `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","End":true,
		"Retry":[{"ErrorEquals":["Flaky"],"MaxAttempts":1,"IntervalSeconds":1}]}}}`, `{}`)
	<-begun
	closeEngine(t, e)
	printing = true
	e = open(t, fs, runner)
	end(t, e, x.ARN)
	if _, err := e.Redrive(x.ARN); err != nil {
		t.Fatal(err)
	}
	end(t, e, x.ARN)
	events, err := e.History(x.ARN, engine.HistoryQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	logs, err := e.Logs(x.ARN)
	if err != nil || len(logs) < 3 {
		t.Fatalf("%v, %v", logs, err)
	}
	var scheduled, kept []int64
	for _, ev := range events {
		if ev.Type == history.TaskScheduled {
			scheduled = append(scheduled, ev.ID)
		}
	}
	for _, l := range logs {
		kept = append(kept, l.Event)
		if got, want := readLog(t, e, x.ARN, engine.LogQuery{Event: l.Event}), fmt.Sprintf("attempt %d\n", l.Attempt); got != want {
			t.Errorf("the log of event %d is %q, want %q", l.Event, got, want)
		}
	}
	slices.Sort(kept)
	if diff := cmp.Diff(scheduled, kept); diff != "" {
		t.Errorf("events of TaskScheduled (-) and of logs (+):\n%s", diff)
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// poison kills the process when an execution enters a task of the activity "poison" or reads the object "poison".
type poison struct{ on bool }

func (p poison) Resolve(arn string) (engine.StartRequest, error) {
	r := request("", waiting, `{}`)
	if strings.HasSuffix(arn, ":bad") {
		r.Definition = []byte(poisoned)
	}
	r.MachineARN = arn
	return r, nil
}

func (p poison) HasActivity(arn string) bool {
	p.die(arn)
	return true
}

func (p poison) Get(_ context.Context, _, key string) (io.ReadCloser, error) {
	p.die(key)
	return io.NopCloser(strings.NewReader("[1]")), nil
}

func (p poison) List(context.Context, string, string, func(engine.Object) error) error { return nil }
func (p poison) Put(context.Context, string, string, io.ReadSeeker) error              { return nil }

func (p poison) die(name string) {
	if p.on && strings.Contains(name, "poison") {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

const (
	activityState = `{"Type":"Task","Resource":"arn:aws:states:us-east-1:123456789012:activity:%s","End":true}`
	readerMap     = `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemReader":{"Resource":"arn:aws:states:::s3:getObject",
		"ReaderConfig":{"InputType":"JSON"},"Parameters":{"Bucket":"b","Key":"%s"}},"ItemProcessor":{
		"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":3600,"End":true}}}}}}`
)

var (
	poisoned = `{"StartAt":"P","States":{"P":` + fmt.Sprintf(activityState, "poison") + `}}`
	// afterWait has a running task in another branch, which a stop must stop.
	afterWait = `{"StartAt":"B","States":{"B":{"Type":"Parallel","End":true,"Branches":[` + forever + `,
		{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":1,"Next":"P"},"P":` + fmt.Sprintf(activityState, "poison") + `}}]}}}`
	mapOfPoison = `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":{
		"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},` + poisoned[1:] + `}}}`
	nestedPoison = `{"StartAt":"N","States":{"N":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync","End":true,
		"Parameters":{"StateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:bad"}}}}`
	afterToken = `{"StartAt":"T","States":{"T":` + strings.Replace(fmt.Sprintf(activityState, "good"), `"End":true`, `"Next":"P"`, 1) +
		`,"P":` + fmt.Sprintf(activityState, "poison") + `}}`
)

// poisonEngine opens an engine in which executions kill the process if on is set.
func poisonEngine(t *testing.T, dir string, on bool, run fake) *engine.Engine {
	t.Helper()
	e, err := engine.Open(context.Background(), engine.Config{
		Dir: dir, Logger: quiet, Objects: poison{on}, Machines: func(*store.Store) engine.Machines { return poison{on} },
		Runners: map[string]task.Runner{"arn:aws:states:::test:": run},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// TestPoisonedProcess is the process that diesOf starts: it drives the open executions, starts another one, and is killed by it.
func TestPoisonedProcess(t *testing.T) {
	dir := os.Getenv("RAYORCH_TEST_POISONED")
	if dir == "" {
		t.Skip("only runs as a child process of other tests")
	}
	e := poisonEngine(t, dir, true, func(ctx context.Context, _ *task.Request) task.Result {
		<-ctx.Done()
		return task.Result{}
	})
	for _, name := range []string{"one", "two"} {
		start(t, e, name, waiting, `{}`)
	}
	x := start(t, e, "bad", os.Getenv("RAYORCH_TEST_DEFINITION"), `[1]`)
	if strings.Contains(os.Getenv("RAYORCH_TEST_DEFINITION"), ":good") {
		_ = e.TaskSuccess(workerToken(t, e, filepath.Join(dir, "token")), []byte("{}"))
	}
	time.Sleep(patience) // the process is killed meanwhile
	t.Errorf("%s did not kill the process", x.ARN)
}

// workerToken returns the token for the task of the activity "good", which the first process writes to a file.
func workerToken(t *testing.T, e *engine.Engine, file string) string {
	t.Helper()
	token, err := os.ReadFile(file)
	if err == nil {
		return string(token)
	}
	work, err := e.GetActivityTask(context.Background(), "arn:aws:states:us-east-1:123456789012:activity:good", "me")
	if err == nil {
		err = os.WriteFile(file, []byte(work.Token), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return work.Token
}

// diesOf starts a process that drives an execution of a definition, and checks that the execution kills it.
func diesOf(t *testing.T, dir, definition string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPoisonedProcess$")
	cmd.Env = append(os.Environ(), "RAYORCH_TEST_POISONED="+dir, "RAYORCH_TEST_DEFINITION="+definition)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
}

// An execution is parked after the process died twice during one of its steps. The next process drives the other executions, reports the
// reason, and can stop the parked execution and its work without running the step.
func TestTwoCrashesPark(t *testing.T) {
	for name, c := range map[string]struct{ definition, step string }{
		"timer":  {afterWait, "timer"},
		"reader": {fmt.Sprintf(readerMap, "poison"), "item 0 of map run "},
		"child":  {mapOfPoison, "a step of the execution "},
		"nested": {nestedPoison, "a step of the execution "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			diesOf(t, dir, c.definition)
			diesOf(t, dir, c.definition)
			stopped := make(chan string, 1)
			said := make(chan string, 100)
			e, err := engine.Open(t.Context(), engine.Config{
				Dir: dir, Logger: slog.New(slog.NewTextHandler(lines(said), nil)), Objects: poison{}, Runners: map[string]task.Runner{"arn:aws:states:::test:": fake(
					func(ctx context.Context, req *task.Request) task.Result {
						<-ctx.Done()
						stopped <- req.State
						return task.Result{}
					})},
				Machines: func(*store.Store) engine.Machines { return poison{} },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer closeEngine(t, e)
			if line := <-said; !strings.Contains(line, "execution parked") {
				t.Errorf("the first line of the log is %q", line)
			}
			arn := "arn:aws:states:us-east-1:123456789012:execution:m:bad"
			parked := e.Parked()
			if len(parked) != 1 || parked[0].ARN != arn || !strings.Contains(parked[0].Reason, c.step) {
				t.Fatalf("parked: %+v", parked)
			}
			if resting, err := e.Interrupted(); err != nil || len(resting) != 1 || resting[0] != arn {
				t.Errorf("interrupted: %v, %v", resting, err)
			}
			if m := e.Metrics(); m.ParkedRuns != 1 || m.OpenRuns != 2 || m.Timers != 2 {
				t.Errorf("%+v", m)
			}
			if _, err := e.Stop(arn, "", ""); err != nil {
				t.Fatal(err)
			}
			if x, err := e.Describe(arn); err != nil || x.Status != stepfn.Aborted {
				t.Errorf("%s, %v", x.Status, err)
			}
			if c.definition == afterWait {
				<-stopped
			}
			if m := e.Metrics(); len(e.Parked()) != 0 || m.OpenRuns != 2 {
				t.Errorf("after the stop: %v, %+v", e.Parked(), m)
			}
		})
	}
}

// When a parked execution is resumed, its step runs again. While it is parked, it accepts no results.
func TestResumeOfParkedExecution(t *testing.T) {
	dir := t.TempDir()
	diesOf(t, dir, afterToken)
	diesOf(t, dir, afterToken)
	e := poisonEngine(t, dir, false, nil)
	arn := e.Parked()[0].ARN
	token := workerToken(t, e, filepath.Join(dir, "token"))
	if err := e.TaskSuccess(token, []byte("{}")); !errors.Is(err, engine.ErrParked) {
		t.Errorf("a result for a parked execution: %v", err)
	}
	if err := e.Resume(t.Context()); err != nil || len(e.Parked()) != 1 {
		t.Errorf("resuming all: %v, %v", e.Parked(), err)
	}
	if err := e.Resume(t.Context(), arn); err != nil || len(e.Parked()) != 0 {
		t.Errorf("resuming it: %v, %v", e.Parked(), err)
	}
	work, err := engine.ActivityTask{}, e.TaskSuccess(token, []byte("{}"))
	if err == nil {
		work, err = e.GetActivityTask(t.Context(), "arn:aws:states:us-east-1:123456789012:activity:poison", "me")
	}
	if err == nil {
		err = e.TaskSuccess(work.Token, []byte("{}"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if x := end(t, e, arn); x.Status != stepfn.Succeeded {
		t.Errorf("%s: %s", x.Status, x.Cause)
	}
	closeEngine(t, e)
	e = poisonEngine(t, dir, false, nil)
	if parked := e.Parked(); len(parked) != 0 {
		t.Errorf("after the end: %v", parked)
	}
}

// One crash parks no execution, and crashes during a step no longer count when the step is complete.
func TestCrashesOfCompleteStepDoNotCount(t *testing.T) {
	dir := t.TempDir()
	diesOf(t, dir, fmt.Sprintf(readerMap, "poison"))
	e := poisonEngine(t, dir, false, nil)
	if parked := e.Parked(); len(parked) != 0 {
		t.Errorf("after one crash: %v", parked)
	}
	until(t, func() (any, bool) {
		runs, _, err := e.MapRuns("arn:aws:states:us-east-1:123456789012:execution:m:bad", "", 0)
		if err != nil || len(runs) != 1 {
			return err, false
		}
		m, err := e.MapRun(runs[0].ARN)
		return err, m.Items.Running == 1
	})
	closeEngine(t, e)
	diesOf(t, dir, fmt.Sprintf(readerMap, "poison"))
	e = poisonEngine(t, dir, false, nil)
	if parked := e.Parked(); len(parked) != 0 {
		t.Errorf("after two crashes, with a complete step between them: %v", parked)
	}
}

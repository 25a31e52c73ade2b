package engine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// TestSoak repeatedly kills a process with an engine under load at random moments: RAYORCH_SOAK times, by default 20 times, 5 with
// -short. Then it checks that all acknowledged executions end, that each job was created once, and that the store is consistent.
func TestSoak(t *testing.T) {
	if dir := os.Getenv("RAYORCH_SOAK_CHILD"); dir != "" {
		soakChild(t, dir)
		return
	}
	kills := 20
	if testing.Short() {
		kills = 5
	}
	if n, err := strconv.Atoi(os.Getenv("RAYORCH_SOAK")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "jobs"), 0o700); err != nil {
		t.Fatal(err)
	}
	acked := map[string]bool{}
	for n := range kills {
		soakRound(t, dir, strconv.Itoa(n), time.Duration(rand.IntN(400)+50)*time.Millisecond, acked)
	}
	soakRound(t, dir, "", 0, acked)
	soakEnds(t, dir, acked)
	t.Logf("%d kills, %d executions", kills, len(acked))
}

// soakRound runs a child process that starts executions whose names contain tag, and kills it when life has passed since the first start.
// If tag is empty, the child starts none, waits until all have ended, and exits. A child without progress is killed, too.
func soakRound(t *testing.T, dir, tag string, life time.Duration, acked map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSoak$", "-test.v")
	child.Env = append(os.Environ(), "RAYORCH_SOAK_CHILD="+dir, "RAYORCH_SOAK_TAG="+tag)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.StdinPipe(); err != nil { // the pipe is closed when this process ends for any reason
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var killer *time.Timer
	var last []string // the last lines of the child's output
	began, ended := false, false
	for lines.Scan() {
		last = append(last, lines.Text())[max(0, len(last)-20):]
		switch word, arn, _ := strings.Cut(lines.Text(), " "); word {
		case "open":
			killer = time.AfterFunc(patience, cancel)
		case "running":
			killer.Reset(patience)
		case "acked":
			if acked[arn] = true; !began {
				killer.Reset(life)
			}
			began = true
		case "ended":
			ended = true
		}
	}
	_ = child.Wait()
	if killer == nil || tag == "" && !ended || tag != "" && !began {
		t.Fatalf("round %q made no progress. The last lines of the output:\n%s", tag, strings.Join(last, "\n"))
	}
	killer.Stop()
}

const soakMachine = `{"StartAt":"A","States":{
 "A":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","Next":"W"},
 "W":{"Type":"Wait","Seconds":1,"Next":"B"},
 "B":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","Retry":[{"ErrorEquals":["Oops"],"IntervalSeconds":1}],"End":true}}}`

// soakChild is the process that is killed. It starts executions as fast as it can, and prints those that were acknowledged.
func soakChild(t *testing.T, dir string) {
	go func() { // exit when the parent has exited
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	jobs := filepath.Join(dir, "jobs")
	run := fake(func(ctx context.Context, req *task.Request) task.Result {
		name := filepath.Join(jobs, strings.ReplaceAll(req.Execution+"~"+req.ID, "/", "_"))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		switch {
		case err == nil:
			_ = f.Close()
		case !req.Resumed:
			_ = os.WriteFile(name+".twice", nil, 0o600)
		}
		if err := req.Submitted([]byte("{}")); err != nil {
			return task.Fail("Submitted", err.Error())
		}
		if req.State == "B" && req.Attempt == 1 {
			return task.Fail("Oops", "")
		}
		return task.Result{Output: req.Input}
	})
	e, err := engine.Open(t.Context(), engine.Config{
		Dir: filepath.Join(dir, "state"), Logger: quiet, Runners: map[string]task.Runner{"arn:aws:states:::test:": run},
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("open")
	tag := os.Getenv("RAYORCH_SOAK_TAG")
	for i := 0; tag != "" && i < 200; i++ {
		x, err := e.Start(t.Context(), request(fmt.Sprintf("s%s-%d", tag, i), soakMachine, `{"i":1}`))
		var exists *engine.AlreadyExistsError
		if err != nil && !errors.As(err, &exists) {
			t.Fatal(err)
		}
		fmt.Println("acked", x.ARN)
	}
	if tag != "" {
		select {} // wait until the parent kills this process
	}
	for before := -1; before != 0; time.Sleep(10 * time.Millisecond) { // the parent kills this process if nothing changes
		n := len(names(t, e, engine.ListFilter{MachineARN: machineARN, Status: stepfn.Running}))
		if n != before {
			fmt.Println("running", n)
		}
		before = n
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("ended")
}

// soakEnds checks the state directory after the last round.
func soakEnds(t *testing.T, dir string, acked map[string]bool) {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Dir: filepath.Join(dir, "state"), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for arn := range acked {
		if x, err := e.Describe(arn); err != nil || x.Status != stepfn.Succeeded || string(x.Output) != `{"i":1}` {
			t.Errorf("%s: %s %s, %v", arn, x.Status, x.Cause, err)
		}
	}
	closeEngine(t, e)
	st, err := store.Open(filepath.Join(dir, "state"), store.Options{Logger: quiet, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	n, err := engine.Check(st, func(p engine.Problem) { t.Error(p) })
	if err != nil {
		t.Error(err)
	}
	made, err := os.ReadDir(filepath.Join(dir, "jobs"))
	if err != nil || int64(len(made)) != 3*n.Runs {
		t.Errorf("%d jobs for %d executions of three each, %v", len(made), n.Runs, err)
	}
	for _, f := range made {
		if strings.HasSuffix(f.Name(), ".twice") {
			t.Errorf("created twice: %s", f.Name())
		}
	}
}

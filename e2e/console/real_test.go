package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// begin starts a command that keeps running, and waits for a line of its output that matches the regular expression line. It returns the
// text of the first group.
func begin(t *testing.T, sandbox *command.Sandbox, line string, args ...string) (p *process, found string) {
	t.Helper()
	p = &process{t: t, cmd: exec.Command(sandbox.Binary, args...), output: filepath.Join(t.TempDir(), "output"), ended: make(chan struct{})}
	output, err := os.Create(p.output)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = sandbox.Dir, sandbox.Env, output, output
	if err := errors.Join(p.cmd.Start(), output.Close()); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.wait() // tests that need the result call wait themselves
	})
	pattern, late := regexp.MustCompile(line+".*\n"), time.After(patience)
	for {
		if m := pattern.FindStringSubmatch(p.printed()); m != nil {
			return p, m[1]
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.ended:
			t.Fatalf("%v ended with %v, and no line matches %s:\n%s", args, p.err, line, p.printed())
		case <-late:
			t.Fatalf("%v: no line matches %s within %s:\n%s", args, line, patience, p.printed())
		}
	}
}

// process is a command that keeps running. It prints to a file, so that tests can read the output at any time.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output string // path of the file
	ended  chan struct{}
	err    error // set when ended is closed
}

// printed returns the output so far.
func (p *process) printed() string {
	text, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// wait waits for the end of the process, and kills it after patience.
func (p *process) wait() error {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%v did not end within %s:\n%s", p.cmd.Args, patience, p.printed())
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.err
}

const onRay = `version: 1
name: small
description: One job that trains, and one that reads what it made.
params:
  steps: {type: integer, default: 15, min: 1, description: Steps of the training.}
steps:
  - name: train
    ray: {entrypoint: "python train.py --steps ${{ params.steps }}", workingDir: .}
    retry: {attempts: 2, interval: 1s}
  - name: infer
    ray: {entrypoint: "echo read ${{ steps.train.output.checkpoint }}", workingDir: .}
`

// train is a program that prints a metric for each step. It waits in the last step while the file %q exists.
const train = `import argparse, json, os, time
p = argparse.ArgumentParser()
p.add_argument("--steps", type=int)
steps = p.parse_args().steps
for step in range(1, steps + 1):
    print(f"step {step} <b>of</b> {steps}", flush=True)
    print(f"metric loss={4 / step:.4f} step={step}", flush=True)
    while step == steps and os.path.exists(%q):
        time.sleep(0.05)
json.dump({"checkpoint": f"checkpoint-{steps}"}, open(os.environ["RAYORCH_OUTPUT"], "w"))
`

// TestOnRay starts a pipeline on a real Ray from its form, and checks the graph, the log, the metrics and the link to the
// dashboard while it runs. Then it stops and redrives the execution, and compares the page with the output of rayorch describe.
func TestOnRay(t *testing.T) {
	t.Parallel()
	if testing.Short() || find() == "" {
		t.Skip("SKIPPED: needs a real Ray and a browser")
	}
	found := raytest.Real(t, true)
	sandbox := command.New(t, &found)
	wait := filepath.Join(t.TempDir(), "wait")
	if err := os.WriteFile(wait, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sandbox.Write(t, "pipeline.yaml", onRay)
	sandbox.Write(t, "train.py", fmt.Sprintf(train, wait))
	server, site := begin(t, sandbox, `the console is at (http\S+)/console/`, "serve", "--listen", "127.0.0.1:0")
	if res := sandbox.Run(t.Context(), t, "register"); res.Code != 0 {
		t.Fatalf("register: got %+v, want exit code 0", res)
	}
	p := open(t, site)
	p.to(linkOf(t, sandbox, site) + "/machines")
	p.button("Start")
	p.fill("steps", "12")
	p.fill("Name of the execution", "one")
	p.clickWhere("dialog button.primary", "Start")
	p.states(map[string]string{"train": "running"})
	p.wait(`document.querySelector(".state-panel a.button")?.href.startsWith(` + js(strings.TrimSuffix(found.Address, "/")+"/#/jobs/r") + `)`)
	p.button("Show log")
	p.sees(".log .row", "step 12 <b>of</b> 12")
	p.button("Metrics")
	p.sees(".chart-value", "0.3333")

	p.button("Stop")
	p.button("Stop the execution")
	p.sees(".status.big", "Aborted")
	if err := os.Remove(wait); err != nil {
		t.Fatal(err)
	}
	p.button("Redrive")
	p.clickWhere("dialog button.primary", "Redrive")
	p.sees(".status.big", "Succeeded")
	p.states(map[string]string{"train": "succeeded", "infer": "succeeded"})
	p.button("Input and output")
	p.sees(".data", "checkpoint-12")

	p.checkSteps(sandbox, "one")

	// The server must end immediately, even if a page has a stream of events open.
	p.to("#/executions")
	p.sees(".row-name", "one")
	p.allow("ERR_", "Failed to load resource")
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.wait(); err != nil {
		t.Errorf("the server ended with %v:\n%s", err, server.printed())
	}
}

// checkSteps compares the steps on the page with those that rayorch describe prints.
func (p *page) checkSteps(sandbox *command.Sandbox, name string) {
	p.t.Helper()
	var described struct {
		Status string
		Steps  []struct{ Name, Status, SubmissionID string }
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	res := sandbox.Run(ctx, p.t, "describe", name, "-o", "json")
	if err := json.Unmarshal([]byte(res.Stdout), &described); err != nil {
		p.t.Fatalf("describe: %v: %+v", err, res)
	}
	if len(described.Steps) == 0 {
		p.t.Errorf("%s has no steps: %+v", name, res)
	}
	for _, step := range described.Steps {
		p.clickState(step.Name)
		p.sees(".state-panel h2", step.Name)
		p.sees(".state-panel .status", step.Status)
		p.sees(".state-panel dd.mono", step.SubmissionID)
	}
}

// TestRunWithConsole opens the link that rayorch run --console prints, while the run is in progress.
func TestRunWithConsole(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	sandbox := command.New(t, nil)
	wait := filepath.Join(t.TempDir(), "wait")
	if err := os.WriteFile(wait, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sandbox.Write(t, "pipeline.yaml", fmt.Sprintf("version: 1\nname: short\nsteps:\n  - name: hold\n    job: {shell: \"echo holding on; while [ -e '%s' ]; do sleep 0.05; done\"}\n", wait))
	run, at := begin(t, sandbox, `console (http\S+)`, "run", "--console", "--name", "one")
	base, fragment, _ := strings.Cut(at, "/console/")
	p := open(t, base)
	p.to(fragment)
	p.states(map[string]string{"hold": "running"})
	p.button("Show log")
	p.sees(".log .row", "holding on")
	p.checkSteps(sandbox, "one")
	p.allow("ERR_", "Failed to load resource")
	if err := os.Remove(wait); err != nil {
		t.Fatal(err)
	}
	if err := run.wait(); err != nil {
		t.Errorf("the run ended with %v:\n%s", err, run.printed())
	}
}

// TestConsoleForRemoteServer runs rayorch console in front of a remote server with access keys, with the user's credentials from the
// environment, as for AWS.
func TestConsoleForRemoteServer(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	s := serve(t, access.Keys{"AKIDEXAMPLE": {Secret: "secret", Role: access.Admin}})
	g := s.gated("go")
	arn := s.start(s.machine("remote", machine("go", object{"go": work("")})), "x", "{}")
	g.next()
	sandbox := command.New(t, nil)
	sandbox.Env = append(sandbox.Env, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1")
	_, link := begin(t, sandbox, `the console is at (http\S+)`, "console", "--endpoint", s.URL)
	site, fragment, _ := strings.Cut(link, "/console/")
	p := open(t, site)
	p.to(fragment)
	p.sees(".row-name", "x")
	p.sees("#where", s.URL)
	p.sees(".chip[data-status=RUNNING]", "1")
	p.to(execution(arn, ""))
	p.states(map[string]string{"go": "running"})
	p.button("Stop")
	p.button("Stop the execution")
	p.sees(".status.big", "Aborted")
}

// TestBareAPI runs a console in front of an API without rayorch's own endpoints, such as AWS: it has lists by state machine, but no counts
// and no logs. The page must say so, and must still update running executions.
func TestBareAPI(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	s := serve(t, access.Keys{"AKIDEXAMPLE": {Secret: "secret", Role: access.Admin}})
	g := s.gated("go")
	arn := s.start(s.machine("remote", machine("go", object{"go": work("then"), "then": work("")})), "x", "{}")
	g.next()
	p := open(t, s.bare(t))
	p.allow("404")
	p.to("#/executions")
	p.sees(".row-name", "x")
	p.sees("#where", "AWS us-east-1")
	p.sees(".summary", "need a rayorch server")
	p.to(execution(arn, ""))
	p.states(map[string]string{"go": "running"})
	g.finish(taskDone)
	p.states(map[string]string{"go": "succeeded", "then": "succeeded"})
	p.sees(".status.big", "Succeeded")
	p.button("Logs")
	p.sees(".notice", "This API does not store logs of jobs")
	p.button("Start again")
	p.fill("Name of the execution", "y")
	p.clickWhere("dialog button.primary", "Start")
	p.sees("h1", "y")
	g.next()
	g.finish(taskDone)
	p.sees(".status.big", "Succeeded")
}

// TestParked opens a parked execution. The page must show why it is parked, until the execution is stopped.
func TestParked(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	sandbox := command.New(t, nil)
	sandbox.Write(t, "pipeline.yaml", "version: 1\nname: deadly\nsteps:\n  - {name: hold, job: {shell: \"while test -d \\\"$RAYORCH_STORAGE\\\"; do sleep 0.1; done\"}}\n")
	run, _ := begin(t, sandbox, `(hold) +running`, "run", "--name", "one")
	if err := run.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-run.ended
	arn := "arn:aws:states:us-east-1:123456789012:execution:deadly:one"
	if err := command.Park(sandbox.State, arn); err != nil {
		t.Fatal(err)
	}
	_, site := begin(t, sandbox, `the console is at (http\S+)/console/`, "serve", "--listen", "127.0.0.1:0")
	p := open(t, site)
	p.to(linkOf(t, sandbox, site))
	p.sees(".row-name", "one")
	p.to(execution(arn, ""))
	p.sees(".status.big", "Parked")
	p.sees(".notice", "Parked: the process that drove it died 2 times during the same step (timer, after event 7)")
	p.sees(".notice code", "rayorch resume one")
	p.button("Stop")
	p.button("Stop the execution")
	p.sees(".status.big", "Aborted")
	p.wait(`!document.querySelector(".notice")`)
}

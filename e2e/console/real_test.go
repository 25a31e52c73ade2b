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

// begin starts a command that goes on, and waits for a line of its output that fits; it gives what the group matched.
func begin(t *testing.T, at *command.Sandbox, line string, args ...string) (p *process, found string) {
	t.Helper()
	p = &process{t: t, cmd: exec.Command(at.Binary, args...), output: filepath.Join(t.TempDir(), "output"), ended: make(chan struct{})}
	output, err := os.Create(p.output)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = at.Dir, at.Env, output, output
	if err := errors.Join(p.cmd.Start(), output.Close()); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.wait() // the test's own wait says whether that is an error
	})
	fits, late := regexp.MustCompile(line+".*\n"), time.After(patience)
	for {
		if m := fits.FindStringSubmatch(p.said()); m != nil {
			return p, m[1]
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.ended:
			t.Fatalf("%v: ended with %v, and no line fits %s:\n%s", args, p.err, line, p.said())
		case <-late:
			t.Fatalf("%v: no line fits %s within %s:\n%s", args, line, patience, p.said())
		}
	}
}

// process is a command that goes on. It prints to a file: what it said so far can be read at any time.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output string
	ended  chan struct{}
	err    error // once it ended
}

func (p *process) said() string {
	text, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// wait waits for its end, and kills it when that does not come.
func (p *process) wait() error {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%v does not end within %s:\n%s", p.cmd.Args, patience, p.said())
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

// train prints a metric a step, and goes on while the file in its way is there.
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

// TestOnRay starts a pipeline from its form and watches it on a real Ray: graph, log, metrics and the link to the
// dashboard while it runs, stopping and redriving, and the same story as the terminal tells.
func TestOnRay(t *testing.T) {
	t.Parallel()
	if testing.Short() || find() == "" {
		t.Skip("SKIPPED: needs a real Ray and a browser")
	}
	found := raytest.Real(t, true)
	place := command.New(t, &found)
	wait := filepath.Join(t.TempDir(), "wait")
	if err := os.WriteFile(wait, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	place.Write(t, "pipeline.yaml", onRay)
	place.Write(t, "train.py", fmt.Sprintf(train, wait))
	server, site := begin(t, place, `the console is at (http\S+)/console/`, "serve", "--listen", "127.0.0.1:0")
	if res := place.Run(t.Context(), t, "register"); res.Code != 0 {
		t.Fatalf("%+v", res)
	}
	p := open(t, site)
	p.to(linkOf(t, place, site) + "/machines")
	p.button("Start")
	p.fill("steps", "12")
	p.fill("Name of the execution", "one")
	p.clickWhere("dialog button.primary", "Start")
	p.states(map[string]string{"train": "running"})
	p.wait(`document.querySelector(".state-panel a.button")?.href.startsWith(` + js(strings.TrimSuffix(found.Address, "/")+"/#/jobs/r") + `)`)
	p.button("Show the log")
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

	p.sameStory(place, "one")

	// A server that a page listens to ends at once nevertheless.
	p.to("#/executions")
	p.sees(".row-name", "one")
	p.allow("ERR_", "Failed to load resource")
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.wait(); err != nil {
		t.Errorf("the server ended with %v:\n%s", err, server.said())
	}
}

// sameStory compares the steps that the page shows with those that the command prints.
func (p *page) sameStory(place *command.Sandbox, name string) {
	p.t.Helper()
	var said struct {
		Status string
		Steps  []struct{ Name, Status, SubmissionID string }
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	res := place.Run(ctx, p.t, "describe", name, "-o", "json")
	if err := json.Unmarshal([]byte(res.Stdout), &said); err != nil {
		p.t.Fatalf("%v: %+v", err, res)
	}
	if len(said.Steps) == 0 {
		p.t.Errorf("%s has no steps: %+v", name, res)
	}
	for _, step := range said.Steps {
		p.clickState(step.Name)
		p.sees(".state-panel h2", step.Name)
		p.sees(".state-panel .status", step.Status)
		p.sees(".state-panel dd.mono", step.SubmissionID)
	}
}

// TestRunWithConsole opens the page that a run prints, while the run is on.
func TestRunWithConsole(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	place := command.New(t, nil)
	wait := filepath.Join(t.TempDir(), "wait")
	if err := os.WriteFile(wait, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	place.Write(t, "pipeline.yaml", fmt.Sprintf("version: 1\nname: short\nsteps:\n  - name: hold\n    job: {shell: \"echo holding on; while [ -e '%s' ]; do sleep 0.05; done\"}\n", wait))
	run, at := begin(t, place, `console (http\S+)`, "run", "--console", "--name", "one")
	base, fragment, _ := strings.Cut(at, "/console/")
	p := open(t, base)
	p.to(fragment)
	p.states(map[string]string{"hold": "running"})
	p.button("Show the log")
	p.sees(".log .row", "holding on")
	p.sameStory(place, "one")
	p.allow("ERR_", "Failed to load resource")
	if err := os.Remove(wait); err != nil {
		t.Fatal(err)
	}
	if err := run.wait(); err != nil {
		t.Errorf("the run ended with %v:\n%s", err, run.said())
	}
}

// TestConsoleElsewhere stands a console before a server with keys, as before AWS: with the user's credentials, and with
// what such an API lacks told.
func TestConsoleElsewhere(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	s := serve(t, access.Keys{"AKIDEXAMPLE": {Secret: "secret", Role: access.Admin}})
	g := s.gated("go")
	arn := s.start(s.machine("remote", machine("go", object{"go": work("")})), "x", "{}")
	g.next()
	place := command.New(t, nil)
	place.Env = append(place.Env, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1")
	_, link := begin(t, place, `the console is at (http\S+)`, "console", "--endpoint", s.URL)
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

// TestBareAPI stands a console before an API that has nothing of ours beside it, which is what AWS is: lists by state
// machine, no counts, no logs, and the page says so; what runs is still live.
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
	p.sees(".notice", "this API has none")
	p.button("Start again")
	p.fill("Name of the execution", "y")
	p.clickWhere("dialog button.primary", "Start")
	p.sees("h1", "y")
	g.next()
	g.finish(taskDone)
	p.sees(".status.big", "Succeeded")
}

// TestParked opens a parked execution: the page says why nothing happens until the execution is stopped.
func TestParked(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	place := command.New(t, nil)
	place.Write(t, "pipeline.yaml", "version: 1\nname: deadly\nsteps:\n  - {name: hold, job: {shell: \"while test -d \\\"$RAYORCH_STORAGE\\\"; do sleep 0.1; done\"}}\n")
	run, _ := begin(t, place, `(hold) +running`, "run", "--name", "one")
	if err := run.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-run.ended
	arn := "arn:aws:states:us-east-1:123456789012:execution:deadly:one"
	if err := command.Park(place.State, arn); err != nil {
		t.Fatal(err)
	}
	_, site := begin(t, place, `the console is at (http\S+)/console/`, "serve", "--listen", "127.0.0.1:0")
	p := open(t, site)
	p.to(linkOf(t, place, site))
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

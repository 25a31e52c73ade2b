// Package progresstest produces histories of compiled pipelines for tests of internal/view/progress and of the packages that use it. It
// runs the interpreter with a simulated clock and simulated jobs.
package progresstest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// Story is a pipeline, the outcomes of its jobs, and the resulting statuses of its steps, which are the same on this machine and in a
// cluster.
type Story struct {
	Steps string // YAML, in flow style
	// Jobs are the outcomes of jobs: "fails", "fails 2 times", "hangs", "waits" (it is never submitted), or the job's output. Jobs that are
	// not listed succeed with the output null. The keys are STEP, STEP[i] inside a forEach, and "cleanup STEP" for a job of onFailure.
	Jobs map[string]string
	// Then are actions, each after ten seconds without progress: "abort", "redrive", "retry" (advance to the next attempt), "timeout" (of
	// the run), "end" (advance to the end of the run), "look" (compare the statuses; "look at once" does not wait ten seconds), and
	// "JOB: OUTCOME", which changes the outcome of a job.
	Then []string
	// Want are the steps with their statuses, in order, at each look and at the end, separated by "then".
	Want []string
}

// Redriven returns the story with a redrive after its end. In the redrive, all jobs succeed.
func (s Story) Redriven() Story {
	s.Then = append(slices.Clone(s.Then), "end", "look")
	for job := range s.Jobs {
		s.Then = append(s.Then, job+": 1")
	}
	s.Then, s.Want = append(s.Then, "redrive"), nil
	return s
}

// Targets are the targets of stories: this machine, or a cluster with a submission mode. In modes proxy and rayjob, the jobs are Ray jobs.
var Targets = []string{"local", "job", "proxy", "rayjob"}

const execution = "arn:aws:states:us-east-1:123456789012:execution:p:one"

// Event is an event of a history, with its JSON in the API.
type Event struct {
	types.HistoryEvent
	JSON json.RawMessage
}

// Play runs a story to its end, and returns its definition and its history, in parts that end at the looks.
func (s *Story) Play(t testing.TB, target string) (definition []byte, parts [][]Event) {
	t.Helper()
	steps, o := s.Steps, compile.Options{Target: "local", BaseDir: t.TempDir(), StorageDir: "/storage"}
	if target != "local" {
		o.Target, o.Submit = "cluster", target
	}
	if target == "proxy" || target == "rayjob" {
		steps = strings.ReplaceAll(steps, "job: {shell:", "ray: {entrypoint:")
	}
	p, err := pipeline.Decode("pipeline.yaml", []byte("version: 1\nname: p\ntimeout: 1d\nstorage: {claim: c}\n"+
		"targets: {local: {kind: local}, cluster: {kind: kubernetes, image: i, jobImage: i}}\nsteps: ["+steps+"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(p, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := asl.Parse(r.Definition)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := &drive{t: t, target: target, now: start, jobs: map[string]string{}, ids: map[string]string{}, tried: map[string]int{}, hang: map[string]string{},
		parts: [][]Event{nil}, annotations: progress.ReadStates(r.Definition)}
	d.run = interp.New(interp.Params{ExecutionARN: execution, Name: "one",
		MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:p", MachineName: "p", Input: []byte("{}"), StartTime: start, Seed: 1}, m)
	for job, outcome := range s.Jobs {
		d.jobs[job] = outcome
	}
	d.apply(interp.Start{})
	for _, what := range s.Then {
		d.act(what)
	}
	d.act("end")
	return r.Definition, d.parts
}

// drive is a run of a story.
type drive struct {
	t           testing.TB
	target      string
	run         *interp.Run
	now         time.Time
	jobs        map[string]string // outcome by job
	ids         map[string]string // job by id of an attempt
	tried       map[string]int    // number of attempts by job
	hang        map[string]string // running task by job
	facts       []interp.Fact     // to be applied
	parts       [][]Event
	annotations progress.States
}

// act performs an action of Story.Then.
func (d *drive) act(what string) {
	d.t.Helper()
	for i := 0; i < 5 && what != "look at once"; i++ { // several wake-ups: in a cluster, a step polls whether its pod runs
		d.now = d.now.Add(2 * time.Second)
		d.apply(interp.Wake{})
	}
	switch what {
	case "look", "look at once":
		d.parts = append(d.parts, nil)
	case "abort":
		d.apply(interp.Abort{})
	case "redrive":
		if d.run.Head().Status != stepfn.Succeeded {
			d.apply(interp.Redrive{})
		}
	case "end":
		for d.run.Head().Status == stepfn.Running {
			d.wake()
		}
	case "retry":
		d.wake()
	case "timeout":
		d.now = d.now.Add(25 * time.Hour)
		d.apply(interp.Wake{})
	default:
		job, outcome, _ := strings.Cut(what, ": ")
		d.jobs[job] = outcome // also if the job has ended: in a cluster, a redrive asks for the outcome again
		if task := d.hang[job]; task != "" {
			delete(d.hang, job)
			if fact := d.ends(task, job); fact != nil {
				d.apply(fact)
			}
		}
	}
}

// apply applies a fact, and the facts that follow from it.
func (d *drive) apply(f interp.Fact) {
	d.t.Helper()
	for d.facts = []interp.Fact{f}; len(d.facts) > 0; {
		f, d.facts = d.facts[0], d.facts[1:]
		decision, err := d.run.Apply(f, d.now)
		if err != nil {
			d.t.Fatal(err)
		}
		if decision.More {
			d.facts = append([]interp.Fact{interp.Continue{}}, d.facts...)
		}
		for i := range decision.Events {
			d.note(&decision.Events[i])
		}
		for _, task := range decision.Tasks {
			d.begin(task)
		}
	}
}

// wake advances the clock until a timer causes an event.
func (d *drive) wake() {
	d.t.Helper()
	before := d.run.Head().LastEvent
	for range 100 {
		d.now = d.now.Add(time.Minute)
		d.apply(interp.Wake{})
		if d.run.Head().LastEvent != before {
			return
		}
	}
	d.t.Fatalf("the run does not continue; these jobs hang: %v", d.hang)
}

// note records an event in the form in which clients of the API receive it.
func (d *drive) note(e *history.Event) {
	d.t.Helper()
	o := history.ToAPI(e, true)
	event := Event{JSON: value.Bytes(o)}
	if err := json.Unmarshal(value.Bytes(o.With("timestamp", e.Time.Format(time.RFC3339Nano))), &event.HistoryEvent); err != nil {
		d.t.Fatal(err)
	}
	last := len(d.parts) - 1
	d.parts[last] = append(d.parts[last], event)
}

// These patterns match the environment of a job in a task's input: an object; in mode job, a list; in mode rayjob, JSON in a string.
var (
	stepOf  = regexp.MustCompile(`RAYORCH_STEP\\?"(?:,"value")?:\\?"([a-z]+)`)
	indexOf = regexp.MustCompile(`RAYORCH_INDEX\\?"(?:,"value")?:\\?"([0-9]+)`)
	idOf    = regexp.MustCompile(`r[0-9a-f]{12}-[a-z]+-[0-9a-f]{10}`)
)

// begin starts a task: a job, or, in a cluster, a call of an API about a job, which it answers immediately.
func (d *drive) begin(task interp.Task) {
	id := idOf.FindString(string(task.Input))
	if job := d.jobOf(task); job != "" && d.ids[id] == "" {
		d.ids[id] = job
		d.tried[job]++
	}
	job := d.ids[id]
	status, output := d.outcome(job)
	role := d.annotations[task.State].Role
	switch {
	case !strings.Contains(task.Resource, "eks:call"):
		d.work(task, job)
	case role == annotation.Poll:
		d.answer(task, `{"ResponseBody": {"status": `+rayStatus(task, status)+`, "driver_node_id": "n", "metadata": {"rayorch.execution": "`+execution+`", `+
			`"annotations": {"rayorch.dev/execution": "`+execution+`"}}}}`)
	case role == annotation.ReadOutput:
		d.answer(task, `{"ResponseBody": "::rayorch-output::`+strings.ReplaceAll(output, `"`, `\"`)+`\n"}`)
	case role == annotation.PollStart && status == "PENDING":
		d.answer(task, `{"ResponseBody": {"items": [{"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", `+
			`"reason": "Unschedulable", "message": "no node"}]}}]}}`)
	case role == annotation.PollStart:
		d.answer(task, `{"ResponseBody": {"items": [{"status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}}]}}`)
	case role == annotation.Diagnose:
		d.answer(task, `{"ResponseBody": {"items": [{"metadata": {"creationTimestamp": "1"}, "status": {"phase": "Failed", `+
			`"containerStatuses": [{"state": {"terminated": {"exitCode": 1, "message": "it broke"}}}]}}]}}`)
	default:
		d.answer(task, `{"ResponseBody": {}}`)
	}
}

// jobOf returns the job that a task submits, according to its environment, "" if it submits none.
func (d *drive) jobOf(task interp.Task) string {
	found := stepOf.FindSubmatch(task.Input)
	if found == nil {
		return ""
	}
	job := string(found[1])
	if d.annotations[task.State].Scope == annotation.OnFailure {
		job = "cleanup " + job
	}
	if i := indexOf.FindSubmatch(task.Input); i != nil {
		job += "[" + string(i[1]) + "]"
	}
	return job
}

// work starts a task that runs as long as its job.
func (d *drive) work(task interp.Task, job string) {
	status, _ := d.outcome(job)
	if status != "PENDING" {
		d.facts = append(d.facts, interp.TaskSubmitted{Task: task.ID, Output: []byte(`{"Id":"x"}`)})
	}
	if fact := d.ends(task.ID, job); fact != nil {
		d.facts = append(d.facts, fact)
	} else {
		d.hang[job] = task.ID
	}
}

func (d *drive) answer(task interp.Task, output string) {
	d.facts = append(d.facts, interp.TaskEnded{Task: task.ID, Output: []byte(output)})
}

// outcome returns the status of a job, with the names of Ray's API, and its output.
func (d *drive) outcome(job string) (status, output string) {
	outcome, times := d.jobs[job], 0
	n, _ := fmt.Sscanf(outcome, "fails %d times", &times)
	switch {
	case outcome == "hangs":
		return "RUNNING", ""
	case outcome == "waits":
		return "PENDING", ""
	case outcome == "fails", n == 1 && d.tried[job] <= times:
		return "FAILED", ""
	case outcome == "", n == 1:
		return "SUCCEEDED", "null"
	}
	return "SUCCEEDED", outcome
}

// rayStatus returns the status of a job in JSON: a string for Ray's job record, or an object for a RayJob.
func rayStatus(task interp.Task, status string) string {
	message := ""
	if status == "PENDING" {
		message = `, "message": "Job has not started yet."`
	}
	if !strings.Contains(string(task.Input), "/rayjobs/") {
		return `"` + status + `"` + message
	}
	return `{"jobStatus": "` + status + `", "jobDeploymentStatus": "Running"` + message + `}`
}

// ends returns the end of a task that runs as long as its job, nil while the job runs.
func (d *drive) ends(task, job string) interp.Fact {
	status, output := d.outcome(job)
	switch status {
	case "FAILED":
		return interp.TaskEnded{Task: task, Error: map[bool]string{true: stepfn.JobFailed, false: stepfn.StatesTaskFailed}[d.target == "local"], Cause: "it broke"}
	case "SUCCEEDED":
		return interp.TaskEnded{Task: task, Output: []byte(`{"Output": ` + output + `, "logs": {"pods": {"p": {"containers": {"c": {"log": "` +
			strings.ReplaceAll("::rayorch-output::"+output, `"`, `\"`) + `\n"}}}}}}`)}
	}
	return nil
}

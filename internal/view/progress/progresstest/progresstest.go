// Package progresstest makes histories of compiled pipelines for tests of the fold in internal/view/progress and of what serves it. The
// interpreter runs with a simulated clock and without jobs. Tests call it.
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

// Story is a pipeline with the outcomes of its jobs and the resulting statuses of its steps, on this machine and in a cluster.
type Story struct {
	Steps string
	// Jobs are the outcomes of jobs by step, with [i] inside a forEach and "cleanup STEP" for a job of onFailure: "fails", "fails 2
	// times", "hangs", "waits" (it is never submitted), or the job's output. Other jobs succeed with the output null.
	Jobs map[string]string
	// Then are the actions, each after ten seconds without progress: "abort", "redrive", "retry" (the time of the next attempt),
	// "timeout" and "end" (of the run), "look" (at the statuses; "look at once" does not wait), and "JOB: OUTCOME", the outcome of a
	// job from then on.
	Then []string
	// Want are the steps with their statuses, in order, for each look and for the end, separated by "then".
	Want []string
}

// Redriven is the story with a redrive after its end, in which every job succeeds.
func (s Story) Redriven() Story {
	s.Then = append(slices.Clone(s.Then), "end", "look")
	for job := range s.Jobs {
		s.Then = append(s.Then, job+": 1")
	}
	s.Then, s.Want = append(s.Then, "redrive"), nil
	return s
}

// Targets are where a story is played: on this machine, or in a cluster with a submission mode. In modes proxy and rayjob, the jobs
// are Ray jobs.
var Targets = []string{"local", "job", "proxy", "rayjob"}

const execution = "arn:aws:states:us-east-1:123456789012:execution:p:one"

// Event is an event of a history, with its JSON in the API.
type Event struct {
	types.HistoryEvent
	JSON json.RawMessage
}

// Play drives a story to its end and returns its definition and its history, in parts between the looks.
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
		parts: [][]Event{nil}, says: progress.ReadStates(r.Definition)}
	d.run = interp.New(interp.Params{ExecutionARN: execution, Name: "one",
		MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:p", MachineName: "p", Input: []byte("{}"), StartTime: start, Seed: 1}, m)
	for job, outcome := range s.Jobs {
		d.jobs[job] = outcome
	}
	d.to(interp.Start{})
	for _, what := range s.Then {
		d.act(what)
	}
	d.act("end")
	return r.Definition, d.parts
}

// drive is one run of a story.
type drive struct {
	t      testing.TB
	target string
	run    *interp.Run
	now    time.Time
	jobs   map[string]string // outcomes
	ids    map[string]string // jobs by the ids of their attempts
	tried  map[string]int
	hang   map[string]string // tasks by job
	facts  []interp.Fact
	parts  [][]Event
	says   progress.States
}

func (d *drive) act(what string) {
	d.t.Helper()
	for i := 0; i < 5 && what != "look at once"; i++ { // in a cluster, a step polls whether its pod runs
		d.now = d.now.Add(2 * time.Second)
		d.to(interp.Wake{})
	}
	switch what {
	case "look", "look at once":
		d.parts = append(d.parts, nil)
	case "abort":
		d.to(interp.Abort{})
	case "redrive":
		if d.run.Head().Status != stepfn.Succeeded {
			d.to(interp.Redrive{})
		}
	case "end":
		for d.run.Head().Status == stepfn.Running {
			d.wake()
		}
	case "retry":
		d.wake()
	case "timeout":
		d.now = d.now.Add(25 * time.Hour)
		d.to(interp.Wake{})
	default:
		job, outcome, _ := strings.Cut(what, ": ")
		d.jobs[job] = outcome // in a cluster, a redrive evaluates the last outcome again
		if task := d.hang[job]; task != "" {
			delete(d.hang, job)
			if fact := d.ends(task, job); fact != nil {
				d.to(fact)
			}
		}
	}
}

// to applies a fact and the facts that follow from it, until nothing is left to do.
func (d *drive) to(f interp.Fact) {
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

// wake advances the clock to the next timer.
func (d *drive) wake() {
	d.t.Helper()
	before := d.run.Head().LastEvent
	for range 100 {
		d.now = d.now.Add(time.Minute)
		d.to(interp.Wake{})
		if d.run.Head().LastEvent != before {
			return
		}
	}
	d.t.Fatalf("the run does not continue; these jobs hang: %v", d.hang)
}

// note keeps an event as the API's clients get it.
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

// In mode job, the environment is a list; in mode rayjob, it is JSON in a string.
var (
	stepOf  = regexp.MustCompile(`RAYORCH_STEP\\?"(?:,"value")?:\\?"([a-z]+)`)
	indexOf = regexp.MustCompile(`RAYORCH_INDEX\\?"(?:,"value")?:\\?"([0-9]+)`)
	idOf    = regexp.MustCompile(`r[0-9a-f]{12}-[a-z]+-[0-9a-f]{10}`)
)

// begin starts a task: a job of a step, or in a cluster, a call about a job.
func (d *drive) begin(task interp.Task) {
	id := idOf.FindString(string(task.Input))
	if job := d.jobOf(task); job != "" && d.ids[id] == "" {
		d.ids[id] = job
		d.tried[job]++
	}
	job := d.ids[id]
	status, output := d.outcome(job)
	role := d.says[task.State].Role
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

// jobOf is the job that a task submits, by its environment.
func (d *drive) jobOf(task interp.Task) string {
	found := stepOf.FindSubmatch(task.Input)
	if found == nil {
		return ""
	}
	job := string(found[1])
	if d.says[task.State].Scope == annotation.OnFailure {
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

// outcome is the status of a job, in Ray's words, and its output.
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

// rayStatus is the status of a job as a string in Ray's record, or as an object in a RayJob.
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

// ends is the end of a task that runs as long as its job; nil while the job runs.
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

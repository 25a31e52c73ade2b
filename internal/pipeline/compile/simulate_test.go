package compile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// answer is the response of a cluster to a call: a result, or an error with its cause.
type answer struct{ body, failure, cause string }

// simulation runs a definition against a simulated cluster, with a simulated clock.
type simulation struct {
	interp.Head
	now    time.Time
	calls  []string // method and path, or Job and its name
	events int
}

// simulate runs a definition. play responds to its calls, and returns false for a call that does not end.
func simulate(t *testing.T, definition []byte, play func(s *simulation, call string, in *value.Object) (answer, bool)) *simulation {
	t.Helper()
	return simulateRedriven(t, definition, 0, play)
}

// simulateRedriven is like simulate, and redrives the run this number of times if it fails.
func simulateRedriven(t *testing.T, definition []byte, redrives int, play func(s *simulation, call string, in *value.Object) (answer, bool)) *simulation {
	t.Helper()
	return simulateInput(t, definition, "{}", redrives, play)
}

// simulateInput is like simulateRedriven, with an input for the execution.
func simulateInput(t *testing.T, definition []byte, input string, redrives int, play func(s *simulation, call string, in *value.Object) (answer, bool)) *simulation {
	t.Helper()
	m, err := asl.Parse(definition)
	if err != nil {
		t.Fatal(err)
	}
	s := &simulation{now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	r := interp.New(interp.Params{ExecutionARN: "arn:execution", Name: "run1", MachineARN: "arn:machine", MachineName: "p",
		Input: []byte(input), StartTime: s.now, Seed: 1}, m)
	facts := []interp.Fact{interp.Start{}}
	for range 200_000 {
		var f interp.Fact = interp.Wake{}
		if len(facts) > 0 {
			f, facts = facts[0], facts[1:]
		}
		d, err := r.Apply(f, s.now)
		if err != nil {
			t.Fatal(err)
		}
		s.events += len(d.Events)
		for _, task := range d.Tasks {
			if fact := s.act(t, task, play); fact != nil {
				facts = append(facts, fact)
			}
		}
		if d.More {
			facts = append([]interp.Fact{interp.Continue{}}, facts...)
		}
		if d.Closed {
			if s.Head = r.Head(); redrives == 0 || s.Status != stepfn.Failed {
				return s
			}
			redrives--
			facts = []interp.Fact{interp.Redrive{}}
			continue
		}
		if len(facts) == 0 && d.Wake.After(s.now) {
			s.now = d.Wake
		}
	}
	t.Fatalf("the run does not end: %v", s.calls)
	return nil
}

func (s *simulation) act(t *testing.T, task interp.Task, play func(*simulation, string, *value.Object) (answer, bool)) interp.Fact {
	t.Helper()
	in, err := value.ParseObject(task.Input)
	if err != nil {
		t.Fatal(err)
	}
	call := fmt.Sprintf("%v %v", get(in, "Method"), get(in, "Path"))
	if name := get(in, "Job", "metadata", "name"); name != nil {
		call = fmt.Sprintf("Job %v", name)
	}
	s.calls = append(s.calls, call)
	a, ended := play(s, call, in)
	switch {
	case !ended:
		return nil
	case a.failure != "":
		return interp.TaskEnded{Task: task.ID, Error: a.failure, Cause: a.cause}
	}
	return interp.TaskEnded{Task: task.ID, Output: []byte(a.body)}
}

// made returns the number of calls that start with prefix.
func (s *simulation) made(prefix string) int {
	n := 0
	for _, call := range s.calls {
		if strings.HasPrefix(call, prefix) {
			n++
		}
	}
	return n
}

func (s *simulation) want(t *testing.T, status, text string) {
	t.Helper()
	got := s.Error + ": " + s.Cause + string(s.Output)
	if string(s.Status) != status || !strings.Contains(got, text) {
		t.Fatalf("%s %s, want %s %s\n%s", s.Status, got, status, text, strings.Join(s.calls, "\n"))
	}
}

const rayStep = head + `
targets: {c: {kind: kubernetes}}
steps: [{name: one, ray: {entrypoint: x}, timeout: 1h}]
`

func definition(t *testing.T, text, mode string) []byte {
	t.Helper()
	r, err := inCluster(t, text, compile.Options{Target: "c", Submit: mode})
	if err != nil {
		t.Fatal(err)
	}
	return r.Definition
}

const (
	podRuns  = `{"ResponseBody": {"items": [{"metadata": {"creationTimestamp": "1"}, "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}}]}}`
	noPods   = `{"ResponseBody": {"items": []}}`
	jobDone  = `{"logs": {"pods": {"p": {"containers": {"submit": {"log": "line\n::rayorch-output::[7]\n"}}}}}}`
	jobGone  = `{"ResponseBody": {}}`
	notFound = `{"ResponseBody":{"kind":"Status","message":"services not found"},"StatusCode":404}`
)

// TestLostAnswers simulates a lost response to the creation of a Job: the Job is deleted and the attempt repeated, unless the Job belongs to
// another execution.
func TestLostAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		owner, status, want string
		created, deleted    int
	}{
		"ours":    {"arn:execution", "SUCCEEDED", `{"one":[7]}`, 2, 1},
		"foreign": {"somebody", "FAILED", "Ray.SubmitFailed: another Job has the name", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, definition(t, rayStep, "job"), func(s *simulation, call string, _ *value.Object) (answer, bool) {
				switch {
				case strings.HasPrefix(call, "Job ") && s.made("Job ") == 1:
					return answer{failure: "EKS.409", cause: "already exists"}, true
				case strings.HasPrefix(call, "Job "):
					return answer{body: jobDone}, true
				case strings.HasPrefix(call, "GET /apis/batch"):
					return answer{body: `{"ResponseBody": {"metadata": {"annotations": {"rayorch.dev/execution": "` + c.owner + `"}}}}`}, true
				case strings.HasPrefix(call, "DELETE"):
					return answer{body: jobGone}, true
				}
				return answer{body: podRuns}, true
			})
			s.want(t, c.status, c.want)
			if s.made("Job ") != c.created || s.made("DELETE") != c.deleted {
				t.Errorf("%d creations, %d deletions", s.made("Job "), s.made("DELETE"))
			}
		})
	}
}

// TestJobEnds simulates the failures of a submitter's Job.
func TestJobEnds(t *testing.T) {
	pod := func(status string) string {
		return `{"ResponseBody": {"items": [{"metadata": {"creationTimestamp": "1"}, "status": ` + status + `}]}}`
	}
	ended := func(code int, reason, message string) string {
		return pod(fmt.Sprintf(`{"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": %d, "reason": %q, "message": %q}}}]}`, code, reason, message))
	}
	for name, c := range map[string]struct {
		cause, pods, want string
		stops             int
	}{
		"its own code":   {"failed", ended(43, "Error", "gone"), "Ray.HeadLost: gone", 0},
		"no environment": {"failed", ended(49, "Error", "no wheel"), "Ray.RuntimeEnvFailed: no wheel", 0},
		"killed":         {"failed", ended(137, "OOMKilled", "x"), "Ray.SubmitFailed: the submitter exited with code 137: OOMKilled x", 1},
		"too long":       {"reason DeadlineExceeded", pod(`{"phase": "Failed", "reason": "DeadlineExceeded"}`), "States.Timeout: the job timed out after 3600 s (limit 3600 s)", 1},
		"refused":        {"forbidden", noPods, "Ray.SubmitFailed: forbidden", 0},
		"no permission":  {`{"ResponseBody":{"kind":"Status","metadata":{},"message":"jobs.batch \"x\" is forbidden: no \\d","reason":"Forbidden"},"StatusCode":403}`, noPods, `Ray.SubmitFailed: jobs.batch "x" is forbidden: no \d`, 0},
		"plain body":     {`{"ResponseBody":"a\nb","StatusCode":500}`, noPods, "Ray.SubmitFailed: a\nb", 0},
		"cut short":      {`{"ResponseBody":"a`, noPods, `Ray.SubmitFailed: {"ResponseBody":"a`, 0},
		"evicted":        {"failed", pod(`{"phase": "Failed", "reason": "Evicted", "message": "low on disk"}`), "Ray.SubmitFailed: failed", 1},
		"deadline alone": {"DeadlineExceeded", noPods, "States.Timeout: ", 1}, // Kubernetes has deleted the pod
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, definition(t, rayStep, "job"), func(s *simulation, call string, _ *value.Object) (answer, bool) {
				switch {
				case strings.HasSuffix(call, "-stop"):
					return answer{body: "{}"}, true
				case strings.HasPrefix(call, "Job "):
					return answer{failure: "States.TaskFailed", cause: c.cause}, true
				case strings.HasPrefix(call, "DELETE"):
					return answer{body: jobGone}, true
				}
				return answer{body: c.pods}, true
			})
			s.want(t, "FAILED", c.want)
			if stops := s.made("Job ") - 1; stops != c.stops || s.made("DELETE") != 1 {
				t.Errorf("%d stops, %d deletions", stops, s.made("DELETE"))
			}
		})
	}
}

// rayJob returns a response with a Ray job's record.
func rayJob(status, more string) string {
	return `{"ResponseBody": {"status": "` + status + `", "driver_node_id": "n", "metadata": {"rayorch.execution": "arn:execution"}` + more + `}}`
}

// TestProxyEnds simulates the responses of Ray and of the API server in front of it.
func TestProxyEnds(t *testing.T) {
	ok := answer{body: `{"ResponseBody": {}}`}
	done := answer{body: rayJob("SUCCEEDED", "")}
	log := answer{body: `{"ResponseBody": "\n\n::rayorch-output::[7]\n"}`}
	text := func(status int, text string) answer {
		return answer{failure: fmt.Sprintf("EKS.%d", status), cause: fmt.Sprintf(`{"ResponseBody":%q,"StatusCode":%d}`, text, status)}
	}
	for name, c := range map[string]struct {
		submit, look, read answer
		status, want       string
	}{
		"output":          {ok, done, log, "SUCCEEDED", `{"one":[7]}`},
		"already there":   {text(500, "Please use a different submission_id"), done, log, "SUCCEEDED", `{"one":[7]}`},
		"refused":         {text(500, "bad runtime_env"), text(404, "Job does not exist"), log, "FAILED", "Ray.SubmitFailed: bad runtime_env"},
		"lost":            {ok, text(404, "Job does not exist"), log, "FAILED", "Ray.HeadLost: Ray has no job"},
		"no service":      {answer{failure: "EKS.404", cause: `{"ResponseBody":{"kind":"Status"}}`}, ok, log, "FAILED", "Ray.Unreachable"},
		"service goes":    {ok, answer{failure: "EKS.404", cause: notFound}, log, "FAILED", "Ray.Unreachable"},
		"no endpoints":    {text(503, "no endpoints"), ok, log, "FAILED", "Ray.Unreachable"},
		"no permission":   {text(403, "forbidden"), ok, log, "FAILED", "Ray.Unauthorized"},
		"failed":          {ok, answer{body: rayJob("FAILED", `, "message": "it broke"`)}, log, "FAILED", "Ray.JobFailed: it broke"},
		"no environment":  {ok, answer{body: rayJob("FAILED", `, "message": "runtime_env setup failed: no wheel"`)}, log, "FAILED", "Ray.RuntimeEnvFailed: runtime_env setup failed: no wheel"},
		"stopped":         {ok, answer{body: rayJob("STOPPED", `, "message": "by hand"`)}, log, "FAILED", "Ray.JobStopped: by hand"},
		"another's":       {ok, answer{body: `{"ResponseBody": {"status": "RUNNING"}}`}, log, "FAILED", "Ray.SubmitFailed: another Ray job has the id"},
		"unread":          {ok, done, answer{body: `{"ResponseBody": {"no": "text"}}`}, "SUCCEEDED", `{"one":null}`},
		"unreachable log": {ok, done, text(500, "no log"), "SUCCEEDED", `{"one":null}`},
		"invalid JSON":    {ok, done, answer{body: `{"ResponseBody": "::rayorch-output::{"}`}, "FAILED", "Ray.JobFailed: the job's output"},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, definition(t, rayStep, "proxy"), func(_ *simulation, call string, _ *value.Object) (answer, bool) {
				switch {
				case strings.HasSuffix(call, "/proxy/api/jobs/"):
					return c.submit, true
				case strings.Contains(call, "/api/jobs/"):
					return c.look, true
				}
				return c.read, true
			})
			s.want(t, c.status, c.want)
		})
	}
}

// TestAgentNotReady simulates a head whose agent has not started yet: the job is submitted again.
func TestAgentNotReady(t *testing.T) {
	s := simulate(t, definition(t, rayStep, "proxy"), func(s *simulation, call string, _ *value.Object) (answer, bool) {
		switch sent := s.made("POST"); {
		case strings.HasPrefix(call, "POST") && sent < 3:
			return answer{failure: "EKS.500", cause: "No available agent"}, true
		case strings.HasPrefix(call, "POST"):
			return answer{body: `{"ResponseBody": {}}`}, true
		case strings.Contains(call, "/api/v0/"):
			return answer{body: `{"ResponseBody": "::rayorch-output::1"}`}, true
		case sent < 3:
			return answer{failure: "EKS.404", cause: "does not exist"}, true
		}
		return answer{body: rayJob("SUCCEEDED", "")}, true
	})
	s.want(t, "SUCCEEDED", `{"one":1}`)
}

// TestLongRuns compares the computed bounds with the events of a run: a job of a year in each submission mode that polls.
func TestLongRuns(t *testing.T) {
	for _, mode := range []string{"proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			r, err := inCluster(t, head+"targets: {c: {kind: kubernetes}}\nsteps: [{name: one, ray: {entrypoint: x}, pendingTimeout: 1h}]\n",
				compile.Options{Target: "c", Submit: mode})
			if err != nil {
				t.Fatal(err)
			}
			var start time.Time
			s := simulate(t, r.Definition, func(s *simulation, call string, _ *value.Object) (answer, bool) {
				if start.IsZero() {
					start = s.now
				}
				status := "RUNNING"
				if s.now.Sub(start) > 364*24*time.Hour {
					status = "SUCCEEDED"
				}
				switch {
				case strings.Contains(call, "/logs/file"):
					return answer{body: `{"ResponseBody": "::rayorch-output::1"}`}, true
				case strings.Contains(call, "/rayjobs/"):
					return answer{body: `{"ResponseBody": {"metadata": {"annotations": {"rayorch.dev/execution": "arn:execution"}}, "status": {"jobStatus": "` + status + `", "jobDeploymentStatus": "Running"}}}`}, true
				}
				return answer{body: rayJob(status, "")}, true
			})
			s.want(t, "SUCCEEDED", `{"one":1}`)
			if s.events > r.Bounds.Events || r.Bounds.Events > s.events+s.events/5 {
				t.Errorf("a year has %d events, the computed bound is %d", s.events, r.Bounds.Events)
			}
		})
	}
}

// TestTimedOut checks that the cause of a timeout has the time of the job and the limit.
func TestTimedOut(t *testing.T) {
	const step = head + "targets: {c: {kind: kubernetes}}\nsteps: [{name: one, ray: {entrypoint: x}, timeout: 100s}]\n"
	for _, mode := range []string{"proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			stopped := false
			s := simulate(t, definition(t, step, mode), func(_ *simulation, call string, _ *value.Object) (answer, bool) {
				stopped = stopped || strings.HasSuffix(call, "/stop") || strings.HasPrefix(call, "DELETE")
				switch {
				case strings.Contains(call, "/rayjobs/"):
					return answer{body: `{"ResponseBody": {"metadata": {"annotations": {"rayorch.dev/execution": "arn:execution"}}, "status": {"jobStatus": "RUNNING", "jobDeploymentStatus": "Running"}}}`}, true
				case stopped:
					return answer{body: rayJob("STOPPED", "")}, true
				}
				return answer{body: rayJob("RUNNING", "")}, true
			})
			s.want(t, "FAILED", "States.Timeout: the job timed out after 1")
			s.want(t, "FAILED", " s (limit 100 s)")
		})
	}
}

// TestLongPending compares the computed bounds with the events of a run whose pod does not start.
func TestLongPending(t *testing.T) {
	r, err := inCluster(t, head+"targets: {c: {kind: kubernetes}}\nsteps: [{name: one, ray: {entrypoint: x}, pendingTimeout: 2d}]\n",
		compile.Options{Target: "c"})
	if err != nil {
		t.Fatal(err)
	}
	const waits = `{"ResponseBody": {"items": [{"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}]}}]}}`
	s := simulate(t, r.Definition, func(_ *simulation, call string, _ *value.Object) (answer, bool) {
		return answer{body: waits}, !strings.HasPrefix(call, "Job ")
	})
	s.want(t, "FAILED", "Ray.PendingTimeout: no pod of the job started within 172800 s: Unschedulable: no node")
	if s.events > r.Bounds.Events || r.Bounds.Events > 2*s.events {
		t.Errorf("two days have %d events, the computed bound is %d", s.events, r.Bounds.Events)
	}
}

// TestRayJobEnds simulates the statuses of a RayJob.
func TestRayJobEnds(t *testing.T) {
	for name, c := range map[string]struct{ status, want string }{
		"failed":         {`"jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "it broke"`, "Ray.JobFailed: AppFailed: it broke"},
		"no environment": {`"jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "Failed to start supervisor actor r: 'bad'. Traceback: ray/_private/runtime_env/validation.py"`, "Ray.RuntimeEnvFailed: AppFailed: Failed to start"},
		"stopped":        {`"jobStatus": "STOPPED", "jobDeploymentStatus": "Complete"`, "Ray.JobStopped"},
		"too long":       {`"jobStatus": "RUNNING", "jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"`, "States.Timeout"},
		"invalid":        {`"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "bad spec"`, "Ray.SubmitFailed: ValidationFailed: bad spec"},
		"head lost":      {`"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Failed", "reason": "AppFailed"`, "Ray.HeadLost"},
		"not submitted":  {`"jobDeploymentStatus": "Failed", "reason": "SubmissionFailed", "message": "BackoffLimitExceeded"`, "Ray.SubmitFailed: SubmissionFailed"},
		"begun anew":     {`"jobStatus": "RUNNING", "jobDeploymentStatus": "Running", "rayJobInfo": {"startTime": "NOW"}`, "Ray.HeadLost: the head was replaced"},
		"never handled":  {`"none": 1`, "Ray.PendingTimeout: Ray did not start the job within 900 s: RayJob not handled by KubeRay"},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, definition(t, rayStep, "rayjob"), func(s *simulation, call string, _ *value.Object) (answer, bool) {
				if strings.HasPrefix(call, "GET") && strings.Contains(call, "/rayjobs/") {
					status := strings.Replace(c.status, "NOW", s.now.Format(time.RFC3339), 1)
					return answer{body: `{"ResponseBody": {"metadata": {"annotations": {"rayorch.dev/execution": "arn:execution"}}, "status": {` + status + `}}}`}, true
				}
				return answer{body: noPods}, true
			})
			s.want(t, "FAILED", c.want)
			if s.made("DELETE") != 1 {
				t.Error("the RayJob was not deleted")
			}
		})
	}
}

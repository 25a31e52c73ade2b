package compile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

const redriveSteps = `
steps:
- {name: first, ray: {entrypoint: x}}
- name: both
  parallel:
    steps:
    - {name: calm, ray: {entrypoint: x}}
    - {name: shaky, ray: {entrypoint: x}, retry: {attempts: 2}ONFAILURE}
`

// TestRedrive redrives a run in which a step in a group has failed: only this step runs again, with new ids and with as many attempts as
// before.
func TestRedrive(t *testing.T) {
	for _, mode := range []string{"local", "job", "proxy", "rayjob"} {
		for name, onFailure := range map[string]string{"plain": "", "cleanup": ", onFailure: {ray: {entrypoint: tidy}}"} {
			t.Run(mode+" "+name, func(t *testing.T) {
				f := &flaky{fails: 4, tidies: map[bool]int{true: 2}[onFailure != ""]}
				s := simulateRedriven(t, f.compile(t, mode, strings.Replace(redriveSteps, "ONFAILURE", onFailure, 1)), 2, f.play)
				s.want(t, "SUCCEEDED", `{"first":1,"both":{"calm":1,"shaky":1}}`)
				f.check(t, s, map[string]int{"first": 1, "calm": 1, "shaky": 5 + f.tidies})
			})
		}
	}
}

// flaky simulates a Ray on which the first jobs of the step shaky fail: fails of them in total. Their cleanups succeed.
type flaky struct {
	fails, tidies int
	ids           []string
}

func (f *flaky) compile(t *testing.T, mode, steps string) []byte {
	t.Helper()
	if mode == "local" {
		return build(t, "version: 1\nname: w\n"+steps, compile.Options{}).Definition
	}
	return definition(t, head+"\ntargets: {c: {kind: kubernetes}}\n"+steps, mode)
}

// play responds to the calls of any submission mode. It recognizes a job by its id, which contains the step's name.
func (f *flaky) play(_ *simulation, call string, in *value.Object) (answer, bool) {
	id := submitted(in)
	if id != "" && !slices.Contains(f.ids, id) {
		f.ids = append(f.ids, id)
	}
	at := call
	if id != "" {
		at += " " + id
	}
	fails := f.fail(at)
	switch {
	case get(in, "SubmissionId") != nil && fails:
		return answer{failure: "Ray.JobFailed", cause: "it broke"}, true
	case get(in, "SubmissionId") != nil:
		return answer{body: `{"Output": 1}`}, true
	case strings.HasPrefix(call, "Job ") && fails:
		return answer{failure: "States.TaskFailed", cause: "it broke"}, true
	case strings.HasPrefix(call, "Job "):
		return answer{body: strings.Replace(jobDone, "[7]", "1", 1)}, true
	case strings.Contains(call, "/logs/file"):
		return answer{body: `{"ResponseBody": "::rayorch-output::1"}`}, true
	case strings.Contains(call, "/rayjobs/"):
		status := map[bool]string{true: "FAILED", false: "SUCCEEDED"}[fails]
		return answer{body: `{"ResponseBody": {"metadata": {"annotations": {"rayorch.dev/execution": "arn:execution"}}, "status": {"jobStatus": "` + status + `", "jobDeploymentStatus": "Running"}}}`}, true
	case strings.Contains(call, "/api/jobs/"):
		return answer{body: rayJob(map[bool]string{true: "FAILED", false: "SUCCEEDED"}[fails], "")}, true
	case strings.HasSuffix(call, "/pods"):
		return answer{body: `{"ResponseBody": {"items": [{"metadata": {"creationTimestamp": "1"}, "status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 41, "message": "it broke"}}}]}}]}}`}, true
	}
	return answer{body: "{}"}, true
}

// fail reports whether the job of a call is one that fails. After each two attempts, the third job is a cleanup.
func (f *flaky) fail(call string) bool {
	n := 0
	for _, id := range f.ids {
		if !strings.Contains(id, "-shaky-") {
			continue
		}
		n++
		cleanup := f.tidies > 0 && n%3 == 0 && n <= 3*f.tidies
		if strings.Contains(call, id) {
			return !cleanup && n <= f.fails+f.tidies
		}
	}
	return false
}

// submitted returns the id of the job that a call submits, or "" for other calls.
func submitted(in *value.Object) string {
	for _, path := range [][]string{{"SubmissionId"}, {"Job", "metadata", "name"}, {"RequestBody", "submission_id"}, {"RequestBody", "metadata", "name"}} {
		if id := get(in, path...); id != nil {
			return fmt.Sprint(id)
		}
	}
	return ""
}

// check checks the number of jobs of each step, and that all jobs have different ids.
func (f *flaky) check(t *testing.T, s *simulation, want map[string]int) {
	t.Helper()
	for step, n := range want {
		got := 0
		for _, id := range f.ids {
			if strings.Contains(id, "-"+step+"-") {
				got++
			}
		}
		if got != n {
			t.Errorf("%s has %d jobs, want %d: %v\n%v", step, got, n, f.ids, s.calls)
		}
	}
}

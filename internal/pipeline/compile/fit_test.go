package compile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

const twoParams = head + `
params: {a: {default: ""}, b: {default: ""}}
targets: {here: {kind: local}, c: {kind: kubernetes, jobImage: x}}
steps: [{name: one, STEP}]
`

// TestLongParamsArePassedOnce checks that a task on this machine gets long parameters as an object, because environment variables with them
// would be too large for its input.
func TestLongParamsArePassedOnce(t *testing.T) {
	for _, step := range []string{"job: {shell: 'true'}", "ray: {entrypoint: 'true'}"} {
		definition := build(t, strings.Replace(twoParams, "STEP", step, 1), compile.Options{Target: "here"}).Definition
		for size, long := range map[int]bool{9_000: false, 120_000: true} {
			r := execute(t, definition, fmt.Sprintf(`{"a": %q, "b": %[1]q}`, strings.Repeat("x", size)))
			if r.Status != stepfn.Succeeded {
				t.Fatalf("%s: %s", r.Error, r.Cause)
			}
			in := r.calls[0]
			env := get(in, "Environment")
			if env == nil {
				env = get(in, "RuntimeEnv", "env_vars")
			}
			params, _ := get(in, "Params").(*value.Object)
			if given := get(env, "RAYORCH_PARAMS") != nil; given == long || given != (get(env, "RAYORCH_PARAM_A") != nil) || long != (params.Len() == 2) {
				t.Errorf("%s with %d characters: the input is %.300s", step, size, value.Text(in))
			}
		}
	}
}

// TestTooLargeForACluster checks that values which are too large for a job in a cluster are rejected, with their names.
func TestTooLargeForACluster(t *testing.T) {
	in := func(sizes ...int) string {
		return fmt.Sprintf(`{"a": %q, "b": %q}`, strings.Repeat("x", sizes[0]), strings.Repeat(`"`, sizes[1]))
	}
	for name, c := range map[string]struct{ modes, step, input, name, cause string }{
		"parameter":  {"proxy rayjob", "ray: {entrypoint: x}", in(131_000, 5), "Params.Invalid", "the parameters must have at most 58000 characters as JSON, got 131025; the largest is a with 131000:"},
		"largest":    {"job", "ray: {entrypoint: x}", in(240_000, 5), "Params.Invalid", "at most 230000 characters"},
		"plain job":  {"job proxy rayjob", "job: {shell: x}", in(131_000, 5), "Params.Invalid", "at most 120000 characters"},
		"together":   {"proxy rayjob", "ray: {entrypoint: x}", in(30_000, 20_000), "Params.Invalid", "the largest is a with 30000"},
		"escaped":    {"proxy rayjob", "ray: {entrypoint: x}", in(1_000, 26_000), "Ray.SubmitFailed", "the largest value is RAYORCH_PARAMS with 53015 characters"},
		"env":        {"proxy rayjob", "ray: {entrypoint: x, env: {MINE: 'é${{ params.a }}${{ params.a }}${{ params.a }}'}}", in(28_000, 0), "Ray.SubmitFailed", "the largest value is MINE with 84001 characters"},
		"entrypoint": {"proxy rayjob", "ray: {entrypoint: 'echo ${{ params.a }} ${{ params.a }} ${{ params.a }} '}", in(28_000, 0), "Ray.SubmitFailed", "the largest value is the entrypoint with 84"},
	} {
		for mode := range strings.FieldsSeq(c.modes) {
			definition := definition(t, strings.Replace(twoParams, "STEP", c.step, 1), mode)
			s := simulateInput(t, definition, c.input, 0, func(_ *simulation, call string, _ *value.Object) (answer, bool) {
				t.Errorf("%s, %s: %s", mode, name, call)
				return answer{body: noPods}, true
			})
			if s.Status != stepfn.Failed || s.Error != c.name || !strings.Contains(s.Cause, c.cause) || len(s.Cause) > 400 {
				t.Errorf("%s, %s: %s: %.2000s", mode, name, s.Error, s.Cause)
			}
		}
	}
}

// TestLongParamsInACluster checks that a submitter gets long parameters once, and that the pod of a plain job gets them in its environment.
func TestLongParamsInACluster(t *testing.T) {
	text := strings.Replace(twoParams, "STEP}", "ray: {entrypoint: x}}, {name: two, job: {shell: x}}", 1)
	for size, long := range map[int]bool{1000: false, 100_000: true} {
		jobs := map[string]string{}
		s := simulateInput(t, definition(t, text, "job"), fmt.Sprintf(`{"a": %q}`, strings.Repeat("x", size)), 0,
			func(_ *simulation, call string, in *value.Object) (answer, bool) {
				if name, ok := strings.CutPrefix(call, "Job "); ok {
					jobs[name[14:17]] = value.Text(in)
					return answer{body: jobDone}, true
				}
				return answer{body: podRuns}, true
			})
		if s.Status != stepfn.Succeeded {
			t.Fatalf("%s: %.500s", s.Error, s.Cause)
		}
		if n := strings.Count(jobs["two"], "RAYORCH_PARAM_A"); n != 1 || strings.Count(jobs["two"], "RAYORCH_PARAMS") != 1 {
			t.Errorf("the pod contains the parameter %d times", n)
		}
		if got := strings.Contains(jobs["one"], "RAYORCH_PARAM"); got == long {
			t.Errorf("the submitter's environment has %d characters: %v", size, got)
		}
	}
}

// TestLongestParamsInACluster checks that the submitter's Job fits into the input of a task.
func TestLongestParamsInACluster(t *testing.T) {
	text := strings.Replace(twoParams, "STEP", "ray: {entrypoint: x}", 1)
	s := simulateInput(t, definition(t, text, "job"), fmt.Sprintf(`{"a": %q}`, strings.Repeat("x", 229_900)), 0,
		func(_ *simulation, call string, _ *value.Object) (answer, bool) {
			if strings.HasPrefix(call, "Job ") {
				return answer{body: jobDone}, true
			}
			return answer{body: podRuns}, true
		})
	s.want(t, "SUCCEEDED", `{"one":[7]}`)
}

package compile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/interp"
	"github.com/rayorch/rayorch/internal/value"
)

const twoParams = head + `
params: {a: {default: ""}, b: {default: ""}}
targets: {here: {kind: local}, c: {kind: kubernetes, jobImage: x}}
steps: [{name: one, STEP}]
`

// TestLongParamsAreGivenOnce gives a task here parameters as an object where their texts would take too much of its input.
func TestLongParamsAreGivenOnce(t *testing.T) {
	for _, step := range []string{"job: {shell: 'true'}", "ray: {entrypoint: 'true'}"} {
		definition := build(t, strings.Replace(twoParams, "STEP", step, 1), compile.Options{Target: "here"}).Definition
		for size, long := range map[int]bool{9_000: false, 120_000: true} {
			r := execute(t, definition, fmt.Sprintf(`{"a": %q, "b": %[1]q}`, strings.Repeat("x", size)))
			if r.Status != interp.Succeeded {
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

// TestTooMuchForACluster refuses what no job there can be given, and names it.
func TestTooMuchForACluster(t *testing.T) {
	in := func(sizes ...int) string {
		return fmt.Sprintf(`{"a": %q, "b": %q}`, strings.Repeat("x", sizes[0]), strings.Repeat(`"`, sizes[1]))
	}
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		for name, c := range map[string]struct{ step, input, name, cause string }{
			"parameter": {"ray: {entrypoint: x}", in(131_000, 5), "Params.Invalid", "a has 131000 characters: the parameters have 131025 together as JSON"},
			"plain job": {"job: {shell: x}", in(131_000, 5), "Params.Invalid", "more than the 120000"},
			"together":  {"ray: {entrypoint: x}", in(30_000, 20_000), "Params.Invalid", "a has 30000 characters"},
			"escaped":   {"ray: {entrypoint: x}", in(1_000, 26_000), "Ray.SubmitFailed", "the largest variable is RAYORCH_PARAMS with 53015 characters"},
			"env":       {"ray: {entrypoint: x, env: {MINE: 'é${{ params.a }}${{ params.a }}${{ params.a }}'}}", in(28_000, 0), "Ray.SubmitFailed", "the largest variable is MINE with 84001 characters"},
		} {
			definition := definition(t, strings.Replace(twoParams, "STEP", c.step, 1), mode)
			s := simulateInput(t, definition, c.input, 0, func(_ *simulation, call string, _ *value.Object) (answer, bool) {
				if !strings.HasPrefix(call, "GET") && !strings.HasPrefix(call, "DELETE") {
					t.Errorf("%s, %s: %s", mode, name, call)
				}
				return answer{body: noPods}, true
			})
			if s.Status != interp.Failed || s.Error != c.name || !strings.Contains(s.Cause, c.cause) || len(s.Cause) > 400 {
				t.Errorf("%s, %s: %s: %.2000s", mode, name, s.Error, s.Cause)
			}
		}
	}
}

package compile_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

const declared = `output: {
  model: string, loss: {type: number, max: 10}, epochs: {type: integer, default: 3}, tags: {type: list, items: {type: string, minLength: 1}},
  best: {type: object, properties: {at: {type: integer, min: 0}, how: {choices: [fast, "it's"]}}}, "val/acc": {type: number, default: 0.5}, any: {type: list, default: []}}`

// TestOutputsAreChecked checks a job's output against the declaration of its step.
func TestOutputsAreChecked(t *testing.T) {
	const good = `"model":"m","loss":1,"tags":["x"],"best":{"at":1,"how":"fast"}`
	for output, want := range map[string]string{
		`{` + good + `}`:                       `{"epochs":3,"val/acc":0.5,"any":[],` + good + `}`,
		`{` + good + `,"epochs":5,"more":[1]}`: `{"val/acc":0.5,"any":[],` + good + `,"epochs":5,"more":[1]}`,
		`{` + good + `,"any":[1,{"x":[]}]}`:    `{"epochs":3,"val/acc":0.5,` + good + `,"any":[1,{"x":[]}]}`,
		``:                                     "it must be an object with the keys model, loss, epochs, tags, best, val/acc, any, got nothing",
		`[1]`:                                  "it must be an object with the keys model, loss, epochs, tags, best, val/acc, any, got [1]",
		`"text"`:                               `any, got "text"`,
		`{}`:                                   "model is missing and must be a string; loss is missing and must be a number; tags is missing and must be a list; best is missing and must be an object",
		`{` + good + `,"val/acc":"high"}`:      `val/acc must be a number, got "high"`,
		`{` + good + `,"epochs":2.5}`:          "epochs must be an integer, got 2.5",
		`{` + good + `,"epochs":null}`:         "epochs must be an integer, got null",
		strings.Replace(`{`+good+`}`, `1,`, `11,`, 1):               "loss must be at most 10, got 11",
		strings.Replace(`{`+good+`}`, `"x"`, `"x",""`, 1):           `tags[1] must have at least 1 characters, got ""`,
		strings.Replace(`{`+good+`}`, `{"at":1,`, `{`, 1):           "best.at is missing and must be an integer",
		strings.Replace(`{`+good+`}`, `"at":1`, `"at":-1,"x":2`, 1): "best.at must be at least 0, got -1",
		strings.Replace(`{`+good+`}`, `fast`, `slow`, 1):            `best.how must be one of fast, it's, got "slow"`,
	} {
		t.Run(output, func(t *testing.T) {
			job := "- {name: a, job: {shell: 'true'}, "
			if output != "" {
				job = strings.TrimSuffix(step("a", output, ", "), "}\n")
			}
			r := run(t, head+"steps:\n"+job+declared+"}\n- {name: b, job: {shell: 'echo $RAYORCH_OUTPUTS > $RAYORCH_OUTPUT'}}\noutputs: {a: '${{ steps.b.output.a }}'}\n", `{}`)
			if strings.HasPrefix(want, "{") {
				r.wantOutput(t, `{"a":`+want+`}`)
				return
			}
			r.wantFailure(t, "Step.OutputInvalid", "the output of step a is invalid: ")
			if !strings.HasSuffix(r.Cause, want) {
				t.Errorf("cause %s\nwant  %s", r.Cause, want)
			}
		})
	}
}

// TestInvalidOutputsEverywhere checks that the failure is the same in each submission mode, and retried only if retry.errors names it.
func TestInvalidOutputsEverywhere(t *testing.T) {
	for _, mode := range []string{"local", "job", "proxy", "rayjob"} {
		for name, c := range map[string]struct {
			more string
			jobs int
		}{
			"not retried":         {"retry: {attempts: 3}", 1},
			"retried":             {"retry: {attempts: 3, errors: [Step.OutputInvalid]}", 3},
			"all failed are":      {"retry: {attempts: 2, errors: [States.TaskFailed]}", 2},
			"all are":             {"retry: {attempts: 2, errors: [States.ALL]}", 2},
			"another one is":      {"retry: {attempts: 2, errors: [Ray.HeadLost]}", 1},
			"cleaned up":          {"onFailure: {ray: {entrypoint: tidy}}", 1},
			"retried, cleaned up": {"onFailure: {ray: {entrypoint: tidy}}, retry: {attempts: 2, errors: [Step.OutputInvalid]}", 2},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				f := &flaky{}
				steps := "steps: [{name: first, output: {model: string}, " + c.more + ", ray: {entrypoint: x}}, {name: next, ray: {entrypoint: x}}]\n"
				s := simulate(t, f.compile(t, mode, steps), f.play)
				s.want(t, "FAILED", "Step.OutputInvalid: the output of step first is invalid: it must be an object with the keys model, got 1")
				if strings.Contains(name, "cleaned") {
					c.jobs++
				}
				f.check(t, s, map[string]int{"first": c.jobs, "next": 0})
			})
		}
	}
}

// TestInvalidOutputRedriven checks that a redrive after an invalid output runs the step again.
func TestInvalidOutputRedriven(t *testing.T) {
	for _, mode := range []string{"local", "job", "proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			f := &flaky{}
			s := simulateRedriven(t, f.compile(t, mode, "steps: [{name: first, output: {model: string}, ray: {entrypoint: x}}]\n"), 2, f.play)
			s.want(t, "FAILED", "Step.OutputInvalid")
			f.check(t, s, map[string]int{"first": 3})
		})
	}
}

// TestDeclaredOutputsInCluster checks that each submission mode accepts a valid output, and adds its defaults.
func TestDeclaredOutputsInCluster(t *testing.T) {
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			f := &flaky{}
			steps := "steps: [{name: first, output: {loss: number, epochs: {type: integer, default: 3}}, ray: {entrypoint: x}}]\n"
			s := simulate(t, f.compile(t, mode, steps), func(s *simulation, call string, in *value.Object) (answer, bool) {
				a, ended := f.play(s, call, in)
				a.body = strings.Replace(a.body, "rayorch-output::1", `rayorch-output::{\"loss\":0.1}`, 1)
				return a, ended
			})
			s.want(t, "SUCCEEDED", `{"first":{"epochs":3,"loss":0.1}}`)
		})
	}
}

// TestDeclaredKeysNeedNoCheck checks that the definition does not check references to declared keys.
func TestDeclaredKeysNeedNoCheck(t *testing.T) {
	steps := "steps:\n- {name: a, OUTPUT, job: {shell: x}}\n- {name: b, when: steps.a.output.m.x == 1, job: {shell: 'y ${{ steps.a.output.m.x }}'}}\n"
	text := func(output string) string {
		return string(build(t, head+strings.Replace(steps, "OUTPUT", output, 1), compile.Options{}).Definition)
	}
	if got := text("output: {m: {type: object, properties: {x: {type: number}}}}"); strings.Contains(got, "Step.InputMissing: step b") {
		t.Errorf("a key that cannot be missing is checked:\n%s", got)
	}
	for _, output := range []string{"output: {m: object}", "when: true == true, output: {m: {type: object, properties: {x: {type: number}}}}"} {
		if got := text(output); !strings.Contains(got, "Step.InputMissing: step b") {
			t.Errorf("%s: a key that may be missing is not checked:\n%s", output, got)
		}
	}
}

// TestNotFiniteInCluster checks that the error names the key whose value is not a JSON number, in each submission mode.
func TestNotFiniteInCluster(t *testing.T) {
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		for output, want := range map[string]string{
			`{\"a\":\"\\\"b\\\": NaN\",\"loss\": NaN}`: "loss is NaN, which JSON does not support",
			`{\"loss\":-Infinity,\"acc\":1}`:           "loss is -Infinity, which JSON does not support",
			`{not`:                                     "",
		} {
			for kind, job := range map[string]string{"ray": "ray: {entrypoint: x}", "job": "job: {shell: x, image: i}"} {
				if mode == "job" && kind == "ray" { // submit.py checks the output
					continue
				}
				t.Run(mode+" "+kind+" "+output, func(t *testing.T) {
					f := &flaky{}
					s := simulate(t, f.compile(t, mode, "steps: [{name: first, "+job+"}]\n"), func(s *simulation, call string, in *value.Object) (answer, bool) {
						a, ended := f.play(s, call, in)
						a.body = strings.Replace(a.body, "rayorch-output::1", "rayorch-output::"+output, 1)
						a.body = strings.Replace(a.body, `"exitCode": 41`, `"exitCode": 0`, 1)
						return a, ended
					})
					s.want(t, "FAILED", want)
				})
			}
		}
	}
}

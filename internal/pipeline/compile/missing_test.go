package compile_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/value"
)

// TestConditionsInTheHistory checks that the history contains what the views of a run show: the reason why a step was skipped, and which
// values in its condition are missing.
func TestConditionsInTheHistory(t *testing.T) {
	const missing = `steps.a.output.lost, which step a did not return (it returned: v, list)`
	for cond, want := range map[string]string{
		"steps.a.output.v > params.n": `{"values":{"steps.a.output.v":1,"params.n":3},"missing":[]}`,
		"params.n == 4":               `{"values":{"params.n":3},"missing":[]}`,
		"steps.a.output.lost > 1":     `{"values":{"steps.a.output.lost":null},"missing":["` + missing + `"]}`,
		"steps.a.output.lost and steps.a.output['lost'] and steps.a.output.lost == 2": `{"values":{"steps.a.output.lost":null,"steps.a.output['lost']":null},
			"missing":["` + missing + `","steps.a.output['lost'], which step a did not return (it returned: v, list)"]}`,
		"steps.a.output.lost != null":                             `{"values":{"steps.a.output.lost":null},"missing":[]}`,
		"steps.a.output.lost != null and steps.a.output.lost > 1": `{"values":{"steps.a.output.lost":null},"missing":[]}`,
		"not (steps.a.output.lost == null or steps.a.output.lost.x < 1)": `{"values":{"steps.a.output.lost":null,"steps.a.output.lost.x":null},
			"missing":[]}`,
		"steps.a.output.v == null":      `{"values":{"steps.a.output.v":1},"missing":[]}`,
		"steps.a.output.list[3] > 1":    `{"values":{"steps.a.output.list[3]":null},"missing":["steps.a.output.list[3], which step a did not return (it returned: {\"v\":1,\"list\":[7]})"]}`,
		"steps.a.output.v.x":            `{"values":{"steps.a.output.v.x":null},"missing":["steps.a.output.v.x, which step a did not return (it returned: {\"v\":1,\"list\":[7]})"]}`,
		"steps.none.output.x == 1":      `{"values":{"steps.none.output.x":null},"missing":["steps.none.output.x, which step none did not return (it returned: nothing)"]}`,
		"steps.text.output.x == 1":      `{"values":{"steps.text.output.x":null},"missing":["steps.text.output.x, which step text did not return (it returned: it's text)"]}`,
		"steps.empty.output.x == 1":     `{"values":{"steps.empty.output.x":null},"missing":["steps.empty.output.x, which step empty did not return (it returned: {})"]}`,
		"steps.skipped.output.x == 1":   `{"values":{"steps.skipped.output.x":null},"missing":[]}`,
		"not (steps.a.output.lost > 1)": `{"missing":["` + missing + `"]}`,
		"steps.a.output.lost != 1":      `{"missing":["` + missing + `"]}`,
		"steps.a.output.v != 2":         `{"missing":[]}`,
		"steps.a.output.lost == null":   `{"skipped":null}`,
		"params.n in [3]":               `{"skipped":null}`,
	} {
		t.Run(cond, func(t *testing.T) {
			r := run(t, head+"params: {n: {type: integer, default: 3}}\nsteps:\n"+step("a", `{"v":1,"list":[7]}`, "")+
				"- {name: none, job: {shell: 'true'}}\n"+step("text", `"it's text"`, "")+step("empty", `{}`, "")+
				step("skipped", `1`, ", when: params.n == 4")+step("b", `1`, `, when: "`+cond+`"`), `{}`)
			got, _ := r.output(t, "When b").(*value.Object)
			w, err := value.ParseObject([]byte(want))
			if err != nil {
				t.Fatal(err)
			}
			if w.Has("missing") {
				w.Set("condition", cond)
			}
			if !value.Equal(got, w) {
				t.Errorf("the condition's output is %s\nwant %s", value.Text(got), value.Text(w))
			}
		})
	}
}

// TestMissingInputs checks that a step with a reference to a missing value fails, with a message that names the value.
func TestMissingInputs(t *testing.T) {
	for name, c := range map[string]struct{ steps, want string }{
		"key": {step("a", `{"loss":1,"epochs":[2]}`, "") + "- {name: b, job: {shell: 'echo ${{ steps.a.output.model }}'}}\n",
			"step b needs steps.a.output.model, which step a did not return (it returned: loss, epochs)"},
		"no output": {"- {name: a, job: {shell: 'true'}}\n- {name: b, job: {command: [echo, '${{ steps.a.output.model }}']}}\n",
			"step b needs steps.a.output.model, which step a did not return (it returned: nothing)"},
		"path": {step("a", `{"m":{"x":1}}`, "") + "- {name: b, ray: {entrypoint: x, env: {M: '${{ steps.a.output.m.y }}'}}}\n",
			`step b needs steps.a.output.m.y, which step a did not return (it returned: {"m":{"x":1}})`},
		"index": {step("a", `[1]`, "") + "- {name: b, ray: {entrypoint: x, cpus: '${{ steps.a.output[1] }}'}}\n",
			`step b needs steps.a.output[1], which step a did not return (it returned: [1])`},
		"skipped": {step("a", `{"m":1}`, ", when: false == true") + "- {name: b, job: {shell: 'echo ${{ steps.a.output.m }}'}}\n",
			"step b needs steps.a.output.m, which step a did not return (it returned: nothing, or it was skipped)"},
		"items": {step("a", `{"list":[1]}`, "") + "- {name: each, forEach: {items: '${{ steps.a.output.names }}', steps: [{name: b, job: {shell: 'true'}}]}}\n",
			"step each needs steps.a.output.names, which step a did not return (it returned: list)"},
		"item": {"- {name: each, forEach: {items: [{k: 1}], steps: [{name: b, job: {shell: 'echo ${{ item.lr }}'}}]}}\n",
			"step b needs item.lr, which the item does not have (it has: k)"},
		"in parallel": {step("a", `{}`, "") + "- {name: par, parallel: {steps: [{name: b, job: {shell: 'echo ${{ steps.a.output.m }}'}}, {name: c, job: {shell: 'true'}}]}}\n",
			"step b needs steps.a.output.m, which step a did not return (it returned: {})"},
		"retried": {step("a", `{}`, "") + "- {name: b, retry: {errors: [States.ALL], attempts: 2}, job: {shell: 'echo ${{ steps.a.output.m }}'}}\n",
			"step b needs steps.a.output.m, which step a did not return (it returned: {})"},
		"cleanup": {step("a", `{}`, "") + "- {name: b, job: {shell: 'echo ${{ steps.a.output.m }}'}, onFailure: {job: {shell: 'echo after $RAYORCH_ERROR: $RAYORCH_CAUSE'}}}\n",
			"step b needs steps.a.output.m, which step a did not return (it returned: {})"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, head+"steps:\n"+c.steps, `{}`)
			r.wantFailure(t, "Step.InputMissing", "")
			if r.Cause != c.want {
				t.Errorf("cause %q\nwant  %q", r.Cause, c.want)
			}
			if after := "after Step.InputMissing: " + c.want; name == "cleanup" && !strings.Contains(r.logs, after) {
				t.Errorf("the cleanup printed %s\nwant %s", r.logs, after)
			}
		})
	}
}

// TestMissingInputsEverywhere checks that the message is the same in each submission mode, that no job starts, and that a redrive evaluates
// the reference again.
func TestMissingInputsEverywhere(t *testing.T) {
	const steps = "steps:\n- {name: first, ray: {entrypoint: x}}\n- {name: ask, retry: {}, ray: {entrypoint: 'x ${{ steps.first.output.model }}'}}\n"
	for _, mode := range []string{"local", "job", "proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			f := &flaky{}
			s := simulateRedriven(t, f.compile(t, mode, steps), 1, f.play)
			s.want(t, "FAILED", "Step.InputMissing: step ask needs steps.first.output.model, which step first did not return (it returned: 1)")
			f.check(t, s, map[string]int{"first": 1, "ask": 0})
		})
	}
}

// TestMissingOutputs checks that outputs of the pipeline that refer to missing values are null, and that there is a message about each.
func TestMissingOutputs(t *testing.T) {
	r := run(t, head+"steps:\n"+step("a", `{"loss":1}`, "")+step("skipped", `{}`, ", when: false == true")+`
outputs:
	loss: ${{ steps.a.output.loss }}
	model: ${{ steps.a.output.model }}
	both: ["${{ steps.a.output.model }}", {x: "${{ steps.skipped.output.x }}"}]
	text: model ${{ steps.a.output.model }} of ${{ steps.a.output.loss }}
	fine: loss ${{ steps.a.output.loss }}
`, `{}`)
	r.wantOutput(t, `{"loss":1,"model":null,"both":[null,{"x":null}],"text":null,"fine":"loss 1"}`)
	got := value.Text(r.output(t, "Check outputs"))
	const what = ` refers to steps.a.output.model, which step a did not return (it returned: loss)"`
	if want := `{"missing":["output model` + what + `,"output both` + what + `,"output text` + what + `]}`; got != want {
		t.Errorf("the history has %s\nwant            %s", got, want)
	}
	r = run(t, head+"steps:\n"+step("a", `{"loss":1}`, "")+"outputs: {all: '${{ steps.a.output }}'}\n", `{}`)
	if r.output(t, "Check outputs") != nil {
		t.Error("the definition checks outputs that always exist")
	}
}

// TestNoWarningsOfNullOutputs checks that there are no warnings about keys of outputs that are null because their steps were skipped, or
// because their failure was tolerated.
func TestNoWarningsOfNullOutputs(t *testing.T) {
	r := run(t, head+`
steps:
- name: par
  parallel:
    toleratedFailures: 1
    steps: [{name: skipped, when: false == true, job: {shell: x}}, {name: failed, job: {shell: exit 1}}, {name: none, job: {shell: 'true'}}]
- {name: other, when: false == true, parallel: {steps: [{name: inner, job: {shell: x}}]}}
- name: b
  when: >-
    steps.par.output.skipped.x == 1 or steps.par.output.failed.x == 1 or steps.other.output.inner.x == 1
  job: {shell: x}
outputs: {a: "${{ steps.par.output.skipped.x }}", b: "${{ steps.par.output.failed.x.y }}", c: "${{ steps.other.output.inner.x }}"}
`, `{}`)
	r.wantOutput(t, `{"a":null,"b":null,"c":null}`)
	for _, state := range []string{"When b", "Check outputs"} {
		if missing := get(r.output(t, state), "missing"); !value.Equal(missing, []any{}) {
			t.Errorf("%s has warnings: %s", state, value.Text(missing))
		}
	}
}

// TestReservedKeys refers to keys that are reserved words or operators of JSONata.
func TestReservedKeys(t *testing.T) {
	r := run(t, head+"steps:\n"+step("a", `{"true":1,"false":2,"null":3,"function":4,"in":5,"a b":6}`, "")+
		"outputs: {all: ['${{ steps.a.output.true }}', '${{ steps.a.output.false }}', '${{ steps.a.output.null }}', "+
		"'${{ steps.a.output.function }}', '${{ steps.a.output.in }}', \"${{ steps.a.output['a b'] }}\"]}\n", `{}`)
	r.wantOutput(t, `{"all":[1,2,3,4,5,6]}`)
}

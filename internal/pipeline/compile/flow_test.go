package compile_test

import (
	"strings"
	"testing"
)

const head = "version: 1\nname: p\n"

// give returns a plain job whose output is a JSON value.
func give(json string) string {
	return `{job: {shell: 'printf %s ` + strings.ReplaceAll(`"`+strings.ReplaceAll(json, `"`, `\"`)+`"`, "'", "''") + ` > $RAYORCH_OUTPUT'}`
}

func step(name, json, more string) string {
	return "- {name: " + name + ", " + give(json)[1:] + more + "}\n"
}

func TestTwoSteps(t *testing.T) {
	r := run(t, head+`
params:
	epochs: {type: integer, default: 3, min: 1}
	rate: {type: number, default: 0.5}
steps:
- name: train
	ray:
		entrypoint: |
			echo training ${{ params.epochs }}
			printf '{"checkpoint":\n"%s/%s","loss":%s}' "$RAYORCH_STORAGE" $RAYORCH_ATTEMPT $RAYORCH_PARAM_RATE > $RAYORCH_OUTPUT
- name: infer
	ray:
		entrypoint: printf '{"from":"%s", "of":%s}' ${{ steps.train.output.checkpoint }} "$RAYORCH_OUTPUTS" > $RAYORCH_OUTPUT
outputs:
	from: ${{ steps.infer.output.from }}
	loss: ${{ steps.infer.output.of.train.loss }}
	missing: ${{ steps.infer.output.nothing }}
	text: loss ${{ steps.train.output.loss }} of run ${{ run.id }}
`, `{"epochs": 5}`)
	storage := get(r.calls[0], "RuntimeEnv", "env_vars", "RAYORCH_STORAGE").(string)
	r.wantOutput(t, `{"from":"`+storage+`/1","loss":0.5,"missing":null,"text":"loss 0.5 of run run1"}`)
	if !strings.HasSuffix(storage, "/p/run1") || !strings.Contains(r.logs, "training 5") {
		t.Errorf("storage %s, logs %s", storage, r.logs)
	}
}

func TestStepOutputsByDefault(t *testing.T) {
	for name, json := range map[string]string{
		"object": `{"a":[1]}`, "list of one": `[5]`, "nested lists": `[[1]]`, "empty list": `[]`, "empty object": `{}`,
		"text": `"x"`, "null": `null`, "false": `false`, "number": `0.1`,
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, head+"steps:\n"+step("one", json, "")+step("two", json, ""), `{}`)
			r.wantOutput(t, `{"one":`+json+`,"two":`+json+`}`)
		})
	}
}

func TestMultilineAndMissingOutput(t *testing.T) {
	r := run(t, head+`
steps:
- {name: lines, job: {shell: 'printf "{\"a\":\r\n 1}\n" > $RAYORCH_OUTPUT; printf "no newline at the end"'}}
- {name: none, job: {command: ["true"]}}
`, `{}`)
	r.wantOutput(t, `{"lines":{"a":1},"none":null}`)
}

func TestTooLargeOutputFails(t *testing.T) {
	r := run(t, head+`
steps:
- {name: big, job: {shell: 'head -c 40000 /dev/zero | tr "\0" 1 > $RAYORCH_OUTPUT'}}
`, `{}`)
	r.wantFailure(t, "Job.Failed", "the output of step big has 40000 bytes (limit 32768)")
}

func TestExitCodeIsKept(t *testing.T) {
	r := run(t, head+"steps:\n- {name: bad, ray: {entrypoint: 'echo last words; exit 7'}}\n", `{}`)
	r.wantFailure(t, "Ray.JobFailed", "exit 7: last words")
}

func TestConditions(t *testing.T) {
	conditions := map[string]bool{
		"params.n > 2": true, "params.n >= 4": false, "not (params.n == 3)": false, "params.n != 3": false,
		"params.s == 'x' and params.b": true, "params.s == 'y' or params.b": true, "params.s in ['x', 'y']": true,
		"params.n in [1, 2]": false, "steps.a.output.v < 2": true, "steps.a.output.missing < 2": false,
		"steps.a.output.missing == null": true, "steps.a.output.list[0] == 7": true, "steps.a.output.v < 'x'": false,
		"!params.b || params.n < 1": false, "steps.a.output.missing": false, "steps.a.output.missing != 1": true,
		"7 in steps.a.output.list": true, "${{ params.b }}": true, "steps.a.output['v'] == 1.0": true,
	}
	for cond, want := range conditions {
		t.Run(cond, func(t *testing.T) {
			r := run(t, head+`
params:
	n: {type: integer, default: 3}
	s: {default: x}
	b: {type: boolean, default: true}
steps:
`+step("a", `{"v":1,"list":[7]}`, "")+step("b", `"ran"`, `, when: "`+cond+`"`)+"outputs: {b: '${{ steps.b.output }}'}\n", `{}`)
			if want {
				r.wantOutput(t, `{"b":"ran"}`)
			} else {
				r.wantOutput(t, `{"b":null}`)
			}
		})
	}
}

func TestForEach(t *testing.T) {
	r := run(t, head+`
params: {first: {default: "it's"}}
steps:
`+step("list", `{"names":["a","b"]}`, "")+`
- name: outer
	forEach:
		items: ["${{ params.first }}", {k: [1]}]
		as: top
		maxConcurrency: 1
		steps:
		- name: inner
			forEach:
				items: ${{ steps.list.output.names }}
				steps:
				- name: say
					job: {command: [sh, -c, 'printf "[%s,\"%s\",%s]" "$1" "$2" "$RAYORCH_INDEX" > $RAYORCH_OUTPUT', x, "${{ index }}", "${{ item }}"], env: {TOP: "${{ top }}"}}
		- name: last
			job: {shell: 'printf "%s" "$RAYORCH_OUTPUTS" > $RAYORCH_OUTPUT'}
`, `{}`)
	inner := `[{"say":[0,"a",0]},{"say":[1,"b",1]}]`
	one := `{"inner":` + inner + `,"last":{"list":{"names":["a","b"]},"inner":` + inner + `}}`
	r.wantOutput(t, `{"list":{"names":["a","b"]},"outer":[`+one+`,`+one+`]}`)
	ids := map[any]bool{}
	for _, c := range r.calls {
		ids[get(c, "Id")] = true
	}
	if len(ids) != 7 {
		t.Errorf("7 tasks have %d different ids: %v", len(ids), ids)
	}
	if top := get(r.calls[1], "Environment", "TOP"); top != "it's" {
		t.Errorf("the outer item in the inner loop is %v", top)
	}
	if top := get(r.calls[5], "Environment", "TOP"); top != `{"k":[1]}` {
		t.Errorf("an item that is not a string becomes %v in a string", top)
	}
}

func TestForEachToleratesFailures(t *testing.T) {
	text := head + `
steps:
- name: each
	forEach:
		items: [0, 1, 0]
		toleratedFailures: N
		steps:
		- {name: try, job: {shell: 'exit ${{ item }}'}}
		- {name: then, job: {shell: 'printf "[1]" > $RAYORCH_OUTPUT'}}
`
	good := `{"try":null,"then":[1]}`
	r := run(t, strings.Replace(text, "N", "1", 1), `{}`)
	r.wantOutput(t, `{"each":[`+good+`,null,`+good+`]}`)
	r = run(t, strings.Replace(strings.Replace(text, "N", "1", 1), "[0, 1, 0]", "[3, 1, 0]", 1), `{}`)
	r.wantFailure(t, "States.ExceedToleratedFailureThreshold", "2 of each failed (1 tolerated); first error: Job.Failed: exit 3")
	r = run(t, strings.Replace(strings.Replace(text, "N", "1", 1), "[0, 1, 0]", "[1]", 1), `{}`)
	r.wantOutput(t, `{"each":[null]}`)
	r = run(t, strings.Replace(strings.Replace(text, "N", "1", 1), "[0, 1, 0]", "[]", 1), `{}`)
	r.wantOutput(t, `{"each":[]}`)
	r = run(t, strings.Replace(text, "N", "0", 1), `{}`)
	r.wantFailure(t, "Job.Failed", "exit 1")
}

func TestParallel(t *testing.T) {
	for name, options := range map[string]string{
		"plain": "", "limited": "maxConcurrency: 1, ", "tolerant": "toleratedFailures: 1, ",
		"limited and tolerant": "toleratedFailures: 1, maxConcurrency: 2, ",
	} {
		t.Run(name, func(t *testing.T) {
			text := head + "steps:\n" + step("a", `1`, "") + `
- name: par
	parallel: {` + options + `steps: [{name: x-1, job: {shell: 'printf "$RAYORCH_OUTPUTS" > $RAYORCH_OUTPUT'}}, {name: y, job: {shell: 'exit E'}}]}
- {name: z, job: {shell: 'printf "%s" ${{ steps.par.output.x-1.a }} > $RAYORCH_OUTPUT'}}
`
			r := run(t, strings.Replace(text, "exit E", "exit 0", 1), `{}`)
			r.wantOutput(t, `{"a":1,"par":{"x-1":{"a":1},"y":null},"z":1}`)
			r = run(t, strings.Replace(text, "exit E", "exit 4", 1), `{}`)
			if strings.Contains(name, "tolerant") {
				r.wantOutput(t, `{"a":1,"par":{"x-1":{"a":1},"y":null},"z":1}`)
			} else {
				r.wantFailure(t, "Job.Failed", "exit 4")
			}
		})
	}
}

func TestOrders(t *testing.T) {
	const outputs = `printf "%s" "$RAYORCH_OUTPUTS" > $RAYORCH_OUTPUT`
	text := func(after ...string) string {
		s := head + "steps:\n"
		for i, a := range after {
			s += "- {name: " + string(rune('a'+i)) + ", job: {shell: '" + outputs + "'}, after: [" + a + "]}\n"
		}
		return s
	}
	a := `"a":{}`
	r := run(t, text("", "a", "a", "b, c"), `{}`) // a diamond
	b, c := `"b":{`+a+`}`, `"c":{`+a+`}`
	r.wantOutput(t, `{`+a+`,`+b+`,`+c+`,"d":{`+a+`,`+b+`,`+c+`}}`)
	r = run(t, text("", "", "a", "a, b"), `{}`) // an N, which runs level by level
	r.wantOutput(t, `{"a":{},"b":{},"c":{"a":{}},"d":{"a":{},"b":{}}}`)
	r = run(t, text("", "", "a", "b"), `{}`) // two lines
	r.wantOutput(t, `{"a":{},"b":{},"c":{"a":{}},"d":{"b":{}}}`)
}

func TestOnFailure(t *testing.T) {
	r := run(t, head+`
steps:
- name: train
	ray: {entrypoint: exit 3}
	retry: {attempts: 2, interval: 1s}
	onFailure: {job: {shell: 'echo "cleaned after $RAYORCH_ERROR"; exit 9'}}
- {name: never, job: {shell: echo never}}
`, `{}`)
	r.wantFailure(t, "Ray.JobFailed", "exit 3")
	if len(r.calls) != 3 || !strings.Contains(r.logs, "cleaned after Ray.JobFailed") {
		t.Errorf("%d calls, logs %s", len(r.calls), r.logs)
	}
	first, second := get(r.calls[0], "SubmissionId"), get(r.calls[1], "SubmissionId")
	if first == second || get(r.calls[1], "RuntimeEnv", "env_vars", "RAYORCH_ATTEMPT") != "2" {
		t.Errorf("the second attempt has the id %v, the first %v", second, first)
	}
}

// TestToleranceNests runs a loop that tolerates failures of its items, in a parallel step that tolerates the failure of the loop.
func TestToleranceNests(t *testing.T) {
	for name, limit := range map[string]string{"plain": "", "limited": "maxConcurrency: 1, "} {
		t.Run(name, func(t *testing.T) {
			r := run(t, head+`
steps:
- name: both
	parallel: {`+limit+`toleratedFailures: 1, steps: [
		{name: each, forEach: {items: [0, 1], toleratedFailures: 1, steps: [{name: try, job: {shell: 'exit ${{ item }}'}}]}},
		{name: bad, job: {shell: 'exit 4'}}]}
`, `{}`)
			r.wantOutput(t, `{"both":{"each":[{"try":null},null],"bad":null}}`)
		})
	}
}

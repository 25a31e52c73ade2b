package compile_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/value"
)

const integersText = head + `
params:
	n: {type: integer, default: 1e3, max: 1e4}
	l: {type: list, items: {type: integer}, default: [1.0]}
steps: [{name: a, job: {command: [sh, -c, 'printf "[%s,%s,%s,%s]" "$1" "$RAYORCH_PARAM_N" "$RAYORCH_PARAM_L" "$RAYORCH_PARAMS" > $RAYORCH_OUTPUT', sh, "${{ params.n }}"]}}]
`

func TestIntegersHaveNoFractionOrExponent(t *testing.T) {
	for input, want := range map[string]string{
		`{}`:                     `{"a":[1000,1000,[1],{"n":1000,"l":[1]}]}`,
		`{"n":1.0,"l":[]}`:       `{"a":[1,1,[],{"n":1,"l":[]}]}`,
		`{"n":1e3,"l":[2e0]}`:    `{"a":[1000,1000,[2],{"n":1000,"l":[2]}]}`,
		`{"n":-0.0,"l":[1.0,2]}`: `{"a":[0,0,[1,2],{"n":0,"l":[1,2]}]}`,
	} {
		t.Run(input, func(t *testing.T) {
			r := run(t, integersText, input)
			r.wantOutput(t, want)
			if strings.ContainsAny(string(r.Output), ".eE") {
				t.Errorf("the output is %s", r.Output)
			}
		})
	}
	for input, want := range map[string]string{
		`{"n":1.5}`:              "n must be an integer",
		`{"n":9007199254740994}`: "n must be an integer",
		`{"n":1e300}`:            "n must be an integer",
		`{"l":[1,1.5]}`:          "l[1] must be an integer",
	} {
		t.Run(input, func(t *testing.T) {
			r := run(t, integersText, input)
			r.wantFailure(t, "Params.Invalid", want)
		})
	}
}

const treeText = head + `
params:
	names: {type: list, items: {type: string, minLength: 1}, default: []}
	grid: {type: list, items: {type: list, items: {type: integer}}, default: [[]]}
	trials:
		type: list
		items:
			type: object
			properties:
				rate: {type: number, max: 1}
				layers: {type: integer, default: 2, min: 1}
				tags: {type: list, items: {type: string, choices: [a, b]}, default: []}
		default: [{rate: 0.5}]
	model:
		type: object
		properties:
			name: {type: string, default: "it's"}
			size-mb: {type: integer, default: 1.0}
			in: {type: object, properties: {and: {type: boolean}}, default: {and: true}}
		default: {}
steps: [{name: a, job: {shell: 'printf "%s" "$RAYORCH_PARAMS" > $RAYORCH_OUTPUT'}}]
`

func TestListsAndObjects(t *testing.T) {
	const model = `"model":{"name":"it's","size-mb":1,"in":{"and":true}}`
	for input, want := range map[string]string{
		`{}`: `{"names":[],"grid":[[]],"trials":[{"rate":0.5,"layers":2,"tags":[]}],` + model + `}`,
		`{"names":["x"],"grid":[[1.0],[2,3e0]],"trials":[]}`:                       `{"names":["x"],"grid":[[1],[2,3]],"trials":[],` + model + `}`,
		`{"names":["x","y"],"grid":[[4.0]],"trials":[{"rate":0},{"rate":1}]}`:      `{"names":["x","y"],"grid":[[4]],"trials":[{"rate":0,"layers":2,"tags":[]},{"rate":1,"layers":2,"tags":[]}],` + model + `}`,
		`{"grid":[],"trials":[{"tags":["a"],"layers":3.0,"rate":1}],"model":{}}`:   `{"names":[],"grid":[],"trials":[{"rate":1,"layers":3,"tags":["a"]}],` + model + `}`,
		`{"trials":[],"model":{"size-mb":2e0,"name":"m","in":{"and":false}}}`:      `{"names":[],"grid":[[]],"trials":[],"model":{"name":"m","size-mb":2,"in":{"and":false}}}`,
		`{"trials":[{"rate":1,"tags":[]},{"rate":1,"tags":["b","a"]}],"names":[]}`: `{"names":[],"grid":[[]],"trials":[{"rate":1,"layers":2,"tags":[]},{"rate":1,"layers":2,"tags":["b","a"]}],` + model + `}`,
	} {
		t.Run(input, func(t *testing.T) {
			r := run(t, treeText, input)
			r.wantOutput(t, `{"a":`+want+`}`)
			in, err := value.ParseObject([]byte(input))
			if err != nil {
				t.Fatal(err)
			}
			p := decode(t, treeText)
			if problems := p.CheckInput(in); len(problems) > 0 {
				t.Errorf("CheckInput returns %v", problems)
			}
			again := run(t, treeText, value.Text(p.Normalize(in)))
			again.wantOutput(t, `{"a":`+want+`}`)
		})
	}
}

func TestProblemsInListsAndObjects(t *testing.T) {
	for input, want := range map[string]string{
		`{"names":"a"}`:                 "names must be a list",
		`{"names":{}}`:                  "names must be a list",
		`{"names":null}`:                "names must be a list",
		`{"names":[""]}`:                "names[0] must have at least 1 characters",
		`{"names":["a",1,null]}`:        "names[1] must be a string; names[2] must be a string",
		`{"names":["a",["b"]]}`:         "names[1] must be a string",
		`{"grid":[1]}`:                  "grid[0] must be a list",
		`{"grid":[[1],[2,"x"],[[3]]]}`:  "grid[1][1] must be an integer; grid[2][0] must be an integer",
		`{"trials":[{}]}`:               "trials[0].rate is missing",
		`{"trials":[[]]}`:               "trials[0] must be an object",
		`{"trials":[{"rate":2,"r":1}]}`: "trials[0].r is not declared; trials[0].rate must be at most 1",
		`{"trials":[{"rate":1},5]}`:     "trials[1] must be an object",
		`{"trials":[{"rate":1,"tags":["c"]},{"rate":1,"layers":0.5}]}`: "trials[0].tags[0] must be one of a, b; trials[1].layers must be an integer",
		`{"model":[]}`:                   "model must be an object",
		`{"model":{"in":{}}}`:            "model.in.and is missing",
		`{"model":{"in":{"and":"yes"}}}`: "model.in.and must be true or false",
		`{"model":{"in":1},"names":0}`:   "names must be a list; model.in must be an object",
	} {
		t.Run(input, func(t *testing.T) {
			r := run(t, treeText, input)
			r.wantFailure(t, "Params.Invalid", want)
			in, err := value.ParseObject([]byte(input))
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, problem := range decode(t, treeText).CheckInput(in) {
				said = append(said, strings.Split(problem.Error(), "; did you mean")[0])
			}
			for _, one := range strings.Split(want, "; ") {
				if all := strings.Join(said, "; "); !strings.Contains(all, one) {
					t.Errorf("CheckInput returns %s, want %s", all, one)
				}
			}
		})
	}
	r := run(t, treeText, `{"grid":["`+strings.Repeat(`","`, 2000)+`"]}`)
	if r.wantFailure(t, "Params.Invalid", "grid[1] must be a list"); len(r.Cause) > 2000 {
		t.Errorf("the cause has %d characters", len(r.Cause))
	}
}

// TestReferencesIntoParams uses lists and objects in every field that accepts references.
func TestReferencesIntoParams(t *testing.T) {
	r := run(t, head+`
params:
	trials:
		type: list
		items: {type: object, properties: {rate: {type: number}, gpus: {type: integer, default: 1}, sub: {type: list, items: {type: integer}, default: [7]}}}
	model: {type: object, properties: {name: {type: string}, size-mb: {type: integer}}}
	names: {type: list, items: {type: string}, default: [a, b]}
steps:
- name: all
	forEach:
		items: ${{ params.trials }}
		as: trial
		steps:
		- name: train
			ray:
				entrypoint: 'printf "[%s,%s]" ${{ trial.rate }} ${{ params.model.size-mb }} > $RAYORCH_OUTPUT'
				gpus: ${{ trial.gpus }}
				resources: {R: "${{ params.model['size-mb'] }}"}
		- name: inner
			forEach:
				items: ${{ trial.sub }}
				as: x
				steps: [{name: deep, job: {command: [sh, -c, 'printf "%s" "$1" > $RAYORCH_OUTPUT', sh, "${{ x }}"]}}]
- {name: env, job: {shell: 'printf "[%s,%s]" "$T" "$RAYORCH_PARAM_MODEL" > $RAYORCH_OUTPUT', env: {T: "${{ params.trials }}"}}}
- {name: yes, when: "'a' in params.names and params.model.size-mb > 1 and params.names[-1] == 'b'", job: {shell: 'printf 1 > $RAYORCH_OUTPUT'}}
- {name: no, when: "params.trials[0].rate > 0.5", job: {shell: 'printf 1 > $RAYORCH_OUTPUT'}}
- {name: none, when: "params.trials[5].rate > 0.5", job: {shell: 'printf 1 > $RAYORCH_OUTPUT'}}
outputs: {all: "${{ steps.all.output }}", env: "${{ steps.env.output }}", yes: "${{ steps.yes.output }}", no: "${{ steps.no.output }}",
	none: "${{ steps.none.output }}", last: "${{ params.trials[-1].sub }}", text: "is ${{ params.names }}"}
`, `{"trials":[{"rate":0.5},{"rate":1,"gpus":2,"sub":[8,9.0]}],"model":{"name":"m","size-mb":2.0}}`)
	r.wantOutput(t, `{"all":[{"train":[0.5,2],"inner":[{"deep":7}]},{"train":[1,2],"inner":[{"deep":8},{"deep":9}]}],
		"env":[[{"rate":0.5,"gpus":1,"sub":[7]},{"rate":1,"gpus":2,"sub":[8,9]}],{"name":"m","size-mb":2}],
		"yes":1,"no":null,"none":null,"last":[8,9],"text":"is [\"a\",\"b\"]"}`)
	var gpus []any
	for _, call := range r.calls {
		if get(call, "State") == "train" {
			gpus = append(gpus, get(call, "NumGpus"))
		}
	}
	if !value.Equal(gpus, []any{value.Number("1"), value.Number("2")}) {
		t.Errorf("the trainings request %v GPUs", gpus)
	}
}

// TestDocumentedSweep runs the example of a sweep in docs/pipeline.md.
func TestDocumentedSweep(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/pipeline.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)\n## Sweeps\n.*?```yaml\n(.*?)```").FindSubmatch(docs)
	if m == nil {
		t.Fatal("the documentation has no sweep")
	}
	r := run(t, string(m[1]), `{}`)
	r.wantOutput(t, `{"best":{"rate":0.4,"loss":0.0025},"scores":[{"score":0.9}]}`)
	r = run(t, string(m[1]), `{"trials":[{"rate":0.25,"layers":1.0},{"rate":0.5}]}`)
	r.wantOutput(t, `{"best":{"rate":0.5,"loss":0.0},"scores":[{"score":0.9},{"score":0.9}]}`)
}

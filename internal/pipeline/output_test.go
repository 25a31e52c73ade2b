package pipeline_test

import (
	"strings"
	"testing"
)

func TestDeclaredOutputs(t *testing.T) {
	for output, want := range map[string]string{
		"{model: string, loss: number, n: integer, ok: boolean, tags: list, more: object}":   "",
		"{'val/acc': {type: number, min: 0, max: 1}, n: {type: integer, default: 3}, s: {}}": "",
		"{l: {type: list, items: {type: object, properties: {a: {type: list}}}}}":            "",
		"{}":                      "f:3:19: steps[0].output: must have at least one key",
		"[a]":                     "steps[0].output: expected a map (name: value), got a list",
		"{model: str}":            "f:3:35: steps[0].output.model: expected one of string, integer, number, boolean, list, object, got \"str\"; did you mean string?",
		"{model: 3}":              "steps[0].output.model: expected a string, got 3",
		"{model: }":               "steps[0].output.model: expected a type such as string or number, or a map, got null",
		"{model: [string]}":       "steps[0].output.model: expected a type such as string or number, or a map, got a list",
		"{model: {typ: string}}":  "steps[0].output.model.typ: unknown field; did you mean type?",
		"{model: {min: 3}}":       "steps[0].output.model.min: is allowed for types integer and number, not string",
		"{model: {default: 3}}":   "steps[0].output.model.default: must be a string",
		"{model: {pattern: '('}}": "steps[0].output.model.pattern: not a valid regular expression",
		"{\"a'b\": string}":       "steps[0].output.a'b: a key must have 1 to 64 characters",
		"{o: {type: object, properties: {x: {default: a}}}}": "steps[0].output.o.properties.x.default: only a top-level key of an output can have a default",
		"{o: {type: list, items: {default: a}}}":             "steps[0].output.o.items.default: an item cannot have a default",
	} {
		t.Run(output, func(t *testing.T) {
			got := one(t, start+"steps: [{name: s, output: "+output+", job: {shell: x}}]\n")
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("the error is %q, want one with %q", got, want)
			}
		})
	}
	for _, group := range []string{"parallel: {steps: [{name: i, job: {shell: x}}]}", "forEach: {items: [1], steps: [{name: i, job: {shell: x}}]}"} {
		want := "steps[0].output: is allowed only in ray and job steps; set it in the steps inside this one"
		if got := one(t, start+"steps: [{name: s, output: {a: string}, "+group+"}]\n"); !strings.Contains(got, want) {
			t.Errorf("%s: the error is %q, want one with %q", group, got, want)
		}
	}
}

const outputs = `
steps:
- name: train
  output: {model: string, loss: {type: number, max: 10}, tags: {type: list, items: {type: string}}, stage: {choices: [new, old]},
    best: {type: object, properties: {at: {type: integer}}}, any: object, all: list, ok: boolean}
  job: {shell: x}
- {name: free, job: {shell: x}}
- {name: par, parallel: {steps: [{name: in-a, output: {x: integer}, job: {shell: x}}, {name: in-b, job: {shell: x}}]}}
- {name: each, forEach: {items: [1], steps: [{name: in-c, output: {x: integer}, job: {shell: x}},
    {name: in-e, forEach: {items: [1], steps: [{name: in-f, job: {shell: x}}]}}]}}
`

func TestReferencesIntoOutputs(t *testing.T) {
	for ref, want := range map[string]string{
		"steps.train.output":              "",
		"steps.train.output.model":        "",
		"steps.train.output['tags'][0]":   "",
		"steps.train.output.best.at":      "",
		"steps.train.output.any.x.y":      "",
		"steps.train.output.all[2].x":     "",
		"steps.free.output.anything[0].x": "",
		"steps.par.output.in-a.x":         "",
		"steps.par.output.in-b.y":         "",
		"steps.each.output[0].in-c.x":     "",
		"steps.each.output.in-c":          "",
		"steps.each.output[-1]":           "",
		"steps.each.output[0].in-e.in-f":  "",
		"steps.each.output[0].in-b":       `the output of step each has no key "in-b"; did you mean in-c?`,
		"steps.each.output.in-b":          `the output of step each has no key "in-b"; did you mean in-c?`,
		"steps.each.output[0].in-c.y":     `unknown property "y"; expected x`,
		"steps.each.output.in-c.y":        `unknown property "y"; expected x`,
		"steps.each.output[0][1]":         "an object has no index",
		"steps.train.output.modl":         `steps.train.output.modl: the output of step train has no key "modl"; did you mean model?`,
		"steps.train.output.nothing":      `the output of step train has no key "nothing"; expected one of model, loss, tags, stage, best, any, all, ok`,
		"steps.train.output[0]":           "steps.train.output[0]: an object has no index",
		"steps.train.output.loss.x":       "steps.train.output.loss.x: a value of type number has no properties",
		"steps.train.output.tags.x":       "a list has no property x",
		"steps.train.output.tags[0].x":    "a value of type string has no properties",
		"steps.train.output.best.att":     `unknown property "att"; did you mean at?`,
		"steps.par.output.in-d":           `the output of step par has no key "in-d"; did you mean in-a?`,
		"steps.par.output.in-a.y":         `unknown property "y"; expected x`,
	} {
		t.Run(ref, func(t *testing.T) {
			for _, use := range []string{
				outputs + "- {name: s, job: {shell: \"echo ${{ " + ref + " }}\"}}\n",
				outputs + "- {name: s, when: \"" + ref + " == null\", job: {shell: x}}\n",
				outputs + "outputs: {o: \"${{ " + ref + " }}\"}\n",
			} {
				if got := one(t, start+use); want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("the error is %q, want one with %q", got, want)
				}
			}
		})
	}
	for more, want := range map[string]string{
		"- {name: s, ray: {entrypoint: x, gpus: '${{ steps.train.output.loss }}'}}":                                                  "",
		"- {name: s, ray: {entrypoint: x, gpus: '${{ steps.train.output.model }}'}}":                                                 "steps[4].ray.gpus: steps.train.output.model: must be a number, but is declared as string",
		"- {name: s, forEach: {items: '${{ steps.train.output.tags }}', steps: [{name: i, job: {shell: 'x ${{ item }}'}}]}}":         "",
		"- {name: s, forEach: {items: '${{ steps.train.output.tags }}', steps: [{name: i, job: {shell: 'x ${{ item.x }}'}}]}}":       "item.x: a value of type string has no properties",
		"- {name: s, forEach: {items: '${{ steps.train.output.model }}', steps: [{name: i, job: {shell: 'x'}}]}}":                    "must be a list, or a single reference to a list",
		"- {name: s, forEach: {items: '${{ steps.free.output.list }}', steps: [{name: i, job: {shell: 'x ${{ item.anything }}'}}]}}": "",
	} {
		if got := one(t, start+outputs+more+"\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: the error is %q, want one with %q", more, got, want)
		}
	}
}

// TestConstantComparisons checks that comparisons whose result is known from the declared outputs are errors.
func TestConstantComparisons(t *testing.T) {
	for cond, want := range map[string]string{
		"steps.train.output.loss < 3":                         "",
		"steps.train.output.loss < params.n":                  "",
		"steps.train.output.loss == null":                     "",
		"steps.train.output.stage == 'old'":                   "",
		"steps.train.output.stage in ['x', 'new']":            "",
		"steps.train.output.model > 'm'":                      "",
		"'new' in steps.train.output.tags":                    "",
		"steps.free.output.x == 'a' and params.n == 'a'":      "",
		"steps.train.output.ok and steps.train.output.any":    "",
		"steps.train.output.loss < 'x'":                       `f:13:13: steps[4].when: steps.train.output.loss < "x": never holds, because steps.train.output.loss is a number, and "x" is a string`,
		"not (3 >= steps.train.output.model)":                 `3 >= steps.train.output.model: never holds, because 3 is a number, and steps.train.output.model is a string`,
		"steps.train.output.ok < true":                        "steps.train.output.ok < true: never holds, because steps.train.output.ok is a boolean, and only numbers and strings can be ordered",
		"steps.train.output.ok == 'true'":                     `steps.train.output.ok == "true": never holds, because steps.train.output.ok is a boolean, and "true" is a string`,
		"steps.train.output.ok != 1":                          "steps.train.output.ok != 1: always holds, because",
		"steps.train.output.stage == 'older'":                 `steps.train.output.stage == "older": never holds, because steps.train.output.stage must be one of new, old`,
		"steps.train.output.loss == 11":                       "steps.train.output.loss == 11: never holds, because steps.train.output.loss must be at most 10",
		"steps.train.output.stage in ['x', 1]":                "never holds, because steps.train.output.stage is a string, and no value in the list is valid for it",
		"steps.train.output.loss == steps.train.output.model": "never holds, because steps.train.output.loss is a number, and steps.train.output.model is a string",
		"params.n == 1 or steps.train.output.tags == 1":       "steps.train.output.tags == 1: never holds, because steps.train.output.tags is a list, and 1 is a number",
		"steps.par.output.in-a.x == '1'":                      "never holds, because steps.par.output.in-a.x is a number",
	} {
		t.Run(cond, func(t *testing.T) {
			got := one(t, start+outputs+"- {name: s, when: \""+cond+"\", job: {shell: x}}\nparams: {n: {type: integer, default: 1}}\n")
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("the error is %q, want one with %q", got, want)
			}
		})
	}
}

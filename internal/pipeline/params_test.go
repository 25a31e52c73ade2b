package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

func TestDecodeValues(t *testing.T) {
	for text, want := range map[string]string{
		"day: 2024-01-31":                                    `{"day":"2024-01-31"}`,
		"at: 2024-01-01T00:00:00Z":                           `{"at":"2024-01-01T00:00:00Z"}`,
		"at: 2001-12-14 21:59:43.10 -5":                      `{"at":"2001-12-14 21:59:43.10 -5"}`,
		"days: [2024-01-31, {d: 2024-2-1}]":                  `{"days":["2024-01-31",{"d":"2024-2-1"}]}`,
		"opts: {1: a, true: b, ~: c, 2024-01-31: d, 1.5: e}": `{"opts":{"1":"a","true":"b","~":"c","2024-01-31":"d","1.5":"e"}}`,
		"1: a":                                   `{"1":"a"}`,
		"n: 1e3":                                 `{"n":1000}`,
		"n: 1.0":                                 `{"n":1}`,
		"n: [0x1F, 0o17, 1_000, -0]":             `{"n":[31,15,1000,0]}`,
		"n: 123456789012345678":                  `{"n":123456789012345678}`,
		"n: 1e400":                               `{"n":"1e400"}`,
		"a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: *x": `{"a":{"b":1},"c":{"d":2,"b":1},"e":{"b":1}}`,
		"a: !!str 1":                             `{"a":"1"}`,
		"a: ~":                                   `{"a":null}`,
		"":                                       `{}`,
		"# nothing":                              `{}`,
		"~":                                      `{}`,
		"--- {}":                                 `{}`,
		`{"a": "\ud83d\ude00\/", "n": 1e3, "b": [1.5]}`: `{"a":"😀/","n":1000.0,"b":[1.5]}`,
		"{\n\t\"a\": 1\n}": `{"a":1}`,
	} {
		t.Run(text, func(t *testing.T) {
			o, err := pipeline.DecodeValues("f", []byte(text))
			if err != nil || value.Text(o) != want {
				t.Errorf("the values are %s (%v), want %s", value.Text(o), err, want)
			}
		})
	}
}

func TestDecodeInvalidValues(t *testing.T) {
	bomb := "x: &a [1,1,1,1,1,1,1,1,1,1]\n"
	for c := 'a'; c < 'i'; c++ {
		bomb += fmt.Sprintf("x%c: &%c [%s]\n", c, c+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c), 10), ","))
	}
	for text, want := range map[string]string{
		"x: 1\ny: .inf":      `f:2:4: y: ".inf" is not a JSON value; put it in quotes`,
		"x: {y: [1, -.Inf]}": `f:1:12: x.y[1]: "-.Inf" is not a JSON value`,
		"x: .NaN":            `f:1:4: x: ".NaN" is not a JSON value`,
		"x: !!float abc":     `f:1:4: x: "abc" is not a JSON value`,
		"x: !!int 1.5":       `f:1:4: x: "1.5" is not a JSON value`,
		"x: !!binary aGk=":   "f:1:4: x: the YAML tag !!binary is not supported",
		"x: !Ref y":          "f:1:4: x: the YAML tag !Ref is not supported",
		"x: !!set {a, b}":    "f:1:4: x: the YAML tag !!set is not supported",
		"x: 1\nx: 2":         "f:2:1: x: duplicate key",
		"? [a]\n: 1":         "f:1:3: a key must be a string, got a list",
		"? {a: 1}\n: 1":      "f:1:3: a key must be a string, got a map",
		"x: &a y\n*a : 1":    "f:2:1: a key must be a string",
		"x: &a [*a]":         "must have at most 100000 values",
		"x: &a {<<: *a}":     "must have at most 100000 values",
		"<<: 1":              "f:1:5: the value of << must be a map or a list of maps, got \"1\"",
		bomb:                 "must have at most 100000 values",
		"[1]":                "f:1:1: expected a map (name: value), got a list",
		"x":                  `f:1:1: expected a map (name: value), got "x"`,
		"a: [":               "f:1:1: not valid YAML",
		"a: 1\n---\nb: 2":    "f:2:1: a file contains one map",
		"a: \xff":            "must be encoded in UTF-8",
		`{"a": 1,`:           "not valid YAML",
	} {
		t.Run(text[:min(len(text), 30)], func(t *testing.T) {
			o, err := pipeline.DecodeValues("f", []byte(text))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the values are %s, the error %v, want %q", value.Text(o), err, want)
			}
		})
	}
}

func FuzzDecodeValues(f *testing.F) {
	for _, text := range []string{"day: 2024-01-31\nopts: {1: a, ~: .inf}", "a: &a [*a]\n<<: [{b: 1}, *a]\n? {c: 1}\n: d",
		"x: !!binary aGk=\ny: !!float 1e400\nz: !!int 0x\n", `{"a": "\ud83d", "b": [1e3, -0.0]}`, "? !!merge <<\n: !!map [1]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := pipeline.DecodeValues("fuzz", data)
		var problems pipeline.Problems
		if err != nil {
			if !errors.As(err, &problems) || problems[0].Line < 1 || problems[0].Message == "" {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if _, err := value.ParseObject(value.Bytes(o)); err != nil {
			t.Fatalf("the values are not valid JSON: %v: %s", err, value.Text(o))
		}
	})
}

const tree = `
params:
  trials: {type: list, items: {type: object, properties: {rate: {type: number}, tags: {type: list, items: {type: string}, default: []}}}, default: []}
  names: {type: list, items: {type: string}, default: [a]}
  opts: {type: object, properties: {text: {type: string, default: a}, deep: {type: object, properties: {n: {type: integer}}, default: {n: 1}}}, default: {}}
  plain: {type: string, default: a}
`

func TestReferencesIntoParams(t *testing.T) {
	for text, want := range map[string]string{
		"params.trials":           "",
		"params.trials[0].rate":   "",
		"params.trials[-1].tags":  "",
		"params.opts.deep.n":      "",
		"params.opts['text']":     "",
		"params.trials.rate":      "f:9:25: steps[0].job.shell: params.trials.rate: a list has no property rate; expected an index such as [0]",
		"params.trials[0].rat":    `params.trials[0].rat: unknown property "rat"; did you mean rate?`,
		"params.trials[0].tags.x": "a list has no property x",
		"params.trials[0].rate.x": "a value of type number has no properties",
		"params.opts.x":           `unknown property "x"; expected one of text, deep`,
		"params.opts.deep.m.n":    `unknown property "m"`,
		"params.opts[0]":          "an object has no index; expected a property: ",
		"params.plain[0]":         "a value of type string has no properties",
		"params.names[0].x":       "a value of type string has no properties",
	} {
		t.Run(text, func(t *testing.T) {
			got := one(t, start+tree+"steps: [{name: s, job: {shell: \"echo ${{ "+text+" }}\"}}]\n")
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("the error is %q, want one with %q", got, want)
			}
			if cond := one(t, start+tree+"steps: [{name: s, when: \""+text+" == 1\", job: {shell: x}}]\n"); (cond == "") != (got == "") {
				t.Errorf("in a condition the error is %q", cond)
			}
		})
	}
}

func TestLoopsOverParams(t *testing.T) {
	loop := func(items, ref, more string) string {
		return start + tree + "steps: [{name: s, forEach: {items: '${{ " + items + " }}', as: t, steps: [{name: i, ray: {entrypoint: 'x ${{ " + ref + " }}'" + more + "}}]}}]\n"
	}
	for text, want := range map[string]string{
		loop("params.trials", "t.rate", ", gpus: '${{ t.rate }}'"):                       "",
		loop("params.trials[0].tags", "t", ""):                                           "",
		loop("params.names", "t", ", gpus: '${{ t }}'"):                                  "t: must be a number, but is declared as string",
		loop("params.trials", "t.rat", ""):                                               `t.rat: unknown property "rat"; did you mean rate?`,
		loop("params.trials", "t[0]", ""):                                                "t[0]: an object has no index",
		loop("params.names", "t.x", ""):                                                  "a value of type string has no properties",
		loop("params.plain", "t", ""):                                                    "must be a list, or a single reference to a list",
		loop("params.opts", "t", ""):                                                     "must be a list, or a single reference to a list",
		loop("params.opts.deep.n", "t", ""):                                              "must be a list, or a single reference to a list",
		loop("params.trials", "params.opts.text", ", gpus: '${{ params.opts.text }}'"):   "must be a number, but is declared as string",
		loop("params.trials", "params.opts.text", ", gpus: '${{ params.opts.deep.n }}'"): "",
	} {
		if got := one(t, text); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: the error is %q, want one with %q", text, got, want)
		}
	}
}

func TestParamsWithListsAndObjects(t *testing.T) {
	for param, want := range map[string]string{
		"{type: list}":                                                              "f:3:10: params.p: a list must declare its items",
		"{type: object}":                                                            "f:3:10: params.p.properties: an object must declare at least one property",
		"{type: object, properties: {}}":                                            "f:3:28: params.p.properties: an object must declare at least one property",
		"{type: string, items: {}}":                                                 "f:3:28: params.p.items: is allowed for type list, not string",
		"{type: list, items: {}, properties: {a: {}}}":                              "params.p.properties: is allowed for type object, not list",
		"{type: list, items: {default: a}}":                                         "params.p.items.default: an item cannot have a default",
		"{type: list, items: {type: int}}":                                          "params.p.items.type: expected one of string, integer",
		"{type: list, items: {}, choices: [[a]]}":                                   "params.p.choices: is allowed for types string, integer, number and boolean, not list",
		"{type: list, items: {}, min: 1}":                                           "params.p.min: is allowed for types integer and number, not list",
		"{type: list, items: {pattern: '('}}":                                       "params.p.items.pattern: not a valid regular expression",
		"{type: list, items: {}, default: a}":                                       "params.p.default: must be a list",
		"{type: list, items: {}, default: [a, 1]}":                                  "params.p.default[1]: must be a string",
		"{type: object, properties: {a b: {}}}":                                     "params.p.properties.a b: a property's name must consist of",
		"{type: object, properties: {a: {type: int}}}":                              "params.p.properties.a.type: expected one of",
		"{type: object, properties: {ab: {}}, default: {}}":                         "params.p.default.ab: is missing",
		"{type: object, properties: {ab: {}}, default: {abc: x}}":                   "f:3:60: params.p.default.abc: is not declared; did you mean ab?",
		"{type: integer, default: 1.5}":                                             "params.p.default: must be an integer",
		"{type: integer, default: .inf}":                                            `params.p.default: ".inf" is not a JSON value`,
		"{type: integer, default: 1e3, min: 1e3, max: 1e4, choices: [1e3, 2000.0]}": "",
		"{default: 2024-01-31, choices: [2024-01-31]}":                              "",
	} {
		t.Run(param, func(t *testing.T) {
			got := one(t, start+"params: {p: "+param+"}\nsteps: [{name: s, job: {shell: x}}]\n")
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("the error is %q, want one with %q", got, want)
			}
		})
	}
}

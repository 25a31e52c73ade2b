package compile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/value"
)

const paramsText = head + `
params:
	n: {type: integer, default: 3, min: 1, max: 10}
	x: {type: number, default: 0.5, max: 1}
	s: {default: "it's", minLength: 2, maxLength: 5}
	c: {default: a, choices: [a, "b'"]}
	p: {default: v1, pattern: 'v[0-9]+/?'}
	b: {type: boolean, default: false}
	must: {type: string}
steps: [{name: a, job: {shell: 'printf "%s" "$RAYORCH_PARAMS" > $RAYORCH_OUTPUT'}}]
`

func TestParamsAreCheckedByTheDefinition(t *testing.T) {
	for input, want := range map[string]string{
		`{}`:                       "must is missing",
		`{"must":"","n":0}`:        "n must be at least 1",
		`{"must":"","n":11}`:       "n must be at most 10",
		`{"must":"","n":1.5}`:      "n must be an integer",
		`{"must":"","n":"1"}`:      "n must be an integer",
		`{"must":"","n":null}`:     "n must be an integer",
		`{"must":"","x":2}`:        "x must be at most 1",
		`{"must":"","x":"a"}`:      "x must be a number",
		`{"must":"","s":"a"}`:      "s must have at least 2 characters",
		`{"must":"","s":"abcdef"}`: "s must have at most 5 characters",
		`{"must":"","s":1}`:        "s must be a string",
		`{"must":"","c":"d"}`:      "c must be one of a, b'",
		`{"must":"","p":"v"}`:      "p must match v[0-9]+/?",
		`{"must":"","b":"true"}`:   "b must be true or false",
		`{"must":"","nn":1}`:       "unknown parameter nn",
		`{"nn":1,"mm":2,"n":0}`:    "unknown parameter nn; unknown parameter mm; n must be at least 1; must is missing",
		`[]`:                       "the input must be an object with parameters",
		`"x"`:                      "the input must be an object with parameters",
	} {
		t.Run(input, func(t *testing.T) {
			r := run(t, paramsText, input)
			r.wantFailure(t, "Params.Invalid", want)
			in, err := value.ParseObject([]byte(input))
			if err != nil {
				return
			}
			if problems := decode(t, paramsText).CheckInput(in); len(problems) == 0 {
				t.Error("CheckInput returns no problems")
			}
		})
	}
}

func TestParamsDefaults(t *testing.T) {
	r := run(t, paramsText, `{"must":"x","c":"b'","p":"v12/"}`)
	r.wantOutput(t, `{"a":{"n":3,"x":0.5,"s":"it's","c":"b'","p":"v12/","b":false,"must":"x"}}`)
}

// TestParametersAreNotExecuted tests values that a shell would interpret, in every field that accepts references.
func TestParametersAreNotExecuted(t *testing.T) {
	text := head + `
params: {v: {type: string}}
steps:
- name: ray
	ray:
		entrypoint: |
			set -e; cd "$WHERE"
			printf %s ${{ params.v }} > plain; printf %s a${{ params.v }}b > inside
			for i in ${{ params.v }}; do printf %s "$i"; done > loop
			x=${{ params.v }}; printf %s "$x" > variable
			printf %s $(printf %s ${{ params.v }} | cat; echo .) > /dev/null
		env: {WHERE: DIR, V: "${{ params.v }}"}
- {name: shell, job: {shell: 'printf %s ${{ params.v }} > "$WHERE/shell"', env: {WHERE: DIR}}}
- {name: command, job: {command: [sh, -c, 'printf %s "$1" > "$WHERE/command"', "it's", "${{ params.v }}"], env: {WHERE: DIR}}}
- {name: mixed, job: {command: [sh, -c, 'printf %s "$1" > "$WHERE/mixed"', sh, "-${{ params.v }}'-"], env: {WHERE: DIR}}}
`
	for _, evil := range []string{
		"'; touch pwned; '", `"; touch pwned; "`, "$(touch pwned)", "`touch pwned`", "\n touch pwned\n", `\'; touch pwned #`,
		"'\"'\"'; touch pwned", "; touch pwned", "&& touch pwned", "| touch pwned", "${IFS}", "%}", "{% 1 %}", "*", "~",
		"a b  c", "'", "''", `\`, "# x", "", "'$(touch pwned)'", "--option", "%s%n", "ü'ß", "${{ params.v }}",
	} {
		t.Run(evil, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "inject") // the name of t.TempDir contains the value
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			r := run(t, strings.ReplaceAll(text, "DIR", dir), value.Text(value.Obj("v", evil)))
			r.wantOutput(t, `{"ray":null,"shell":null,"command":null,"mixed":null}`)
			for file, want := range map[string]string{"plain": evil, "inside": "a" + evil + "b", "loop": evil,
				"variable": evil, "shell": evil, "command": evil, "mixed": "-" + evil + "'-"} {
				got, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil || string(got) != want {
					t.Errorf("%s contains %q, want %q (%v)", file, got, want, err)
				}
			}
			if pwned, _ := filepath.Glob(filepath.Join(dir, "pwned*")); len(pwned) > 0 {
				t.Error("a parameter was executed")
			}
		})
	}
}

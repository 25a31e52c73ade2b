package query_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// Cases of the files that all targets use: for parameters, references, outputs and loops.

var _ = covers("marked",
	fileCase{name: "no line", inputs: `{"mark":"#","logs":"a\nb"}`, want: `null`},
	fileCase{name: "last line", inputs: `{"mark":"#out ","logs":"#out {\"a\": 1}\n#out {\"a\": 2}\nend"}`, want: `{"a":2}`},
	fileCase{name: "several logs", inputs: `{"mark":"#","logs":["#1","x\n#[2]"]}`, want: `[2]`},
	fileCase{name: "no logs", inputs: `{"mark":"#","logs":[]}`, want: `null`},
	fileCase{name: "no log", inputs: `{"mark":"#"}`, want: `null`},
	fileCase{name: "NaN in a text", inputs: `{"mark":"#","logs":"#{\"a\": \"\\\"b\\\": NaN\"}"}`, want: `{"a":"\"b\": NaN"}`},
	fileCase{name: "NaN", inputs: `{"mark":"#","logs":"#{\"a\": NaN}"}`, want: "a is NaN, which JSON does not support", fails: true},
	fileCase{name: "-Infinity", inputs: `{"mark":"#","logs":"#{\"a\":1,\"b\" :-Infinity}"}`, want: "b is -Infinity, which JSON does not support", fails: true},
	fileCase{name: "no JSON", inputs: `{"mark":"#","logs":"#nope"}`, fails: true},
)

var _ = covers("shellword",
	fileCase{name: "text", inputs: `{"value":"a b"}`, want: `"'a b'"`},
	fileCase{name: "quotes", inputs: `{"value":"it's \"a\""}`, want: `"'it'\\''s \"a\"'"`},
	fileCase{name: "empty", inputs: `{"value":""}`, want: `"''"`},
	fileCase{name: "number", inputs: `{"value":1.5}`, want: `"'1.5'"`},
	fileCase{name: "null", inputs: `{"value":null}`, want: `"'null'"`},
	fileCase{name: "object", inputs: `{"value":{"a":[true,"x"]}}`, want: `"'{\"a\":[true,\"x\"]}'"`},
)

// FuzzShellWord checks that sh reads the word as the original value.
func FuzzShellWord(f *testing.F) {
	for _, s := range []string{"", "a b", "it's", "''", `$HOME "x" \n`, "a\nb\n", "é\U0001F600", "`id`; #"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") || len(text) > 10_000 {
			return
		}
		word, err := eval(t, query.File("shellword", bind("value", v("x"))), vars{"x": value.Text(text)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+word.(string)).Output()
		if err != nil || string(got) != text {
			t.Errorf("sh reads %s as %q: %v", word, got, err)
		}
	})
}

var _ = covers("keys",
	fileCase{name: "object", inputs: `{"value":{"a":1,"b c":2}}`, want: `"a, b c"`},
	fileCase{name: "one key", inputs: `{"value":{"a":1}}`, want: `"a"`},
	fileCase{name: "empty object", inputs: `{"value":{}}`, want: `"{}"`},
	fileCase{name: "list", inputs: `{"value":[1,2]}`, want: `"[1,2]"`},
	fileCase{name: "list of objects", inputs: `{"value":[{"a":1},{"b":1}]}`, want: `"a, b"`},
	fileCase{name: "text", inputs: `{"value":"x"}`, want: `"x"`},
	fileCase{name: "null", inputs: `{"value":null}`, want: `"null"`},
)

var _ = covers("returned",
	fileCase{name: "null", inputs: `{"value":null,"nothing":"nothing","shown":"null","most":3}`, want: `"nothing"`},
	fileCase{name: "something", inputs: `{"value":1,"nothing":"nothing","shown":"abcdef","most":3}`, want: `"abc"`},
)

const raisedNames = `"names":["Step.InputMissing","Step.OutputInvalid"],"otherwise":"other"`

var _ = covers("raised",
	fileCase{name: "ours", inputs: `{` + raisedNames + `,"output":{"Error":"States.QueryEvaluationError",
		"Cause":"The JSONata expression '$error(...)' threw: D3137: Step.InputMissing: step b needs x: y"}}`,
		want: `{"Error":"Step.InputMissing","Cause":"step b needs x: y"}`},
	fileCase{name: "another message", inputs: `{` + raisedNames + `,"output":{"Cause":"D3137: too long: x"}}`, want: `"other"`},
	fileCase{name: "another error", inputs: `{` + raisedNames + `,"output":{"Error":"Ray.JobFailed","Cause":"exit code 1: no file"}}`, want: `"other"`},
	fileCase{name: "no cause", inputs: `{` + raisedNames + `,"output":{"Error":"States.Timeout"}}`, want: `"other"`},
)

var _ = covers("shortened",
	fileCase{name: "short text", inputs: `{"x":"abc","most":3}`, want: `"abc"`},
	fileCase{name: "long text", inputs: `{"x":"abcd","most":3}`, want: `"abc..."`},
	fileCase{name: "short list keeps its type", inputs: `{"x":[1],"most":3}`, want: `[1]`},
	fileCase{name: "long object", inputs: `{"x":{"a":1},"most":3}`, want: `"{\"a..."`},
	fileCase{name: "null", inputs: `{"x":null,"most":10}`, want: `null`},
	fileCase{name: "characters, not bytes", inputs: `{"x":"ééé","most":3}`, want: `"ééé"`},
)

var _ = covers("storage",
	fileCase{name: "name", inputs: `{"base":"/s/p/"}`, reads: vars{"states": `{"context":{"Execution":{"Name":"run.1"}}}`}, want: `"/s/p/run.1"`},
	fileCase{name: "name with a dot", inputs: `{"base":"/s/p/"}`, reads: vars{"states": `{"context":{"Execution":{"Name":".."}}}`}, want: `"/s/p/_."`},
)

var _ = covers("prefix", fileCase{name: "of an ARN", inputs: `{"execution":"arn:a"}`, want: `"r4339988dfbd6-"`})

var _ = covers("nointeger",
	fileCase{name: "whole", inputs: `{"x":3,"most":9007199254740992}`, want: `false`},
	fileCase{name: "negative", inputs: `{"x":-9007199254740992,"most":9007199254740992}`, want: `false`},
	fileCase{name: "fraction", inputs: `{"x":3.5,"most":9007199254740992}`, want: `true`},
	fileCase{name: "too large", inputs: `{"x":-9007199254740994,"most":9007199254740992}`, want: `true`},
	fileCase{name: "text", inputs: `{"x":"3","most":5}`, want: `true`},
	fileCase{name: "null", inputs: `{"x":null,"most":5}`, want: `true`},
	fileCase{name: "list", inputs: `{"x":[3],"most":5}`, want: `true`},
)

var _ = covers("fewitems",
	fileCase{name: "few", inputs: `{"items":[1,2],"most":2}`, want: `[1,2]`},
	fileCase{name: "one", inputs: `{"items":[{"a":1}],"most":2}`, want: `[{"a":1}]`},
	fileCase{name: "none", inputs: `{"items":[],"most":2}`, want: `[]`},
	fileCase{name: "many", inputs: `{"items":[1,2,3],"most":2}`, fails: true,
		want: "at most 2 items fit into the history of 25,000 events, got 3"},
)

var _ = covers("largest",
	fileCase{name: "of several", inputs: `{"object":{"a":"x","b":"xxx","c":22}}`, want: `{"name":"b","size":3}`},
	fileCase{name: "as text", inputs: `{"object":{"a":"xxx","b":{"k":"v"}}}`, want: `{"name":"b","size":9}`},
	fileCase{name: "of one", inputs: `{"object":{"a":""}}`, want: `{"name":"a","size":0}`},
	fileCase{name: "of none", inputs: `{"object":{}}`, want: nothing},
)

var _ = covers("paramstoolong",
	fileCase{name: "short", inputs: `{"in":{"a":"x"},"largest":{"name":"a","size":1},"most":9}`, want: nothing},
	fileCase{name: "too long", inputs: `{"in":{"a":"xx"},"largest":{"name":"a","size":2},"most":9}`,
		want: `"the parameters must have at most 9 characters as JSON, got 10; the largest is a with 2: write the value to a file and pass the path"`},
)

// fittingCase returns a case with one variable. The size of the variables as JSON is that of the text and 8 for the name V and brackets.
func fittingCase(name, variable, text string, size int, want string) fileCase {
	return fileCase{name: name, inputs: fmt.Sprintf(`{"vars":{%q:%q},"largest":{"name":%q,"size":%d},"most":20}`, variable, text, variable, size),
		want: want, fails: strings.HasPrefix(want, "the environment")}
}

var _ = covers("fitting",
	fittingCase("fits", "V", "xxxxxxxxxxxx", 12, `{"V":"xxxxxxxxxxxx"}`),
	fittingCase("too large", "V", "xxxxxxxxxxxxx", 13, "the environment of a Ray job must have at most 20 bytes as JSON, got 21; "+
		"the largest value is V with 13 characters: write it to a file on the storage"),
	fittingCase("not in ASCII", "V", "xxxxxxé", 7, `{"V":"xxxxxxé"}`),
	fittingCase("too large in ASCII", "V", "xxxxxxxé", 8, "the environment of a Ray job must have at most 20 bytes as JSON, got 21; "+
		"the largest value is V with 8 characters: write it to a file on the storage"),
	fittingCase("command", "RAYORCH_COMMAND", "xxxx", 4, "the environment of a Ray job must have at most 20 bytes as JSON, got 26; "+
		"the largest value is the entrypoint with 4 characters: write it to a file on the storage"),
)

// TestGot calls the function that the file got returns.
func TestGot(t *testing.T) {
	for given, want := range map[string]string{
		`"text"`: `", got \"text\""`, `"longer text"`: `", got \"longe\""`, `12`: `", got 12"`, `[1,2,3,4]`: `", got [1,2,"`, `null`: `", got null"`,
	} {
		call := query.Block(query.Call("got", v("x")), bind("got", query.File("got", bind("most", num(5)))))
		gives(t, call, vars{"x": given}, want)
	}
}

var _ = covers("got", fileCase{name: "a function", inputs: `{"most":5}`, want: nothing})

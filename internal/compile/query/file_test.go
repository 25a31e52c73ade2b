package query_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/compile/query"
)

// TestFiles holds each file to its comment: its free variables are its inputs and the machine's variables that it says it reads.
func TestFiles(t *testing.T) {
	for _, name := range query.Names() {
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(name + ".jsonata")
			if err != nil {
				t.Fatal(err)
			}
			x, err := expr.CompileJSONata("(" + string(src) + ")")
			if err != nil {
				t.Fatal(err)
			}
			comment, _, _ := strings.Cut(string(src), "*/")
			var listed []string
			for _, m := range regexp.MustCompile(`(?m)^  \$([a-z_A-Z0-9]+)( |$)`).FindAllStringSubmatch(comment, -1) {
				listed = append(listed, m[1])
			}
			slices.Sort(listed)
			if free := x.Variables(); !slices.Equal(free, listed) {
				t.Errorf("its comment lists %q, it uses %q", listed, free)
			}
			if u := x.Unsupported(); len(u) > 0 {
				t.Error(u[0])
			}
		})
	}
}

func TestFileInputs(t *testing.T) {
	mark := bind("mark", str("#"))
	for _, test := range []struct {
		name, want string
		file       string
		inputs     []query.Binding
	}{
		{"unknown file", "there is no file nothing.jsonata", "nothing", nil},
		{"missing input", "lacks the input $logs", "marked", []query.Binding{mark}},
		{"unknown input", "has no input $log", "marked", []query.Binding{mark, bind("log", v("x"))}},
		{"input twice", "is given twice", "marked", []query.Binding{mark, mark}},
		{"empty input", "is empty", "marked", []query.Binding{mark, bind("logs", query.Expr{})}},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if msg, _ := recover().(string); !strings.Contains(msg, test.want) {
					t.Errorf("panics with %q, want %q", msg, test.want)
				}
			}()
			query.File(test.file, test.inputs...)
		})
	}
}

// TestFileText prints a file: inputs are inserted or bound, the comment and line breaks are gone.
func TestFileText(t *testing.T) {
	const body = `$t := $substringAfter($m, '#'); $n := $match($t, /"([^\\"]*)"\s*:\s*(NaN|-?Infinity)/)[0].groups; ` +
		`$exists($n) ? $error('JSON has no NaN and no Infinity, but ' & $n[0] & ' is ' & $n[1]) : $exists($m) ? $parse($t) : null)`
	for _, test := range []struct {
		name string
		logs query.Expr
		want string
	}{
		{"a path", query.States("result"), `($m := $filter($split($join([$states.result], '\n'), '\n'), function($l) { $contains($l, '#') })[-1]; `},
		{"an operation used once", query.Concat(v("a"), v("b")), `($m := $filter($split($join([$a & $b], '\n'), '\n'), function($l) { $contains($l, '#') })[-1]; `},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := query.File("marked", bind("logs", test.logs), bind("mark", str("#"))).String(); got != test.want+body {
				t.Errorf("got  %s\nwant %s", got, test.want+body)
			}
		})
	}
}

// TestFileRenames inserts an expression with a variable of a name that the file binds.
func TestFileRenames(t *testing.T) {
	e := query.File("marked", bind("logs", query.Block(v("m"), bind("n", num(1)))), bind("mark", str("#")))
	gives(t, e, vars{"m": `"#[7]"`}, "[7]")
	if !strings.HasPrefix(e.String(), "($m1 := ") || strings.Contains(e.String(), "$n[0]") {
		t.Errorf("does not rename $m and $n: %s", e)
	}
}

func TestMarked(t *testing.T) {
	marked := query.File("marked", bind("logs", v("x")), bind("mark", str("#out ")))
	for _, test := range []struct{ name, logs, want string }{
		{"no line", `"a\nb"`, `null`},
		{"last line", `"#out {\"a\": 1}\n#out {\"a\": 2}\nend"`, `{"a": 2}`},
		{"several logs", `["#out 1", "x\n#out [2]"]`, `[2]`},
		{"no logs", `[]`, `null`},
		{"NaN in a text", `"#out {\"a\": \"\\\"b\\\": NaN\"}"`, `{"a": "\"b\": NaN"}`},
	} {
		t.Run(test.name, func(t *testing.T) { gives(t, marked, vars{"x": test.logs}, test.want) })
	}
	for name, test := range map[string][2]string{
		"NaN":       {`"#out {\"a\": NaN}"`, "but a is NaN"},
		"-Infinity": {`"#out {\"b\" : -Infinity}"`, "but b is -Infinity"},
		"no JSON":   {`"#out nope"`, "parse"},
	} {
		t.Run(name, func(t *testing.T) { fails(t, marked, vars{"x": test[0]}, test[1]) })
	}
}

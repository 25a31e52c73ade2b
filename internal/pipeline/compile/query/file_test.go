package query_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
)

// TestFiles compares each file with its comment: its free variables must be the inputs and the variables that the comment lists.
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
				t.Errorf("the comment lists %q, the file uses %q", listed, free)
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
		{"unknown file", "no file nothing.jsonata", "nothing", nil},
		{"missing input", "missing input $logs", "marked", []query.Binding{mark}},
		{"unknown input", "unknown input $log", "marked", []query.Binding{mark, bind("log", v("x"))}},
		{"duplicate input", "duplicate input $mark", "marked", []query.Binding{mark, mark}},
		{"empty input", "the input $logs has no expression", "marked", []query.Binding{mark, bind("logs", query.Expr{})}},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if msg, _ := recover().(string); !strings.Contains(msg, test.want) {
					t.Errorf("File panics with %q, want %q", msg, test.want)
				}
			}()
			query.File(test.file, test.inputs...)
		})
	}
}

// TestInsert tests small files with the inputs $x and $y.
func TestInsert(t *testing.T) {
	long := query.States("context", "Execution", "RedriveCount")
	block := query.Block(v("b"), bind("b", num(1)))
	for _, test := range []struct {
		name, body string
		x          query.Expr
		want       string
	}{
		{"line breaks and comments", "[\n  1, /* one */\n  $x\n]", v("a"), "[1, $a]"},
		{"variable", "$x & $x & $x", v("a1"), "$a1 & $a1 & $a1"},
		{"long path, used often", "$f($x, $x, $x, $x)", long, "($x := $states.context.Execution.RedriveCount; $f($x, $x, $x, $x))"},
		{"path before an index", "$x[0]", v("a").Get("b"), "($a.b)[0]"},
		{"path before a field", "$x.c", v("a").Get("b"), "$a.b.c"},
		{"operation used once", "1 * $x", query.Op(num(1), "+", v("a")), "1 * (1 + $a)"},
		{"operation in brackets", "$f($x)", query.Op(num(1), "+", v("a")), "$f(1 + $a)"},
		{"operation used twice", "$x & $x", query.Op(num(1), "+", v("a")), "($x := 1 + $a; $x & $x)"},
		{"operation in a function", "$map($y, function($i) { $x })", query.Op(num(1), "+", v("a")), "($x := 1 + $a; $map($y, function($i) { $x }))"},
		{"the same variable", "$x & $x", v("x"), "$x & $x"},
		{"a variable of the name of a local one", "$b := 1; $b + $x", v("b"), "($b1 := 1; $b1 + $b)"},
		{"a block with a local variable of this name", "$b := 1; $b + $x", block, "($b1 := 1; $b1 + ($b := 1; $b))"},
		{"parameter of a function", "$map($y, function($b) { $b + $x })", v("b"), "$map($y, function($b1) { $b1 + $b })"},
		{"number between texts", "'a ' & $x & ' b'", num(5), "'a 5 b'"},
		{"text after a text", "$y & ': ' & $x", str("b"), "$y & ': b'"},
		{"text with a quote", "'a ' & $x", str("it's"), `'a ' & "it's"`},
		{"number that is added", "1 + $x & 'a'", num(5), "1 + 5 & 'a'"},
		{"number that is multiplied", "'a' & $x * 2", num(5), "'a' & 5 * 2"},
		{"number that is an index", "$y[$x] & 'a'", num(5), "$y[5] & 'a'"},
		{"text with an index", "'a' & $x[0]", str("b"), "'a' & 'b'[0]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := "/*\nInputs:\n  $x\n  $y\n*/\n" + test.body
			got, err := query.FileOf(src, bind("x", test.x), bind("y", v("y")))
			if err != nil || got.String() != test.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, test.want)
			}
		})
	}
}

// TestFileForm uses files as operands: a file with an operator of low precedence needs parentheses.
func TestFileForm(t *testing.T) {
	for body, want := range map[string]string{
		"$a":                  "'t' & $a = 1",
		"$f($a + 1)":          "'t' & $f($a + 1) = 1",
		"$a.b[0]":             "'t' & $a.b[0] = 1",
		"$a + 1":              "'t' & ($a + 1) = 1",
		"$a ? $b : $c":        "'t' & ($a ? $b : $c) = 1",
		"$a := 1; $a":         "'t' & ($a := 1; $a) = 1",
		"$a * 2 = 1 or false": "'t' & ($a * 2 = 1 or false) = 1",
	} {
		e, err := query.FileOf("/* */" + body)
		if err != nil {
			t.Fatal(err)
		}
		if got := query.Eq(query.Concat(str("t"), e), num(1)).String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	open, err := query.FileOf("/* */ $a ? $b ? 1 : 2")
	if err != nil {
		t.Fatal(err)
	}
	gives(t, query.If(v("a"), open, num(3)), vars{"a": "false", "b": "true"}, "3")
}

func TestFileErrors(t *testing.T) {
	for name, test := range map[string]struct{ src, want string }{
		"no comment":   {"$x", "does not start with a comment"},
		"not JSONata":  {"/* */ $x +", "S0211"},
		"binds inputs": {"/*\nInputs:\n  $x\n*/\n$x := 1; $x", "binds its input $x"},
	} {
		if _, err := query.FileOf(test.src); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	defer func() {
		if msg, _ := recover().(string); !strings.Contains(msg, "$y uses a variable with the name of the input $x") {
			t.Errorf("panics with %q", msg)
		}
	}()
	sum := query.Op(v("x"), "+", num(1))
	_, _ = query.FileOf("/*\nInputs:\n  $x\n  $y\n*/\n$x & $x & $y & $y", bind("x", sum), bind("y", sum))
}

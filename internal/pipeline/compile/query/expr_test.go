package query_test

import (
	"math"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// Short names for the tables.
var (
	v    = query.Var
	str  = query.Str
	num  = query.Int
	bind = query.Bind
)

func TestPrint(t *testing.T) {
	sum := query.Op(v("a"), "+", v("b"))
	maybe := query.If(v("a"), v("b"), query.Expr{})
	for _, test := range []struct {
		name string
		e    query.Expr
		want string
	}{
		{"text", str(`say "a"`), `'say "a"'`},
		{"text with a quote", str(`it's "a"`), `"it's \"a\""`},
		{"text of several lines", str("a\n\\b\u0001"), `'a\n\\b\u0001'`},
		{"constants", query.Array(query.Null, query.True, query.False, num(-3)), `[null, true, false, -3]`},
		{"literal", query.Literal(value.Obj("a", []any{"x", nil, true, value.Float(1.5)})), `{'a': ['x', null, true, 1.5]}`},
		{"path", query.States("input", "a").At(0).Get("b c", "in", "_d1"), "$states.input.a[0].`b c`.`in`._d1"},
		{"path with a backquote", v("a").Get("b`c", "d"), "$lookup($a, 'b`c').d"},
		{"path from an operation", sum.Get("x"), "($a + $b).x"},
		{"all values", v("a").Values().Get("b"), "$a.*.b"},
		{"object", query.Object(bind("k", sum), bind("it's", maybe)), `{'k': $a + $b, "it's": $a ? $b}`},
		{"call", query.Call("substring", sum, num(0)), "$substring($a + $b, 0)"},
		{"function", query.Function(sum, "a", "b"), "function($a, $b) { $a + $b }"},
		{"block", query.Block(v("y"), bind("x", maybe), bind("y", v("x"))), "($x := $a ? $b; $y := $x; $y)"},
		{"left associative", query.Op(query.Op(v("a"), "-", v("b")), "-", v("c")), "$a - $b - $c"},
		{"right operand", query.Op(v("a"), "-", query.Op(v("b"), "-", v("c"))), "$a - ($b - $c)"},
		{"tighter operand", query.Op(v("a"), "-", query.Op(v("b"), "*", v("c"))), "$a - $b * $c"},
		{"looser operand", query.Op(sum, "*", sum), "($a + $b) * ($a + $b)"},
		{"comparison of comparisons", query.Eq(query.Eq(v("a"), v("b")), query.Eq(v("c"), v("d"))), "$a = $b = ($c = $d)"},
		{"and in or", query.Or(query.And(v("a"), v("b")), v("c")), "$a and $b or $c"},
		{"or in and", query.And(v("a"), query.Or(v("b"), v("c")), query.Expr{}), "$a and ($b or $c)"},
		{"and of and", query.And(v("a"), query.And(v("b"), v("c"))), "$a and $b and $c"},
		{"and of one", query.And(v("a"), query.Expr{}), "$a"},
		{"concat", query.Concat(str("a"), sum, query.Concat(v("c"), v("d"))), "'a' & ($a + $b) & $c & $d"},
		{"concat of none", query.Concat(), "''"},
		{"not", query.Not(query.Or(v("a"), v("b"))), "$not($a or $b)"},
		{"conditional", query.If(query.Eq(v("a"), v("b")), v("c"), query.If(v("d"), v("e"), v("f"))), "$a = $b ? $c : $d ? $e : $f"},
		{"conditional as condition", query.If(query.If(v("a"), v("b"), v("c")), v("d"), v("e")), "($a ? $b : $c) ? $d : $e"},
		{"conditional as operand", query.Concat(str("x"), maybe), "'x' & ($a ? $b)"},
		{"conditional without else inside", query.If(v("c"), maybe, v("d")), "$c ? ($a ? $b) : $d"},
		{"conditional without else at the end", query.If(v("c"), query.If(v("d"), v("e"), maybe), v("f")), "$c ? ($d ? $e : $a ? $b) : $f"},
		{"complete conditional inside", query.If(v("c"), query.If(v("d"), v("e"), v("f")), v("g")), "$c ? $d ? $e : $f : $g"},
		{"field's value inlined", query.Inline(value.Obj("a", []any{"x", "{% $y %}", value.Int(2)})), "{'a': ['x', $y, 2]}"},
		{"field's expression as operand", query.Concat(str("x"), query.Inline(sum.Value())), "'x' & ($a + $b)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.e.String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestPrecedence evaluates operations whose value depends on the parentheses.
func TestPrecedence(t *testing.T) {
	for _, test := range []struct {
		name string
		e    query.Expr
		want string
	}{
		{"difference of a difference", query.Op(num(10), "-", query.Op(num(5), "-", num(3))), "8"},
		{"product of sums", query.Op(query.Op(num(1), "+", num(2)), "*", query.Op(num(3), "+", num(4))), "21"},
		{"and of or", query.And(query.False, query.Or(query.True, query.True)), "false"},
		{"text of a sum", query.Concat(str("n="), query.Op(num(1), "+", num(2))), `"n=3"`},
		{"text of a conditional", query.Concat(str("n="), query.If(query.True, num(1), num(2)), str("!")), `"n=1!"`},
		{"else belongs to the outer one", query.If(query.False, query.If(query.True, num(1), query.Expr{}), num(2)), "2"},
		{"in a list", query.Op(num(2), "in", query.Array(num(1), num(2))), "true"},
		{"index of a literal", query.Array(num(7), num(8)).At(1), "8"},
		{"last item", query.Literal([]any{"a", "b"}).At(-1), `"b"`},
	} {
		t.Run(test.name, func(t *testing.T) { gives(t, test.e, nil, test.want) })
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"a text": "a text", "": "{% '' %}", "a\nb": `{% 'a\nb' %}`, "{% $x %}": "{% '{% $x %}' %}", "ends %}": "{% 'ends %}' %}", "it's": "it's",
	} {
		if got := query.Plain(text); got != want {
			t.Errorf("Plain(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestFieldNames reads fields whose names have another meaning in JSONata.
func TestFieldNames(t *testing.T) {
	for _, name := range []string{"a", "and", "or", "in", "true", "false", "null", "function", "a b", "a.b", "$a", "a`b", "1", "ä", "it's", `"`} {
		object := value.Text(value.Obj(name, value.Int(1)))
		gives(t, v("o").Get(name), vars{"o": object}, "1")
	}
}

func FuzzStr(f *testing.F) {
	for _, s := range []string{"", "it's", `say "a"`, `\`, "a\nb\x00\u2028", "{% x %}", "\U0001F600'", "`$a` & 'b'", "/* no comment */"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if utf8.ValidString(text) {
			gives(t, str(text), nil, value.Text(text))
			gives(t, v("o").Get(text), vars{"o": value.Text(value.Obj(text, text))}, value.Text(text))
		}
	})
}

func FuzzLiteral(f *testing.F) {
	for _, s := range []string{`null`, `[[1, [2]], [], [[]]]`, `{"a'b": {"": -1.5e300}, "c": [true, false, null]}`, `123456789012345678`, `"x"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		literal, err := value.Parse(data)
		if err != nil || len(data) > 4000 || !doubles(literal) {
			return
		}
		got, err := eval(t, query.Literal(literal), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !value.Equal(got, literal) {
			t.Errorf("%s evaluates to %s", query.Literal(literal), value.Text(got))
		}
	})
}

// doubles reports whether JSONata can represent all numbers in v: it uses 64-bit floats, and prints 15 digits.
func doubles(v any) bool {
	switch v := v.(type) {
	case value.Number:
		return len(v) <= 15 && !math.IsInf(v.Float64(), 0)
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !doubles(item) })
	case *value.Object:
		for i := range v.Len() {
			if _, item := v.At(i); !doubles(item) {
				return false
			}
		}
	}
	return true
}

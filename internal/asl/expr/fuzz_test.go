package expr_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// fuzzScope returns a small scope, so that evaluations are fast.
func fuzzScope() *expr.Scope {
	in, err := value.Parse([]byte(`{"a":[1,2,{"b":"x"}],"s":"text","n":1.5,"o":{"k":null}}`))
	if err != nil {
		panic(err)
	}
	return &expr.Scope{
		Input: in, Context: func() any { return value.Obj("Execution", value.Obj("Id", "arn")) },
		Vars: func(name string) (any, bool) { return value.Int(7), name == "v" }, Random: rand.NewPCG(1, 2),
	}
}

// checkValue reports an error if v cannot be written as JSON and parsed again.
func checkValue(t *testing.T, v any) {
	if _, err := value.Parse(value.Bytes(v)); err != nil {
		t.Errorf("the result is not valid JSON: %v", err)
	}
}

// checkSyntax reports an error if err is not a *SyntaxError with a position inside the text.
func checkSyntax(t *testing.T, text string, err error) {
	var syntax *expr.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(text) {
		t.Errorf("got %v, want a SyntaxError", err)
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"$", "$.a[0].b", "$['a','s']", "$..b", "$.a[?(@.b == 'x' && !(@.c))]", "$.a[-1:]", "$$.Execution.Id",
		"$v.x", "$.a.length()", "$.a[?(@ in [1,'x'] || @ =~ /x.*/i)]", "$.a[?(@.b.length() > $.n)]", `$["a\u0041\""]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := expr.CompilePath(text)
		if err != nil {
			checkSyntax(t, text, err)
			return
		}
		s := fuzzScope()
		if v, err := p.Resolve(s); err == nil && utf8.ValidString(text) {
			checkValue(t, v)
		}
		before := value.Text(s.Input)
		if v, err := p.Put(s.Input, "new"); err == nil {
			checkValue(t, v)
			if again, err := p.Eval(v); err != nil || again != "new" {
				t.Errorf("Eval after Put: got %v, %v", again, err)
			}
		}
		if value.Text(s.Input) != before {
			t.Error("Put changed its input")
		}
	})
}

func FuzzIntrinsic(f *testing.F) {
	for _, seed := range []string{"States.Format('{} \\{\\} {}', $.s, $.o)", "States.ArrayRange(0, 10, 3)", "States.JsonMerge($.o, $.o, false)",
		"States.ArrayGetItem(States.StringSplit($.s, 'x'), 0)", "States.MathAdd(1e2, -0.5)", "States.Base64Decode('aGk=')",
		"States.Hash($$.Execution.Id, 'MD5')", "States.UUID()", "States.ArrayUnique($.a)", "States.StringToJson('[1]')"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		call, err := expr.CompileIntrinsic(text)
		if err != nil {
			checkSyntax(t, text, err)
			return
		}
		if v, err := call.Eval(fuzzScope()); err == nil {
			checkValue(t, v)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{`{"a.$":"$.s","b":[{"c.$":"States.UUID()"}]}`, `{"x":"{% $states.input.a[0] %}","y":["{% $v %}"]}`, `1`,
		`{"a.$":"$$","a":1}`, `{".$":"$"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := value.Parse([]byte(text))
		if err != nil {
			return
		}
		if tpl, err := expr.CompileTemplate(v); err == nil {
			tpl.Variables()
			if out, err := tpl.Eval(fuzzScope()); err == nil {
				checkValue(t, out)
			}
		}
		if tpl, err := expr.CompileJSONataTemplate(v, "Output"); err == nil {
			tpl.Variables()
			if out, err := tpl.Eval(fuzzScope()); err == nil {
				checkValue(t, out)
			}
		}
	})
}

func FuzzJSONata(f *testing.F) {
	for _, seed := range []string{`$states.input.a[2].b`, `$map([1..3], function($x, $i) { $x * $i })`, `{"k": $v & "x"}`, `$states.input.a ~> $count()`,
		`$sort($states.input.a, function($l, $r) { $l > $r })`, `$states.input ~> | $ | {"z": 1}, ["a"] |`, `$contains("a", /b(c)?/i)`,
		`($f := function($n)<n:n> { $n = 0 ? 0 : $f($n - 1) }; $f(5))`, `$states.input.a^(>b)`, "$states.input.`s`", `$range(1, 9, 2)`,
		`$partition($states.input.a, 2)`, `$parse("{\"a\":[1]}")`, `$now("[Y]")`, `$states.input.**`, `$formatNumber(1.5, "0.0")`, `a ?? b`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		j, err := expr.CompileJSONata(text)
		if err != nil {
			checkSyntax(t, text, err)
			return
		}
		j.Variables()
		v, err := j.Eval(fuzzScope(), "Output")
		if err == nil {
			checkValue(t, v)
			return
		}
		var e *expr.Error
		if !errors.As(err, &e) || e.Name != stepfn.StatesQueryEvaluationError || e.Location != "Output" {
			t.Errorf("got %v, want a States.QueryEvaluationError", err)
		}
	})
}

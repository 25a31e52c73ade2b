package expr_test

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

// scope returns a scope with an input, a context object and a few variables.
func scope(t testing.TB, input string) *expr.Scope {
	vars := map[string]any{"v": value.Number("7"), "w": value.Obj("x", "deep"), "wrapped": parse(t, `[{"a":[1]}]`),
		"two": parse(t, `[{"a":[1]},{"a":2,"b":5}]`)}
	return &expr.Scope{
		Input: parse(t, input),
		Context: func() any {
			return value.Obj("Execution", value.Obj("Id", "arn:e", "Name", "run"), "StateMachine",
				value.Obj("Id", "arn:m", "Name", "machine"))
		},
		Vars:   func(name string) (any, bool) { v, ok := vars[name]; return v, ok },
		Random: rand.NewPCG(1, 2),
	}
}

func evalIntrinsic(t *testing.T, text string, s *expr.Scope) (string, error) {
	t.Helper()
	f, err := expr.CompileIntrinsic(text)
	if err != nil {
		t.Fatalf("compile %s: %v", text, err)
	}
	v, err := f.Eval(s)
	if err != nil {
		return "", err
	}
	return value.Text(v), nil
}

func TestIntrinsics(t *testing.T) {
	input := `{"a":[1,2,3,4,5],"s":"a,b;c","n":5,"f":1.5,"o":{"Id":1,"T":[true,null]},"p":{"Id":2,"z":0},"null":null,
		"j":"{\"b\":1,\"a\":[1.0]}","blank":" ","e":[],"t":"n={}","dup":[1,2,3,3,1,4],"mix":[null,"a",1,"1",1.0,"a",null]}`
	for _, c := range []struct{ call, want string }{
		{"States.Array()", `[]`},
		{"States.Array(1, 'x', null, true, $.n, $$.Execution.Name, $v)", `[1,"x",null,true,5,"run",7]`},
		{"States.Array( $.n , States.Array(-1.5e2) )", `[5,[-150.0]]`},
		{"States.ArrayPartition($.a, 2)", `[[1,2],[3,4],[5]]`},
		{"States.ArrayPartition($.a, 2.9)", `[[1,2],[3,4],[5]]`},
		{"States.ArrayPartition($.a, 2147483647)", `[[1,2,3,4,5]]`},
		{"States.ArrayPartition($.e, 2)", `[]`},
		{"States.ArrayContains($.a, 3)", `true`},
		{"States.ArrayContains($.a, '3')", `true`}, // compares texts (observed on AWS)
		{"States.ArrayContains($.a, 9)", `false`},
		{"States.ArrayContains($.mix, null)", `true`},
		{"States.ArrayContains(States.Array($.o), $.o)", `true`},
		{"States.ArrayRange(1, 9, 2)", `[1,3,5,7,9]`},
		{"States.ArrayRange(0, 10, 3)", `[0,3,6,9]`},
		{"States.ArrayRange(5, 1, -2)", `[5,3,1]`},
		{"States.ArrayRange(5.4, -0.6, -2.4)", `[5,3,1]`},
		{"States.ArrayRange(1.6, 1.4, 1)", `[1]`},
		{"States.ArrayRange(5, 1, 1)", `[]`},
		{"States.ArrayRange(1, 5, -1)", `[]`},
		{"States.ArrayGetItem($.a, 0)", `1`},
		{"States.ArrayGetItem($.a, 1.2)", `2`},
		{"States.ArrayGetItem($.e, 999)", `null`},
		{"States.ArrayLength($.a)", `5`},
		{"States.ArrayLength($.nope[*])", `0`},
		{"States.ArrayUnique($.dup)", `[1,2,3,4]`},
		{"States.ArrayUnique(States.Array('a', 'b', 'a', 'c'))", `["a","b","c"]`},
		{"States.ArrayUnique(States.Array(true, false, true))", `[false,true]`},
		{"States.ArrayUnique(States.Array(States.Array(1,2), States.Array(1,2), States.Array(2,1)))", `[[2,1],[1,2]]`},
		{"States.ArrayUnique(States.Array(1, '1', '01'))", `[1,"1","01"]`},
		{"States.ArrayUnique(States.Array(null, null, 1))", `[null,1]`},
		{"States.Base64Encode('Data to encode')", `"RGF0YSB0byBlbmNvZGU="`},
		{"States.Base64Encode('')", `""`},
		{"States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", `"Data to encode"`},
		{"States.Base64Decode(' YWJjZA== ')", `"abcd"`},
		{"States.Base64Decode('YWJjZA')", `"abcd"`},
		{"States.Hash('input data', 'SHA-1')", `"aaff4a450a104cd177d28d18d74485e8cae074b7"`},
		{"States.Hash('hello', 'MD5')", `"5d41402abc4b2a76b9719d911017c592"`},
		{"States.JsonMerge($.o, $.p, false)", `{"Id":2,"T":[true,null],"z":0}`},
		{"States.StringToJson($.j)", `{"b":1,"a":[1.0]}`},
		{"States.StringToJson($.blank)", `null`},
		{"States.StringToJson('')", `null`},
		{"States.StringToJson('-0')", `0`},
		{"States.JsonToString($.o)", `"{\"Id\":1,\"T\":[true,null]}"`},
		{"States.JsonToString('x')", `"\"x\""`},
		{"States.JsonToString($)", ""},
		{"States.MathAdd(5, 3)", `8`},
		{"States.MathAdd(1.49, 1.5)", `3`},
		{"States.MathAdd(-1.5, 0)", `-1`},
		{"States.MathAdd(-2.5, 0)", `-2`},
		{"States.MathAdd(0.5, 0)", `1`},
		{"States.MathAdd(2147483646, 1)", `2147483647`},
		{"States.MathAdd($v, -1)", `6`},
		{"States.StringSplit('a,b;c', ',;')", `["a","b","c"]`},
		{"States.StringSplit(', , ,', ',')", `[" "," "]`},
		{"States.StringSplit(',,,,', ',')", `[]`},
		{"States.StringSplit('abc', '')", `["abc"]`},
		{"States.StringSplit('', ',')", `[]`},
		{"States.StringSplit('Hello\nWorld', '\n')", `["Hello","World"]`},
		{"States.Format('no placeholder')", `"no placeholder"`},
		{"States.Format('{} {} {} {}', 'x', 2, true, null)", `"x 2 true null"`},
		{"States.Format('o={}', $.o)", `"o={Id=1, T=[true, null]}"`},
		{"States.Format('{}', States.StringToJson($.j))", `"{\"b\":1,\"a\":[1.0]}"`},
		{"States.Format($.t, $.f)", `"n=1.5"`},
		{`States.Format('\{\}\\ \'{}\'', 1)`, `"{}\\ '1'"`},
		{`States.Array('\{\}\\ \'x\'')`, `["{}\\ 'x'"]`},
		{"States.Format('{}', $w.x)", `"deep"`},
		{"States.Format('snd={}.', $$.StateMachine)", `"snd={Id=arn:m, Name=machine}."`},
	} {
		t.Run(c.call, func(t *testing.T) {
			got, err := evalIntrinsic(t, c.call, scope(t, input))
			if err != nil {
				t.Fatal(err)
			}
			if c.want != "" && got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestIntrinsicInvalidArguments(t *testing.T) {
	long := strings.Repeat("a", 10_001)
	s := scope(t, `{"a":[1],"o":{},"s":"x","n":1,"null":null,"long":"`+long+`"}`)
	for _, call := range []string{
		"States.ArrayPartition($.s, 2)", "States.ArrayPartition($.a, 0)", "States.ArrayPartition($.a, 0.6)",
		"States.ArrayPartition($.a, -1)", "States.ArrayPartition($.a, '2')", "States.ArrayPartition($.a)",
		"States.ArrayContains('x', 'x')", "States.ArrayContains($.a)", "States.ArrayRange(1, 10, 0)",
		"States.ArrayRange(1, 10, 0.49)", "States.ArrayRange(1, 1001, 1)", "States.ArrayRange(1001, 1, -1)",
		"States.ArrayRange('a', 5, 1)", "States.ArrayRange(1, 5)", "States.ArrayGetItem($.a, 1)",
		"States.ArrayGetItem($.a, -1)", "States.ArrayGetItem($.a, '0')", "States.ArrayLength($.o)",
		"States.ArrayLength()", "States.ArrayUnique($.s)", "States.Base64Encode(123)", "States.Base64Encode($.long)",
		"States.Base64Decode($.o)", "States.Base64Decode($.long)", "States.Hash('x', 'sha-256')", "States.Hash('x')",
		"States.Hash('x', 123)", "States.Hash($.long, 'MD5')", "States.JsonMerge($.o, $.o, true)",
		"States.JsonMerge($.null, $.o, false)", "States.JsonMerge($.o, $.o)", "States.StringToJson('{bad}')",
		"States.StringToJson($.n)", "States.JsonToString()", "States.MathRandom(1, 1)", "States.MathRandom(10, 5)",
		"States.MathRandom(1.4, 1.6)", "States.MathRandom('a', 2)", "States.MathRandom(1, 10, null)",
		"States.MathAdd(2147483647, 1)", "States.MathAdd(3000000000, 1)", "States.MathAdd('1', 2)",
		"States.MathAdd(true, 1)", "States.MathAdd(1)", "States.MathAdd(1e309, 1)", "States.StringSplit($.n, ',')",
		"States.StringSplit('a', 1)", "States.UUID(1)", "States.Format()", "States.Format('{} {}', 1)",
		"States.Format('{}', 1, 2)", "States.Format($.n)", "States.Format('Hello {', 1)", "States.Format('}')",
	} {
		t.Run(call, func(t *testing.T) {
			_, err := evalIntrinsic(t, call, s)
			name, _, _ := strings.Cut(call, "(")
			want := &expr.Error{Name: "States.Runtime",
				Cause: "There was an error while evaluating the intrinsic function: " + call + ". Invalid arguments in " + name}
			var e *expr.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(want, e); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIntrinsicMissingArgument(t *testing.T) {
	for _, c := range []struct{ call, path string }{
		{"States.Format('{}', $.nope)", "$.nope"},
		{"States.Format('{}',$.nope)", "$.nope"},
		{"States.Format('{} {}', $.other, $.a.b)", "$.a.b"},
		{"States.Format('{}', States.Format('{}', $.nope))", "$.nope"},
		{"States.Format('{}', $$.Nope.Deep)", "$.Nope.Deep"},
		{"States.ArrayLength($.items[5])", "$.items[5]"},
	} {
		_, err := evalIntrinsic(t, c.call, scope(t, `{"other":1}`))
		want := "States.Runtime: The function '" + c.call + "' had the following error: The JsonPath argument for the field '" +
			c.path + `' could not be found in the input '{"other":1}'`
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v", c.call, err)
		}
	}
}

func TestIntrinsicSyntaxErrors(t *testing.T) {
	deep := strings.Repeat("States.Array(", 11) + strings.Repeat(")", 11)
	for _, text := range []string{
		"", "States", "States.Nope()", "States.Array", "States.Array(", "States.Array(,)", "States.Array(1,)",
		"States.Array(1 2)", "States.Array([1])", "States.Array(1.)", "States.Array(.5)", "States.Array('x)",
		`States.Array("x")`, `States.Array('a\"b')`, `States.Array('a\nb')`, "States.Array($.)", "States.Array($.a) x",
		`States.StringToJson('{"text":"An \"escaped\" here"}')`, deep, "States.Array('\xff')",
	} {
		var syntax *expr.SyntaxError
		if _, err := expr.CompileIntrinsic(text); !errors.As(err, &syntax) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if _, err := expr.CompileIntrinsic(deep[len("States.Array(") : len(deep)-1]); err != nil {
		t.Errorf("10 levels: %v", err)
	}
}

func TestIntrinsicRandomness(t *testing.T) {
	same := func(call string) (string, string) {
		a, err := evalIntrinsic(t, call, scope(t, `{}`))
		if err != nil {
			t.Fatal(err)
		}
		b, err := evalIntrinsic(t, call, scope(t, `{}`))
		if err != nil {
			t.Fatal(err)
		}
		return a, b
	}
	for _, call := range []string{"States.UUID()", "States.MathRandom(1, 1000000)"} {
		if a, b := same(call); a != b {
			t.Errorf("%s differs between replays: %s, %s", call, a, b)
		}
	}
	s := scope(t, `{}`)
	first, _ := evalIntrinsic(t, "States.UUID()", s)
	second, _ := evalIntrinsic(t, "States.UUID()", s)
	if first == second || !regexp.MustCompile(`^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"$`).MatchString(first) {
		t.Errorf("got the UUIDs %s and %s", first, second)
	}
	seeded1, _ := evalIntrinsic(t, "States.MathRandom(1, 1000, 42)", s)
	seeded2, _ := evalIntrinsic(t, "States.MathRandom(1, 1000, 42)", s)
	if seeded1 != seeded2 {
		t.Errorf("the same seed gives %s and %s", seeded1, seeded2)
	}
}

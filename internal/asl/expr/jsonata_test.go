package expr_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

const jsonataInput = `{"z":1,"a":[1,2,{"b":1.0}],"s":"x","big":12345678901234567890,"long":9007199254740993,"n":null,
	"f":1e3,"one":[5],"empty":[],"neg":-0.5,"o":{"k":"v"},"items":[{"id":1,"t":"p"},{"id":2,"t":"q"}]}`

func evalJSONata(t *testing.T, src string, s *expr.Scope) (any, error) {
	t.Helper()
	j, err := expr.CompileJSONata(src)
	if err != nil {
		t.Fatalf("compile %s: %v", src, err)
	}
	s.Now = time.UnixMilli(1_700_000_000_123)
	return j.Eval(s, "Output")
}

func TestJSONata(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`$states.input.a[2].b`, `1.0`},
		{`$states.input.a.b`, `1.0`},
		{`$states.input.n`, `null`},
		{`[$states.input.n]`, `[null]`},
		{`{"q":$states.input.n}`, `{"q":null}`},
		{`$exists($states.input.n)`, `true`},
		{`$count($states.input.n)`, `1`},
		{`$type($states.input.n)`, `"null"`},
		{`$states.input.one`, `[5]`},
		{`$states.input.empty`, `[]`},
		{`$states.input.items.id`, `[1,2]`},
		{`$states.input.items[id=2].t`, `"q"`},
		{`$states.input.items[-1].id`, `2`},
		{`$states.input.big`, `12345678901234567890`},
		{`$states.input.long`, `9007199254740993`},
		{`[$states.input.long]`, `[9007199254740993]`},
		{`[$states.input.f]`, `[1000.0]`},
		{`$states.context.Execution.Id`, `"arn:e"`},
		{`$v + 1`, `8`},
		{`$w.x`, `"deep"`},
		{`$w`, `{"x":"deep"}`},
		{`{"b":1,"a":$states.input.o}`, `{"b":1,"a":{"k":"v"}}`},
		{`$merge([{"z":0,"y":9},$states.input.o])`, `{"z":0,"y":9,"k":"v"}`},
		{`$keys($states.input)[0]`, `"z"`},
		{`0.1+0.2`, `0.30000000000000004`},
		{`2*3`, `6`},
		{`1000000*1000000`, `1000000000000`},
		{`1/3*3`, `1`},
		{`-0`, `0`},
		{`1/0`, `"Infinity"`}, // numbers that JSON cannot represent become strings (observed on AWS)
		{`[-1/0]`, `["-Infinity"]`},
		{`$states.input = '"'`, `false`},
		{`$f := 1`, `1`},
		{`$map([1,2], function($x, $i) { $x * $i })`, `[0,2]`},
		{`$number("2")`, `2`},
		{`$string(1e20)`, `"100000000000000000000"`},
		{`$string(1e21)`, `"1e+21"`},
		{`$contains("hello$world", /^hello\$/)`, `true`},
		{`$contains("hello$world", /^hello\ /)`, `false`},
		{`$filter($states.input.items, function($i) { $i.id > 1 })`, `{"id":2,"t":"q"}`},
		{`{"a": [$filter([1, 2], function($v) { $v > 1 })]}`, `{"a":[2]}`},
		{`$match("a1b2", /([a-z])(\d)/)[1]`, `{"match":"b2","index":2,"groups":["b","2"]}`},
		{`$match("a1", /\d/)`, `{"match":"1","index":1,"groups":[]}`},
		{`$wrapped.a`, `[1]`},
		{`[$wrapped.a, $two.a]`, `[1,1,2]`},
		{`$count($two.a)`, `2`},
		{`$two.b`, `5`},
		{`$clone($states.input.o)`, `{"k":"v"}`},
		{`$now()`, `"2023-11-14T22:13:20.123Z"`},
		{`$now("[Y0001]-[M01]")`, `"2023-11"`},
		{`$millis()`, `1700000000123`},
		{`$toMillis($now()) = $millis()`, `true`},
		{`$partition($states.input.a, 2)`, `[[1,2],[{"b":1.0}]]`},
		{`$partition([0], 5)`, `[[0]]`},
		{`$partition([1,2,3], 2.9)`, `[[1,2],[3]]`},
		{`$range(1, 9, 2)`, `[1,3,5,7,9]`},
		{`$range(-1.7, 2, 1)`, `[-1,0,1,2]`},
		{`$range(3, 3, 1)`, `3`},
		{`$hash("input data", "MD5")`, `"812f45842bc6d66ee14572ce20db8e86"`},
		{`$parse("{\"b\":1,\"a\":[]}")`, `{"b":1,"a":[]}`},
		{`$parse("-0")`, `0`},
		{`$parse("1.1")`, `1.1`},
		{`$random() < 1`, `true`},
		{`$random(3) = $random(3)`, `true`},
		{`$length($uuid())`, `36`},
		{`$sort($shuffle([1..5]))`, `[1,2,3,4,5]`},
		{"$states.input.`s`", `"x"`},
		{`($v := $v + 1; $v)`, `8`},
		{`$states.input.o.k.%.k`, `"v"`},
		{`$states.input.items.t.%.id`, `[1,2]`},
		{`{"n": $states.input.o.k, "all": $states.input.o}`, `{"n":"v","all":{"k":"v"}}`},
		{`$states.input.*[0] & $states.input.s`, `"1x"`},
		{`/* a comment */ 1`, `1`},
		{`$states.input.items ~> | $ | {"t": 0} |`, `[{"id":1,"t":0},{"id":2,"t":0}]`},
		{`($f := function($n) { $n <= 1 ? 1 : $n * $f($n - 1) }; $f(10))`, `3628800`},
	} {
		t.Run(c.src, func(t *testing.T) {
			got, err := evalJSONata(t, c.src, scope(t, jsonataInput))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, value.Text(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJSONataStates(t *testing.T) {
	s := scope(t, `{"i":1}`)
	for _, c := range []struct{ src, want string }{
		{`$states`, `{"input":{"i":1},"context":{"Execution":{"Id":"arn:e","Name":"run"},"StateMachine":{"Id":"arn:m","Name":"machine"}}}`},
		{`$keys($states)`, `["input","context"]`},
		{`$exists($states.result)`, `false`},
	} {
		if got, err := evalJSONata(t, c.src, s); err != nil || value.Text(got) != c.want {
			t.Errorf("%s: got %s, %v", c.src, value.Text(got), err)
		}
	}
	s.Result, s.HasResult = nil, true
	s.ErrorOutput, s.HasErrorOutput = value.Obj("Error", "E"), true
	for _, c := range []struct{ src, want string }{
		{`$states.result`, `null`},
		{`$states.errorOutput.Error`, `"E"`},
		{`$string($keys($states))`, `"[\"input\",\"context\",\"result\",\"errorOutput\"]"`},
	} {
		if got, err := evalJSONata(t, c.src, s); err != nil || value.Text(got) != c.want {
			t.Errorf("%s: got %s, %v", c.src, value.Text(got), err)
		}
	}
}

func TestJSONataVariableNamedLikeFunction(t *testing.T) {
	s := scope(t, `{}`)
	s.Vars = func(name string) (any, bool) { return value.Int(3), name == "count" }
	for src, want := range map[string]string{`$count`: `3`, `$count + 1`: `4`, `$sum([1,2])`: `3`} {
		if got, err := evalJSONata(t, src, s); err != nil || value.Text(got) != want {
			t.Errorf("%s: got %v, %v", src, got, err)
		}
	}
}

func TestJSONataScopeChanges(t *testing.T) {
	s := scope(t, `{"i":1}`)
	for _, want := range []string{"[1]", "[2]"} {
		got, err := evalJSONata(t, `[$states.input.i]`, s)
		if err != nil || value.Text(got) != want {
			t.Errorf("got %v, %v", got, err)
		}
		s.Input = parse(t, `{"i":2}`)
	}
}

func TestJSONataErrors(t *testing.T) {
	prefix := func(src string) string {
		return "The JSONata expression '" + src + "' specified for the field 'Output' "
	}
	const undefined = "returned nothing (undefined)."
	const threw = "threw an error during evaluation. "
	const memory = "threw an error during evaluation: Expression evaluation memory limit exceeded: Check for excessive memory usage"
	for _, c := range []struct{ src, want string }{
		{`$doesNotExist`, undefined},
		{`$states.input.nope`, undefined},
		{`$states.input.s.nope.nope`, undefined},
		{`$states.input.items[id=9]`, undefined},
		{`$states.result`, undefined},
		{`$sum`, undefined},
		{`function($x){$x}`, undefined},
		{`$range(1, 5, -1)`, undefined},
		{`$range(1, 5)`, undefined},
		{`$partition([1], 0)`, undefined},
		{`$partition([], 1)`, undefined},
		{`$hash("x")`, undefined},
		{`$two.nope`, undefined},
		{`$filter([1], function($v) { false })`, undefined},
		{`$randomSeeded(1)`, threw + "T1006: Attempted to invoke a non-function"},
		{`$eval("1")`, threw + "T1006: Attempted to invoke a non-function"},
		{`"x" + 1`, threw + `T2001: The left side of the "+" operator must evaluate to a number`},
		{`1 - "x"`, threw + `T2002: The right side of the "-" operator must evaluate to a number`},
		{`null + 1`, threw + `T2001: The left side of the "+" operator must evaluate to a number`},
		{`true < 1`, threw + `T2010: The expressions either side of operator "<" must evaluate to numeric or string values`},
		{`["a"..2]`, threw + `T2003: The left side of the range operator (..) must evaluate to an integer`},
		{`[1.."a"]`, threw + `T2004: The right side of the range operator (..) must evaluate to an integer`},
		{`1 ~> 2`, threw + `T2006: The right side of the function application operator ~> must be a function`},
		{`$single([1, 2])`, threw + `D3138: The $single() function expected exactly 1 matching result.  Instead it matched more.`},
		{`$single([])`, threw + `D3139: The $single() function expected exactly 1 matching result.  Instead it matched 0.`},
		{`$range(1, 1000000, 1)`, memory},
		{`$pad("", 262145, "x")`, memory},
		{`$pad("", -262145)`, memory},
	} {
		_, err := evalJSONata(t, c.src, scope(t, jsonataInput))
		want := &expr.Error{Name: "States.QueryEvaluationError", Cause: prefix(c.src) + c.want, Location: "Output"}
		var e *expr.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v", c.src, err)
		} else if diff := cmp.Diff(want, e); diff != "" {
			t.Error(diff)
		}
	}
	for _, src := range []string{
		`$hash("x","md5")`, `$hash(1,"MD5")`, `$parse("{")`, `$parse(1)`, `$range("a",1,1)`, `$error("boom")`,
		`$toMillis("x")`, `$uppercase(1)`,
	} {
		_, err := evalJSONata(t, src, scope(t, jsonataInput))
		var e *expr.Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.Cause, prefix(src)+threw) {
			t.Errorf("%s: got %v", src, err)
		}
	}
}

func TestJSONataWrongType(t *testing.T) {
	j, err := expr.CompileJSONata("$ItemsVar")
	if err != nil {
		t.Fatal(err)
	}
	got := j.WrongType("Items", "array", value.Obj("foo", "bar"))
	want := `The JSONata expression '$ItemsVar' specified for the field 'Items' returned an unexpected result type. ` +
		`Expected 'array', but was 'object' for value: {"foo":"bar"}`
	if got.Cause != want || got.Location != "Items" || got.Name != "States.QueryEvaluationError" {
		t.Errorf("got %+v", got)
	}
}

func TestJSONataIsBounded(t *testing.T) {
	for name, src := range map[string]string{
		"deep recursion":    `($f := function($x) { 1 + $f($x) }; $f(0))`,
		"endless recursion": `($f := function($x) { $f($x + 1) }; $f(0))`,
		"mutual recursion":  `($f := function($x) { $g($x) }; $g := function($x) { $f($x) }; $f(0))`,
		"growing string":    `($g := function($s, $n) { $n = 0 ? $s : $g($s & $s, $n - 1) }; $length($g("xxxxxxxxxxxxxxxx", 40)))`,
		"plain doubling":    `($a := "xxxxxxxx"; ` + strings.Repeat(`$a := $a & $a; `, 40) + `$length($a))`,
		"huge ranges":       `$map([1..1000], function($i) { [1..9999999] })`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := evalJSONata(t, src, scope(t, `{}`)); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestJSONataLongChains evaluates the longest and deepest expressions that the limits allow: no stack may overflow.
func TestJSONataLongChains(t *testing.T) {
	for _, src := range []string{
		strings.Repeat("-", 19_000) + "1", strings.Repeat("1+", 9_000) + "1", strings.Repeat("true ? ", 6_000) + "1",
		strings.Repeat("true ? 1 : ", 4_000) + "1", "$v" + strings.Repeat(".a", 9_000), "$v" + strings.Repeat("[0]", 6_000),
		strings.Repeat("$a := ", 9_000) + "1", strings.Repeat("(", 499) + "1" + strings.Repeat(")", 499),
		strings.Repeat("[", 499) + "1" + strings.Repeat("]", 499), "1" + strings.Repeat(" ~> $string()", 3_000),
	} {
		j, err := expr.CompileJSONata(src)
		if err != nil {
			continue
		}
		if _, err := j.Eval(scope(t, `{}`), "Output"); err != nil && err.Error() == "" {
			t.Errorf("%.20q: error with an empty message", src)
		}
	}
}

func TestJSONataConcurrently(t *testing.T) {
	j, err := expr.CompileJSONata(`$string($map($states.input.items, function($i) { $i.id + $v })) & $uuid()`)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan string)
	for range 8 {
		go func() {
			v, err := j.Eval(scope(t, jsonataInput), "Output")
			results <- value.Text(v) + errorText(err)
		}()
	}
	first := <-results
	for range 7 {
		if got := <-results; got != first {
			t.Errorf("got %s and %s", first, got)
		}
	}
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestJSONataSyntaxErrors(t *testing.T) {
	for _, src := range []string{
		"", "1 +", "(", ")", "[1,2", "a[1,2)", `"open`, "/* open", "`open", "/open", "$f(", "{", "{1}", "1 2", "a ?? b", "a ?: b",
		"a ? : b", "function(", "@", "\xff", strings.Repeat("(", 2000), strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
		strings.Repeat("1+", 20_000) + "1",
	} {
		var syntax *expr.SyntaxError
		if _, err := expr.CompileJSONata(src); !errors.As(err, &syntax) {
			t.Errorf("%.40q: got %v", src, err)
		} else if syntax.Offset < 0 || syntax.Offset > len(src) {
			t.Errorf("%.40q: offset %d", src, syntax.Offset)
		}
	}
	if _, err := expr.CompileJSONata(`$map([1], function($x)<n?:s> { $x })`); err != nil {
		t.Errorf("a signature is parsed as an operator: %v", err)
	}
}

func TestJSONataVariables(t *testing.T) {
	for src, want := range map[string][]string{
		`$a + $b.c & $states.input.x`:                               {"a", "b"},
		`($x := $y; $x + $z)`:                                       {"y", "z"},
		`$map($items, function($v, $i) { $v + $k })`:                {"items", "k"},
		`$sum($states.input.n) + $var`:                              {"var"},
		`$items#$i[$i < $n].{"i": $i}`:                              {"items", "n"},
		`$unknown(1)`:                                               {},
		`"$no" & '$no' & /* $no */ $contains("a", /$no/) & $yes.no`: {"yes"},
	} {
		j, err := expr.CompileJSONata(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if diff := cmp.Diff(want, j.Variables()); diff != "" {
			t.Errorf("%s: %s", src, diff)
		}
	}
}

func TestJSONataUnsupported(t *testing.T) {
	top := func(name string) string { return "Reference to '" + name + "' at the top level is not supported." }
	for src, want := range map[string][]string{
		`phone`:                                {top("phone")},
		`$$`:                                   {"Reference to '$$' is not supported."},
		`$[1].x`:                               {top("$")},
		`$uppercase($)`:                        {top("$")},
		`$filter($v, function($i) { $i > $ })`: {top("$")},
		`$v.($ + 1)`:                           nil,
		`bbb * bbb - $`:                        {top("bbb"), top("$")},
		`$v{k: $count($)}`:                     nil,
		`$v^(>$)`:                              nil,
		`(a; $v.b; c.d; a)`:                    {top("a"), top("c")},
		`a.b.c[d = e]`:                         {top("a")},
		`$states.input.items[value > 3]`:       nil,
		`$states.input.items^(price, >name)`:   nil,
		`$states.input.items.(a + b)`:          nil,
		`$states.input.items.{"k": v, w: [x]}`: nil,
		`$states.input.items{type: $sum(n)}`:   nil,
		`$map($states.input.a, function($x) { b })`:        {top("b")},
		`$states.input.a.$map(b, function($x) { c + $x })`: nil,
		`{"k": v}`:               {top("v")},
		`[x, true, null, false]`: {top("x")},
		`$a and $b or $c in [1]`: nil,
		`$a.and.or`:              nil,
		`and`:                    {top("and")},
		`$states.input ~> | items | {"a": b}, ["c"] |`: nil,
		"`quoted name`": {top("quoted name")},
		`$a ? b : $c`:   {top("b")},
	} {
		j, err := expr.CompileJSONata(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var got []string
		for _, e := range j.Unsupported() {
			got = append(got, e.Msg)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", src, diff)
		}
	}
}

func TestJSONataBody(t *testing.T) {
	for s, want := range map[string]string{
		"{% $x %}": "$x", "{%$x%}": "$x", "{% %}": "", "{%%}": "", "{% $x": "-", "$x": "-", " {% $x %}": "-", "{%": "-", "{%}": "-",
	} {
		body, ok := expr.JSONataBody(s)
		if !ok {
			body = "-"
		}
		if body != want {
			t.Errorf("%q: got %q", s, body)
		}
	}
}

func TestJSONataTemplate(t *testing.T) {
	tpl, err := expr.CompileJSONataTemplate(parse(t, `{"a":"{% $states.input.s %}","b":["x",{"c":"{% $v + 1 %}"}],"d":{"e":null}}`), "Output")
	if err != nil {
		t.Fatal(err)
	}
	got, err := tpl.Eval(scope(t, jsonataInput))
	if err != nil || value.Text(got) != `{"a":"x","b":["x",{"c":8}],"d":{"e":null}}` {
		t.Errorf("got %v, %v", value.Text(got), err)
	}
	if diff := cmp.Diff([]string{"v"}, tpl.Variables()); diff != "" {
		t.Error(diff)
	}
	for template, location := range map[string]string{
		`"{% $nope %}"`:                 "Output",
		`{"result":"{% $nope %}"}`:      "Output/result",
		`{"a":{"b":[1,"{% $nope %}"]}}`: "Output/a/b[1]",
		`[{"x":"{% $nope %}"}]`:         "Output[0]/x",
	} {
		tpl, err := expr.CompileJSONataTemplate(parse(t, template), "Output")
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpl.Eval(scope(t, `{}`))
		var e *expr.Error
		if !errors.As(err, &e) || e.Location != location || !strings.Contains(e.Cause, "the field '"+location+"' returned nothing") {
			t.Errorf("%s: got %v", template, err)
		}
	}
	_, errs := expr.CompileJSONataTemplateAll(parse(t, `{"a":"{% ( %}","b":["{% 1 2 %}"]}`), "Assign")
	if len(errs) != 2 || errs[0].Pointer != "Assign/a" || errs[1].Pointer != "Assign/b[0]" {
		t.Errorf("got %v", errs)
	}
}

// TestJSONataLikeStepFunctions evaluates variations of published recordings (internal/api/testdata/published.jsonl).
func TestJSONataLikeStepFunctions(t *testing.T) {
	recursion := func(n string) string {
		return `($f := function($n) { $n = 0 ? 0 : $n + $f($n - 1) }; $f(` + n + `))`
	}
	for _, c := range []struct{ src, want string }{
		{strings.Repeat("2*", 99) + "1", `6.338253001141147E29`},
		{"$v" + strings.Repeat(" & $v", 99), `"` + strings.Repeat("7", 100) + `"`},
		{recursion("31"), `496`},
		{`$power(10, 300) * $power(10, 300)`, `"Infinity"`},
		{`{"all": [1e300 * -1e300, 1]}`, `{"all":["-Infinity",1]}`},
		{`$states.input.z / 0`, `"Infinity"`},
		{`$parseInteger("twelve", "I")`, `"NaN"`},
		{`$random(1)`, `0.7308781907032909`},
		{`$random(-1)`, `0.26894263088050496`},
		{`$random(1.9) = $random(1)`, `true`},
		{`$partition(["a", "b"])`, `[["a","b"]]`},
		{`$parse("[1,{\"a:b\":\"\\\":\"}]")`, `[1,{"a:b":"\":"}]`},
		{`[$states.input.big]`, `[12345678901234567000]`},
		{`$string(12345678901234567890)`, `"12345678901234567000"`},
	} {
		if got, err := evalJSONata(t, c.src, scope(t, jsonataInput)); err != nil || value.Text(got) != c.want {
			t.Errorf("%.60s: got %s, %v", c.src, value.Text(got), err)
		}
	}
	const deep = ": Stack overflow error: Check for non-terminating recursive function. Consider rewriting as tail-recursive. Depth=101 max=100"
	for _, c := range []struct{ src, want string }{
		{strings.Repeat("2*", 100) + "1", deep},
		{"[" + strings.Repeat("(", 99) + "1" + strings.Repeat(")", 99) + "]", deep},
		{"1" + strings.Repeat(" ~> $abs", 100), deep},
		{recursion("32"), deep},
		{`$partition([1], 2, 3)`, `. T0410: Argument 3 of function "partition" does not match function signature`},
		{`$partition(1, -2)`, `. D3137: Second argument must be zero or greater`},
		{`$uuid(1)`, `. T0410: Argument 1 of function "uuid" does not match function signature`},
		{`$range()`, `. T0410: Argument 1 of function "range" does not match function signature`},
		{`$hash('a', 'SHA1')`, `. D3137: Unsupported hash algorithm: SHA1`},
		{`$parse('{"b":{"a":1,"a":1}}')`, `. D3137: Invalid JSON`},
		{`$parse('[1e309]')`, `. D3137: Invalid JSON`},
		{`$sqrt(-4)`, `. D3060: The sqrt function cannot be applied to a negative number: -4`},
		{`$max(['b', 1])`, `. T0412: Argument 1 of function "max" must be an array of "numbers"`},
		{`$sift(1, function($v) { $v })`, `. T0410: Argument 1 of function "sift" does not match function signature`},
		{`$replace($pad('',262144,'x'),'x',$pad('',262144,'y'))`,
			": Expression evaluation memory limit exceeded: Check for excessive memory usage"},
	} {
		_, err := evalJSONata(t, c.src, scope(t, jsonataInput))
		want := "The JSONata expression '" + c.src + "' specified for the field 'Output' threw an error during evaluation" + c.want
		var e *expr.Error
		if !errors.As(err, &e) || e.Cause != want {
			t.Errorf("%.60s: got %v", c.src, err)
		}
	}
	var e *expr.Error
	if _, err := evalJSONata(t, `$base64decode("?")`, scope(t, `{}`)); !errors.As(err, &e) ||
		!strings.Contains(e.Cause, "threw an internal error during evaluation. ") {
		t.Errorf("got %v", err)
	}
}

func TestJSONataSyntaxErrorMessages(t *testing.T) {
	for src, want := range map[string]string{
		`{"a": 1, }`:         `The symbol "}" cannot be used as a unary operator`,
		`$v[0;1]`:            `Expected "]", got ";"`,
		`'abc`:               `String literal must be terminated by a matching quote`,
		`$contains($v, /a`:   `No terminating / in regular expression`,
		`$v *`:               `Unexpected end of expression`,
		`$v ?? 1`:            `The symbol "?" cannot be used as a unary operator`,
		`/* open`:            `Comment has no closing tag`,
		`$f($v, /(x)y*+/)`:   `the regular expression /(x)y*+/ has nothing to repeat`,
		`function($a, 1){1}`: `Parameter 2 of function definition must be a variable name (start with $)`,
	} {
		var syntax *expr.SyntaxError
		if _, err := expr.CompileJSONata(src); !errors.As(err, &syntax) || syntax.Msg != want {
			t.Errorf("%s: got %v", src, err)
		}
	}
}

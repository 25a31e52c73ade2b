package jsonata_test

import (
	"errors"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
	"github.com/rayorch/rayorch/internal/value"
)

// evaluate evaluates an expression without an input.
func evaluate(t testing.TB, src string, limits jsonata.Limits) (string, error) {
	t.Helper()
	x, err := jsonata.Compile(src)
	if err != nil {
		return "", err
	}
	v, defined, err := x.Eval(jsonata.Undefined, &jsonata.Env{Now: time.UnixMilli(1_700_000_000_123)}, limits)
	if err != nil {
		return "", err
	}
	if !defined {
		return "undefined", nil
	}
	return value.Text(v), nil
}

var likeStepFunctions = jsonata.Limits{Bytes: 20 << 20, Depth: 100}

// TestDepth checks the behavior of Step Functions at its limit of 100 (floci-io/floci issue 2737, measured with TestState).
func TestDepth(t *testing.T) {
	recursion := func(n string) string {
		return `($f := function($n) { $n = 0 ? 0 : 1 + $f($n - 1) }; $f(` + n + `))`
	}
	for _, c := range []struct {
		name, right, wrong string
	}{
		{"terms", "1" + strings.Repeat("+1", 99), "1" + strings.Repeat("+1", 100)},
		{"parentheses", strings.Repeat("(", 99) + "1" + strings.Repeat(")", 99), strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100)},
		{"brackets", strings.Repeat("[", 99) + "1" + strings.Repeat("]", 99), strings.Repeat("[", 100) + "1" + strings.Repeat("]", 100)},
		{"applications", "1" + strings.Repeat("~>$string", 99), "1" + strings.Repeat("~>$string", 100)},
		{"recursion", recursion("31"), recursion("32")},
	} {
		if _, err := evaluate(t, c.right, likeStepFunctions); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		_, err := evaluate(t, c.wrong, likeStepFunctions)
		var limit *jsonata.LimitError
		if !errors.As(err, &limit) || limit.Limit != jsonata.LimitDepth || limit.Depth != 101 || limit.Max != 100 {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	for _, src := range []string{
		`($f := function($n) { $n = 0 ? 0 : $f($n - 1) }; $f(10000))`,
		`($f := function($n) { $n = 0 ? "even" : $g($n - 1) }; $g := function($n) { $n = 0 ? "odd" : $f($n - 1) }; $f(9999))`,
		`($f := function($n, $sum) {( $more := $sum + $n; $n = 0 ? $more : $f($n - 1, $more) )}; $f(9999, 0))`,
	} {
		if _, err := evaluate(t, src, likeStepFunctions); err != nil {
			t.Errorf("%s: calls in tail position add to the depth: %v", src, err)
		}
	}
}

// greedy are expressions that would exhaust the memory or run forever without limits, for every function that builds something.
var greedy = []string{
	`$replace($pad('',262144,'x'),'x',$pad('',262144,'y'))`,
	`$replace($pad('',262144,'x'),/x/,$pad('',262144,'y'))`,
	`$replace($pad('',262144,'x'),/(x)/,"$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1")`,
	`$replace($pad('',262144,'x'),/x/,function($m){$pad('',262144,'y')})`,
	`$pad('', 1e9)`,
	`$pad('', -1e300, 'abc')`,
	`$join($map([1..10000], function($i) { $pad('', 10000) }), ',')`,
	`$join($split($pad('',262144),''), $pad('',262144))`,
	`($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $length($f('xxxxxxxx', 60)))`,
	`($f := function($a, $n) { $n = 0 ? $a : $f($append($a, $a), $n - 1) }; $count($f([1], 60)))`,
	`($f := function($a, $n) { $n = 0 ? $a : $f([$a, $a], $n - 1) }; $string($f(1, 60)))`,
	`($f := function($a, $n) { $n = 0 ? $a : $f([$a, $a], $n - 1) }; $f(1, 60))`,
	`($f := function($a, $n) { $n = 0 ? $a : $f([$a, $a], $n - 1) }; $f(1, 60) = $f(1, 60))`,
	`($f := function($a, $n) { $n = 0 ? $a : $f([$a, $a], $n - 1) }; $distinct([$f(1, 60), 2]))`,
	`($f := function($a, $n) { $n = 0 ? $a : $f({"a": $a, "b": $a}, $n - 1) }; $count($f(1, 60).**))`,
	`($f := function($a, $n) { $n = 0 ? $a : $f({"a": $a, "b": $a}, $n - 1) }; $f(1, 60) ~> |a|{"c": 1}|)`,
	`($f := function($a, $n) { $n = 0 ? $a : $f([[$a], $a], $n - 1) }; $f(1, 60).*)`,
	`($f := function($a, $n) { $n = 0 ? $a : $f({"a": [$a, $a]}, $n - 1) }; $f(1, 60)` + strings.Repeat(".a", 60) + `)`,
	`($f := function($a, $n) { $n = 0 ? $a : $f([[$a]], $n - 1) }; $f(1, 1000000))`,
	`($f := function($k, $n) { $n = 0 ? $k : $f(function() { $k }, $n - 1) }; $f(1, 10000000))`,
	`[1..9999999]`,
	`$map([1..1000], function($i) { [1..999999] })`,
	`[1..3000].[1..3000]`,
	`$zip([1..100000], [1..100000], [1..100000], [1..100000], [1..100000], [1..100000], [1..100000], [1..100000])`,
	`$spread($merge($map([1..200000], function($i) { {$string($i): $i} })))`,
	`$map([1..200000], function($i) { {"abcdefgh": $i, "b": {"c": $i}} })`,
	`$merge($map([1..200000], function($i) { {$string($i): $i} }))`,
	`$keys($map([1..200000], function($i) { {$string($i): $i} }))`,
	`$match($pad('',262144,'x'), /(x)(x)/)`,
	`$contains($pad('',100,'a') & 'b', /^(a+)+$/)`,
	`$contains($pad('',100,'a'), /(a*)*(a*)*(a*)*b/)`,
	`$match($pad('',262144,'x'), /.*y|(x)/)`,
	`$contains($pad('',262144,'ab'), /(ab|a|b)*c/)`,
	`$sort($reverse($append([1..500000], [1..500000])))`,
	`$encodeUrl($join($map([1..100], function($i) { $pad('', 100000) })))`,
	`$formatInteger(1e300, "I")`,
	`$formatInteger(1, $join($map([1..100000], function() { "0," })))`,
	`$parseInteger($join($map([1..500000], function() { "one " })), "w")`,
	`$toMillis("2020", $join($map([1..1000], function() { "[Yw]" })))`,
	`$toMillis($pad("2", 100000, "0"), "[Yw] [Mw] [Dw]")`,
	`($b := [1..50000]; $map([1..2000], function() { {"b": [[$b]]} }).b@$v.{"k": 1}{"x": $count($v)})`,
	`$formatInteger(1e15, "i")`,
	`$base64encode($join($map([1..150], function($i) { $pad('', 100000) })))`,
	`$uppercase($join($map([1..150], function($i) { $pad('', 100000) })))`,
	`[1..100000]@$a.[1..100000]@$b.($a + $b)`,
	`[1..300000]{$string($): $}`,
	`[1..300000]^(>$)`,
	`$formatNumber(1, $pad('',262144,'0') & $pad('',2621440,'0') & $pad('',262144,'0'))`,
	`$fromMillis(0, $join($map([1..100], function($i) { $pad('', 262144, '[Y]') })))`,
}

// TestLimitsHold evaluates greedy expressions with small limits: the heap grows only a little, and the evaluation ends soon.
func TestLimitsHold(t *testing.T) {
	for _, src := range greedy {
		checks := 0
		limits := jsonata.Limits{Bytes: 8 << 20, Depth: 100, Check: func() error {
			if checks++; checks > 300 {
				return errSteps
			}
			return nil
		}}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		got, err := evaluate(t, src, limits)
		runtime.ReadMemStats(&after)
		var limit *jsonata.LimitError
		if !errors.As(err, &limit) && !errors.Is(err, errSteps) {
			t.Errorf("%s: got %.50s, %v", src, got, err)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
			t.Errorf("%s: the heap grew by %d MiB", src, grown>>20)
		}
	}
}

// TestGarbageIsNotCounted evaluates expressions that use much more than the limit in total, but little at a time.
func TestGarbageIsNotCounted(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`$length($reduce([1..2000], function($s, $i) { $s & "0123456789" }, ""))`, `20000`},
		{`($f := function($n, $s) { $n = 0 ? $length($s) : $f($n - 1, $pad("x", 10000)) }; $f(5000, ""))`, `10000`},
		{`$sum($map([1..2000], function($i) { $length($pad("", 10000)) }))`, `20000000`},
	} {
		if got, err := evaluate(t, c.src, jsonata.Limits{Bytes: 2 << 20, Depth: 100}); err != nil || got != c.want {
			t.Errorf("%s: got %s, %v", c.src, got, err)
		}
	}
}

func TestStepsStop(t *testing.T) {
	for _, src := range []string{
		`($f := function($x) { $f($x + 1) }; $f(0))`,
		`($f := function() { $f() }; $f())`,
		`$reduce([1..100000], function($a, $b) { $a + $count([1..1000][$ > 500]) }, 0)`,
	} {
		stop := errors.New("stop")
		checks := 0
		_, err := evaluate(t, src, jsonata.Limits{Bytes: 8 << 20, Depth: 100, Check: func() error {
			if checks++; checks > 100 {
				return stop
			}
			return nil
		}})
		if !errors.Is(err, stop) {
			t.Errorf("%s: got %v", src, err)
		}
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`0.1+0.2`, `0.30000000000000004`},
		{`$string(0.1+0.2)`, `"0.3"`},
		{`"" & 1/3`, `"0.333333333333333"`},
		{`"" & 1e-7 & " " & 1e21 & " " & 123456789012345678`, `"1e-7 1e+21 123456789012345680"`},
		{`1e308 * 10`, `"Infinity"`},
		{`[-1e308 * 10]`, `["-Infinity"]`},
		{`{"k": 0/0}`, `{"k":"NaN"}`},
		{`$parseInteger("abc", "0")`, `"NaN"`},
		{`-0`, `0`},
		{`[1, function() { 1 }, 2]`, `[1,2]`},
		{`{"a": $sum, "b": 1}`, `{"b":1}`},
		{`$sum`, `undefined`},
		{`{"b": 1, "2": 2, "1": 3}`, `{"b":1,"2":2,"1":3}`},
		{`$match("a😀b", /b/).index`, `3`},
		{`$match("aXbX", /[^X](?<name>X)/)[1].groups`, `["X"]`},
		{`$replace("one two", /\b\w/, $uppercase)`, ``},
		{`$replace("one two", /\b\w/, function($m) { $uppercase($m.match) })`, `"One Two"`},
		{`$length($replace($pad("", 262144, "x"), /x/, "y"))`, `262144`},
		{`$split("a1b22c", /\d+/)`, `["a","b","c"]`},
		{`$contains("a\nb", /a.b/)`, `false`},
		{`$contains("a\nb", /a[\s\S]b/)`, `true`},
		{`$contains("a\nb", /^b/m)`, `true`},
		{`$contains("ab", /b^/)`, `false`},
		{`$contains("A", /a/i)`, `true`},
		{`$replace("price: 12 EUR", /\d+(?= EUR)/, "n")`, `"price: n EUR"`},
		{`$match("a1 b2", /(?<=b)\d/).match`, `"2"`},
		{`$match("foobar foobaz", /foo(?!bar)\w+/).match`, `"foobaz"`},
		{`$match("aa ab bb", /(\w)\1/).match`, `["aa","bb"]`},
		{`$match("2024-05", /(?<year>\d{4})-(?<month>\d\d)/).groups`, `["2024","05"]`},
		{`$match("abab", /(?:(a)|b)*/).groups`, `[]`},
		{`$contains("é", /^\p{L}$/)`, `true`},
		{`$split("one, two;three", /\s*[,;]\s*/)`, `["one","two","three"]`},
		{`$match("aXbXc", /X.*?X|b/).match`, `"XbX"`},
		{`"\uD83D\uDE00" < "\uFFFF"`, `true`},
		{`$formatNumber(12345.678, "#,##0.00")`, `"12,345.68"`},
		{`$formatInteger(1999, "I")`, `"MCMXCIX"`},
		{`$parseInteger($formatInteger(1234567, "i"), "i")`, `1234567`},
		{`$now()`, `"2023-11-14T22:13:20.123Z"`},
		{`$millis()`, `1700000000123`},
		{`$fromMillis(0, "[D1o] [MNn] [Y], [FNn] week [W]")`, `"1st January 1970, Thursday week 1"`},
		{`$base64encode("é")`, `"w6k="`},
		{`$base64decode("w6k")`, `"é"`},
		{`"a" in ["a", "b"]`, `true`},
		{`{"a": 1} in [{"a": 1}]`, `true`},
		{`$zip([1, 2], ["a", "b", "c"])`, `[[1,"a"],[2,"b"]]`},
		{`$substring("héllo", 1, 3)`, `"éll"`},
		{`$distinct([1, 1.0, "1", {"a": [1]}, {"a": [1]}])`, `[1,"1",{"a":[1]}]`},
		{`[3, 1, 2]^($)`, `[1,2,3]`},
		{`[1, 2, 3][[0, 0, -1]]`, `[1,1,3]`},
		{`[{"a": 1}][0].a`, `1`},
		{`$sort([1, 2], function() { {} })`, `[2,1]`},
		{`$formatInteger(1234, "0-00'")`, `"12-34'"`},
		{`$substring("abc", $nothing, 2)`, `""`},
		{`$sort([{"a": 2}, {"a": 1}], function($l, $r) { $l.a > $r.a }).a`, `[1,2]`},
	} {
		got, err := evaluate(t, c.src, likeStepFunctions)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: got %s", c.src, got)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %s, %v", c.src, got, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`"x" + 1`, `T2001: The left side of the "+" operator must evaluate to a number`},
		{`1 - "x"`, `T2002: The right side of the "-" operator must evaluate to a number`},
		{`true < 1`, `T2010: The expressions either side of operator "<" must evaluate to numeric or string values`},
		{`1 < "a"`, `T2009: The values 1 and "a" either side of operator "<" must be of the same data type`},
		{`["a"..2]`, `T2003: The left side of the range operator (..) must evaluate to an integer`},
		{`1 ~> 2`, `T2006: The right side of the function application operator ~> must be a function`},
		{`-"a"`, `D1002: Cannot negate a non-numeric value: "a"`},
		{`(1e308 * 10) + 1`, `D1001: Number out of range: null`},
		{`$sqrt(-1)`, `D3060: The sqrt function cannot be applied to a negative number: -1`},
		{`$split('a','b',-1)`, `D3020: Third argument of split function must evaluate to a positive number`},
		{`$sum(['a'])`, `T0412: Argument 1 of function "sum" must be an array of "numbers"`},
		{`$reduce([1,2], function($a){$a})`, `D3050: The second argument of reduce function must be a function with at least two arguments`},
		{`$each('x', function($v) {$v})`, `T0410: Argument 1 of function "each" does not match function signature`},
		{`$uppercase(1)`, `T0410: Argument 1 of function "uppercase" does not match function signature`},
		{`1.$uppercase()`, ``},
		{`[1].($uppercase())`, `T0411: Context value is not a compatible type with argument 1 of function "uppercase"`},
		{`$number("x")`, `D3030: Unable to cast value to a number: "x"`},
		{`$power(10, 1000)`, `D3061: The power function has resulted in a value that cannot be represented as a JSON number: base=10, exponent=1000`},
		{`$error("boom {value}")`, `D3137: boom {value}`},
		{`$assert(false)`, `D3141: $assert() statement failed`},
		{`$single([1, 2])`, `D3138: The $single() function expected exactly 1 matching result.  Instead it matched more.`},
		{`$decodeUrl("%ff")`, `D3140: Malformed URL passed to $decodeUrl(): "%ff"`},
		{`$toMillis("x")`, `D3110: The argument of the toMillis function must be an ISO 8601 formatted timestamp. Given "x"`},
		{`$formatBase(1, 1)`, `D3100: The radix of the formatBase function must be between 2 and 36.  It was given 1`},
		{`{"a": 1, "a": 2}`, `D1009: Multiple key definitions evaluate to same key: "a"`},
		{`{1: 2}`, `T1003: Key in object structure must evaluate to a string; got: 1`},
		{`$nothing()`, `T1006: Attempted to invoke a non-function`},
		{`$eval("1")`, `T1006: Attempted to invoke a non-function`},
		{`uppercase("a")`, `T1005: Attempted to invoke a non-function. Did you mean $uppercase?`},
		{`$replace("a", /b*/, "")`, ``},
		{`$replace("ab", /x*?/, "")`, `D1004: Regular expression matches zero length string`},
		{`1 +`, `S0207: Unexpected end of expression`},
		{`[1, 2`, `S0203: Expected "]" before end of expression`},
		{`[1; 2]`, `S0202: Expected "]", got ";"`},
		{`1 2`, `S0201: Syntax error: "2"`},
		{`a ?? b`, `S0211: The symbol "?" cannot be used as a unary operator`},
		{`$f(`, `S0203: Expected ")" before end of expression`},
		{`a := ]`, `S0212: The left side of := must be a variable name (start with $)`},
		{`a@`, `S0214: The right side of "@" must be a variable name (start with $)`},
		{`function($a)<n{$a}(1)`, `S0202: Expected ">", got "{"`},
		{`function($a)<n>{$a}("1")`, `T0410: Argument 1 of function undefined does not match function signature`},
		{`($f := function($a)<n>{$a}; $f("1"))`, `T0410: Argument 1 of function "f" does not match function signature`},
		{`1 ~> $uppercase`, `T0410: Argument 1 of function "uppercase" does not match function signature`},
		{`$contains("a", function() { [] })`,
			`T1010: The matcher function argument passed to function "contains" does not return the correct object structure`},
		{`"\q"`, `S0103: Unsupported escape sequence: \"q"`},
	} {
		got, err := evaluate(t, c.src, likeStepFunctions)
		if c.want == "" {
			continue
		}
		var coded *jsonata.Error
		if !errors.As(err, &coded) {
			t.Errorf("%s: got %s, %v", c.src, got, err)
		} else if diff := cmp.Diff(c.want, coded.Error()); diff != "" {
			t.Errorf("%s: %s", c.src, diff)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, src := range []string{
		"\xff", strings.Repeat("(", 2000), strings.Repeat("[", 2000) + strings.Repeat("]", 2000), strings.Repeat("1+", 20_000) + "1",
		`$contains("a", /(?:a|*)/)`, `$contains("a", /[b-a]/)`, `$contains("a", /a{2,1}/)`, `$contains("a", /(?~a)/)`,
		`$contains("a", /((a{100}){100}){100}/)`, `$contains("a", /` + strings.Repeat("(", 300) + strings.Repeat(")", 300) + `/)`,
	} {
		var rejected *jsonata.CompileError
		if _, err := jsonata.Compile(src); !errors.As(err, &rejected) || rejected.Position < 0 || rejected.Position > len(src) {
			t.Errorf("%.40q: got %v", src, err)
		}
	}
}

// fuzzBytes is the memory budget of FuzzEval.
const fuzzBytes = 1 << 20

// watchMemory returns a function for each check of an evaluation. It fails the test if the evaluation has allocated more than ten
// times its budget since the check before: a function that builds something large must notice that while it builds.
func watchMemory(t *testing.T) (check func()) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	allocated := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	last := allocated()
	return func() {
		now := allocated()
		if grown := now - last; grown > 10*fuzzBytes {
			t.Errorf("%d MiB were allocated at once, with a budget of %d MiB", grown>>20, fuzzBytes>>20)
		}
		last = allocated()
	}
}

// FuzzEval evaluates any valid expression with small limits: there is a result or an error, and no more memory is allocated than the
// budget allows for.
func FuzzEval(f *testing.F) {
	datasets, cases := suite(f)
	for i, c := range cases {
		if i%7 == 0 {
			f.Add(text(c, "expr"))
		}
	}
	for _, src := range greedy {
		f.Add(src)
	}
	in, _ := datasets.Get("dataset5")
	f.Fuzz(func(t *testing.T, src string) {
		x, err := jsonata.Compile(src)
		if err != nil {
			var coded *jsonata.Error
			var rejected *jsonata.CompileError
			if !errors.As(err, &coded) && !errors.As(err, &rejected) || err.Error() == "" {
				t.Fatalf("got %v, want an Error or a CompileError", err)
			}
			return
		}
		before := value.Text(in)
		checks := 0
		memory := watchMemory(t)
		v, defined, err := x.Eval(in, &jsonata.Env{}, jsonata.Limits{Bytes: fuzzBytes, Depth: 100, Check: func() error {
			memory()
			if checks++; checks > 100 {
				return errSteps
			}
			return nil
		}})
		memory()
		if err != nil && err.Error() == "" {
			t.Error("the error has an empty message")
		}
		if err == nil && defined {
			if _, err := value.Parse(value.Bytes(v)); err != nil {
				t.Errorf("the result is not valid JSON: %v", err)
			}
		}
		if value.Text(in) != before {
			t.Error("Eval changed the input")
		}
	})
}

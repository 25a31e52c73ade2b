package conformance_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// This file has variants of recordings: the same operators, fields and functions with other values. The expected results are not
// recorded, but follow from the States Language, the Developer Guide, or a similar recording.

func choose(rule string) string {
	return `{"StartAt":"S","States":{"S":{"Type":"Choice","Choices":[` + rule + `],"Default":"No"},` +
		`"Yes":{"Type":"Pass","Result":"yes","End":true},"No":{"Type":"Pass","Result":"no","End":true}}}`
}

func TestChoiceVariants(t *testing.T) {
	for _, c := range []struct{ rule, input, want string }{
		{`"NumericEquals":1`, `1.0`, `yes`},
		{`"NumericEquals":1000`, `1e3`, `yes`},
		{`"NumericEquals":0`, `-0`, `yes`},
		{`"NumericEquals":0.3`, `0.30`, `yes`},
		{`"NumericGreaterThanEquals":1`, `"1"`, `no`},
		{`"NumericLessThanEquals":1`, `null`, `no`},
		{`"StringEquals":""`, `""`, `yes`},
		{`"StringEquals":"a"`, `["a"]`, `no`},
		{`"StringEquals":"é"`, `"e\u0301"`, `no`},
		{`"StringLessThan":"a"`, `"Z"`, `yes`},
		{`"StringGreaterThan":"Z"`, `"Ä"`, `yes`},
		{`"StringMatches":"a*c"`, `"abc"`, `yes`},
		{`"StringMatches":"a*c"`, `"ac"`, `yes`},
		{`"StringMatches":"*"`, `""`, `yes`},
		{`"StringMatches":"a\\*"`, `"a*"`, `yes`},
		{`"StringMatches":"a\\*"`, `"ab"`, `no`},
		{`"StringMatches":"a.c"`, `"abc"`, `no`},
		{`"StringMatches":"*.log"`, `"a\nb.log"`, `yes`},
		{`"BooleanEquals":true`, `"true"`, `no`},
		{`"BooleanEquals":false`, `false`, `yes`},
		{`"TimestampEquals":"2026-01-01T00:00:00Z"`, `"2026-01-01T01:00:00+01:00"`, `yes`},
		{`"TimestampEquals":"2026-01-01T00:00:00Z"`, `"2026-01-01T00:00:00.000Z"`, `yes`},
		{`"TimestampLessThan":"2026-01-01T00:00:00Z"`, `"2025-12-31T23:59:59.999999999Z"`, `yes`},
		{`"TimestampGreaterThan":"2026-01-01T00:00:00Z"`, `"tomorrow"`, `no`},
		{`"IsTimestamp":true`, `"2026-01-01"`, `no`},
		{`"IsTimestamp":true`, `"2026-02-30T00:00:00Z"`, `no`},
		{`"IsTimestamp":false`, `7`, `yes`},
		{`"IsNumeric":true`, `"1"`, `no`},
		{`"IsNumeric":true`, `1e-5`, `yes`},
		{`"IsString":true`, `""`, `yes`},
		{`"IsBoolean":false`, `null`, `yes`},
		{`"IsNull":true`, `null`, `yes`},
		{`"IsNull":true`, `{}`, `no`},
		{`"IsPresent":true`, `null`, `yes`},
	} {
		t.Run(c.rule+" "+c.input, func(t *testing.T) {
			head, _ := execute(t, choose(`{"Variable":"$.v",`+c.rule+`,"Next":"Yes"}`), `{"v":`+c.input+`}`)
			if got := ending(&head); got != `"`+c.want+`"` {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

const noVariable = "States.Runtime: An error occurred while executing the state 'S' (entered at the event id #2). " +
	"Invalid path '$.none': The choice state's condition path references an invalid value."

func TestChoiceRules(t *testing.T) {
	for _, c := range []struct{ rule, input, want string }{
		{`{"Variable":"$.none","StringEquals":"a","Next":"Yes"}`, `{}`, noVariable},
		{`{"Variable":"$.none","IsNull":true,"Next":"Yes"}`, `{}`, noVariable},
		{`{"Not":{"Variable":"$.none","StringEquals":"a"},"Next":"Yes"}`, `{}`, noVariable},
		{`{"Variable":"$.none","IsPresent":false,"Next":"Yes"}`, `{}`, `"yes"`},
		{`{"Variable":"$.a.b","IsPresent":true,"Next":"Yes"}`, `{"a":null}`, `"no"`},
		{`{"Variable":"$.a[1]","IsPresent":true,"Next":"Yes"}`, `{"a":[1]}`, `"no"`},
		{`{"And":[{"Variable":"$.none","IsPresent":true},{"Variable":"$.none","StringEquals":"a"}],"Next":"Yes"}`, `{}`, `"no"`},
		{`{"Or":[{"Variable":"$.v","NumericEquals":1},{"Variable":"$.none","StringEquals":"a"}],"Next":"Yes"}`, `{"v":1}`, `"yes"`},
		{`{"Not":{"And":[{"Variable":"$.v","IsNumeric":true},{"Not":{"Variable":"$.v","NumericEquals":2}}]},"Next":"Yes"}`, `{"v":2}`, `"yes"`},
		{`{"Variable":"$.v","StringEqualsPath":"$.w","Next":"Yes"}`, `{"v":"é😀","w":"é😀"}`, `"yes"`},
		{`{"Variable":"$.v","NumericLessThanPath":"$.w","Next":"Yes"}`, `{"v":1,"w":"2"}`, `"no"`},
		{`{"Variable":"$.v","TimestampGreaterThanEqualsPath":"$.w","Next":"Yes"}`, `{"v":"2026-01-01T00:00:00Z","w":"2026-01-01T00:00:00+00:00"}`, `"yes"`},
		{`{"Variable":"$$.State.Name","StringEquals":"S","Next":"Yes"}`, `{}`, `"yes"`},
		{`{"Variable":"$.a[-1]","NumericEquals":3,"Next":"Yes"}`, `{"a":[1,2,3]}`, `"yes"`},
		{`{"Variable":"$['a b']['c.d']","BooleanEquals":true,"Next":"Yes"}`, `{"a b":{"c.d":true}}`, `"yes"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			head, _ := execute(t, choose(c.rule), c.input)
			if diff := cmp.Diff(c.want, ending(&head)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func failsIn(cause string) string {
	return "States.Runtime: An error occurred while executing the state 'S' (entered at the event id #2). " + cause
}

func TestDataVariants(t *testing.T) {
	const people = `{"p":[{"n":"a","age":1,"on":true},{"n":"b","age":20},{"n":"c","age":3.5,"on":false}],"i":1,"deep":{"x":{"n":"d"}}}`
	for _, c := range []struct{ fields, input, want string }{
		{`"InputPath":"$.p[?(@.age > 3)].n"`, people, `["b","c"]`},
		{`"InputPath":"$.p[?(@.on)].n"`, people, `["a","c"]`},
		{`"InputPath":"$.p[?(@.on == true)].n"`, people, `["a"]`},
		{`"InputPath":"$.p[?(@.n == 'b' || @.age < 2)].age"`, people, `[1,20]`},
		{`"InputPath":"$.p[?(@.n != 'b' && @.age >= 3.5)].n"`, people, `["c"]`},
		{`"InputPath":"$.p[?(@.n in ['a','c'])].age"`, people, `[1,3.5]`},
		{`"InputPath":"$.p[?(@.none)]"`, people, `[]`},
		{`"InputPath":"$.p[-1:].n"`, people, `["c"]`},
		{`"InputPath":"$.p[0,2].n"`, people, `["a","c"]`},
		{`"InputPath":"$.p[:2].n"`, people, `["a","b"]`},
		{`"InputPath":"$.p.length()"`, people, `3`},
		{`"InputPath":"$..n"`, people, `["a","b","c","d"]`},
		{`"InputPath":"$.p[*].none"`, people, `[]`},
		{`"InputPath":"$.deep.*.n"`, people, `["d"]`},
		{`"InputPath":"$.p[5]"`, people, failsIn(`Invalid path '$.p[5]' : No results for path: $['p'][5]`)},
		{`"InputPath":"$.i.x"`, people, failsIn(`Invalid path '$.i.x' : No results for path: $['i']['x']`)},
		{`"Parameters":{"a":[{"b.$":"$.i"}],"c":"$.i","d.$":"$$.State.Name","e":null}`, people, `{"a":[{"b":1}],"c":"$.i","d":"S","e":null}`},
		{`"Parameters":{}`, people, `{}`},
		{`"Result":0,"ResultPath":"$.a.b.c"`, `{"a":{"x":1}}`, `{"a":{"x":1,"b":{"c":0}}}`},
		{`"Result":[],"ResultPath":"$.a[1]"`, `{"a":[1,2,3]}`, `{"a":[1,[],3]}`},
		{`"Result":{"k":"v"},"ResultPath":null`, `{"a":1}`, `{"a":1}`},
		{`"Result":"x","ResultPath":"$.r","OutputPath":"$.r"`, `{"a":1}`, `"x"`},
		{`"OutputPath":null`, `{"a":1}`, `{}`},
		{`"Result":{"a":1.50,"b":1E3,"c":-0,"d":12345678901234567890,"e":1e-7}`, `{}`, `{"a":1.5,"b":1000.0,"c":0,"d":12345678901234567890,"e":1.0E-7}`},
		{`"Parameters":{"v.$":"States.Format('{} {} {} {}', 1, 'é', $.a, $.n)"}`, `{"a":[1,"b"],"n":null}`, `{"v":"1 é [1, b] null"}`},
		{`"Parameters":{"v.$":"States.Format('\\{\\} it\\'s {}', 'x')"}`, `{}`, `{"v":"{} it's x"}`},
		{`"Parameters":{"v.$":"States.ArrayRange(5, 1, -2)"}`, `{}`, `{"v":[5,3,1]}`},
		{`"Parameters":{"v.$":"States.ArrayRange(1, 1, 1)"}`, `{}`, `{"v":[1]}`},
		{`"Parameters":{"v.$":"States.ArrayPartition($.a, 2)"}`, `{"a":[]}`, `{"v":[]}`},
		{`"Parameters":{"v.$":"States.ArrayContains($.a, $.x)"}`, `{"a":[{"k":1},2],"x":{"k":1}}`, `{"v":true}`},
		{`"Parameters":{"v.$":"States.ArrayLength(States.Array())"}`, `{}`, `{"v":0}`},
		{`"Parameters":{"v.$":"States.StringSplit('1,2;;3', ',;')"}`, `{}`, `{"v":["1","2","3"]}`},
		{`"Parameters":{"v.$":"States.Base64Encode('é😀')"}`, `{}`, `{"v":"w6nwn5iA"}`},
		{`"Parameters":{"v.$":"States.Base64Decode('w6nwn5iA')"}`, `{}`, `{"v":"é😀"}`},
		{`"Parameters":{"v.$":"States.Hash('é', 'MD5')"}`, `{}`, `{"v":"66ddcd97cfdeabb2f6fb8a999b4bc76f"}`},
		{`"Parameters":{"v.$":"States.JsonMerge($.a, $.b, false)"}`, `{"a":{"x":{"y":1},"z":1},"b":{"x":{"w":2}}}`, `{"v":{"x":{"w":2},"z":1}}`},
		{`"Parameters":{"v.$":"States.StringToJson('[1,null,\\{\\}]')"}`, `{}`, `{"v":[1,null,{}]}`},
		{`"Parameters":{"v.$":"States.JsonToString($)"}`, `{"a":"é\"","b":[1.0,null]}`, `{"v":"{\"a\":\"é\\\"\",\"b\":[1.0,null]}"}`},
		{`"Parameters":{"v.$":"States.MathAdd($.a, -3)"}`, `{"a":2}`, `{"v":-1}`},
		{`"Parameters":{"v.$":"States.ArrayGetItem($.a, 0)"}`, `{"a":[null]}`, `{"v":null}`},
	} {
		t.Run(c.fields, func(t *testing.T) {
			head, _ := execute(t, fmt.Sprintf(`{"StartAt":"S","States":{"S":{"Type":"Pass",%s,"End":true}}}`, c.fields), c.input)
			if diff := cmp.Diff(c.want, ending(&head)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func evaluationFails(field, expression, what string) string {
	return "States.QueryEvaluationError: An error occurred while executing the state 'S' (entered at the event id #2). The JSONata expression '" +
		expression + "' specified for the field '" + field + "' " + what
}

func TestJSONataVariants(t *testing.T) {
	const threw = "threw an error during evaluation. "
	for _, c := range []struct{ fields, input, want string }{
		{`"Output":"{% $states.input.a.b[1] %}"`, `{"a":{"b":[1,[2]]}}`, `[2]`},
		{`"Output":"{% [$states.input.p[age > 3].n] %}"`, `{"p":[{"n":"a","age":1},{"n":"b","age":20}]}`, `["b"]`},
		{`"Output":"{% $states.input.p[age > 3].n %}"`, `{"p":[{"n":"a","age":1},{"n":"b","age":20}]}`, `"b"`},
		{`"Output":{"x":"{% 1 %}","y":["{% 'a' & 'é' %}",null,"plain {% no %}"]}`, `{}`, `{"x":1,"y":["aé",null,"plain {% no %}"]}`},
		{`"Output":"{% 0.1 + 0.2 %}"`, `{}`, `0.30000000000000004`},
		{`"Output":"{% 10 / 4 %}"`, `{}`, `2.5`},
		{`"Output":"{% $number('1e3') %}"`, `{}`, `1000`},
		{`"Output":"{% $type(null) & $type(1) & $type([]) & $type({}) %}"`, `{}`, `"nullnumberarrayobject"`},
		{`"Output":"{% $merge([{'a':1},{'a':2,'b':3}]) %}"`, `{}`, `{"a":2,"b":3}`},
		{`"Output":"{% $map([1..3], function($v,$i){ $v * $i }) %}"`, `{}`, `[0,2,6]`},
		{`"Output":"{% $reduce([1..4], function($a,$b){ $a + $b }) %}"`, `{}`, `10`},
		{`"Output":"{% $range(1, 10, 4) %}"`, `{}`, `[1,5,9]`},
		{`"Output":"{% $partition([1..5], 2) %}"`, `{}`, `[[1,2],[3,4],[5]]`},
		{`"Output":"{% $parse('{\"a\":[1,null]}') %}"`, `{}`, `{"a":[1,null]}`},
		{`"Output":"{% $hash('hello', 'SHA-1') %}"`, `{}`, `"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"`},
		{`"Output":"{% $length('é😀') %}"`, `{}`, `2`},
		{`"Output":"{% $states.context.State.Name %}"`, `{}`, `"S"`},
		{`"Output":"{% $exists($states.input.x) ? 'yes' : 'no' %}"`, `{"x":null}`, `"yes"`},
		{`"Assign":{"a":"{% 1 %}","b":"{% $states.input.b %}"},"Output":"{% $states.input %}"`, `{"b":2}`, `{"b":2}`},
		{`"Output":"{% $states.input.s * 2 %}"`, `{"s":"x"}`, evaluationFails("Output", "$states.input.s * 2", threw+`T2001: The left side of the "*" operator must evaluate to a number`)},
		{`"Output":{"a":"{% $none %}"}`, `{}`, evaluationFails("Output/a", "$none", "returned nothing (undefined).")},
		{`"Assign":{"v":"{% $states.input.none %}"}`, `{}`, evaluationFails("Assign/v", "$states.input.none", "returned nothing (undefined).")},
	} {
		t.Run(c.fields, func(t *testing.T) {
			head, _ := execute(t, fmt.Sprintf(`{"QueryLanguage":"JSONata","StartAt":"S","States":{"S":{"Type":"Pass",%s,"End":true}}}`, c.fields), c.input)
			if diff := cmp.Diff(c.want, ending(&head)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestErrorVariants has errors that are caught, retried, or neither. A Fail inside a Parallel replaces a task.
func TestErrorVariants(t *testing.T) {
	const boom = `"Branches":[{"StartAt":"F","States":{"F":{"Type":"Fail","Error":"Boom","Cause":"why"}}}]`
	const caught = `"C":{"Type":"Pass","End":true}`
	for _, c := range []struct{ name, states, input, want string }{
		{"not caught", `"S":{"Type":"Parallel",` + boom + `,"End":true}`, `{}`, `Boom: why`},
		{"another error", `"S":{"Type":"Parallel",` + boom + `,"Catch":[{"ErrorEquals":["Bang"],"Next":"C"}],"End":true},` + caught, `{}`, `Boom: why`},
		{"caught", `"S":{"Type":"Parallel",` + boom + `,"Catch":[{"ErrorEquals":["Boom"],"Next":"C"}],"End":true},` + caught, `{"a":1}`, `{"Error":"Boom","Cause":"why"}`},
		{"added to the input", `"S":{"Type":"Parallel",` + boom + `,"Catch":[{"ErrorEquals":["Bang"],"Next":"D"},{"ErrorEquals":["States.ALL"],"ResultPath":"$.e.f","Next":"C"}],"End":true},` +
			`"D":{"Type":"Succeed"},` + caught, `{"a":1}`, `{"a":1,"e":{"f":{"Error":"Boom","Cause":"why"}}}`},
		{"discarded", `"S":{"Type":"Parallel",` + boom + `,"Catch":[{"ErrorEquals":["States.TaskFailed"],"ResultPath":null,"Next":"C"}],"End":true},` + caught, `{"a":1}`, `{"a":1}`},
		{"after retries", `"S":{"Type":"Parallel",` + boom + `,"Retry":[{"ErrorEquals":["Boom"],"IntervalSeconds":1,"MaxAttempts":2,"BackoffRate":1.5}],` +
			`"Catch":[{"ErrorEquals":["States.ALL"],"Next":"C"}],"End":true},` + caught, `{}`, `{"Error":"Boom","Cause":"why"}`},
		{"no retries", `"S":{"Type":"Parallel",` + boom + `,"Retry":[{"ErrorEquals":["Boom"],"MaxAttempts":0}],"End":true}`, `{}`, `Boom: why`},
		{"runtime is not caught", `"S":{"Type":"Parallel","Branches":[{"StartAt":"P","States":{"P":{"Type":"Pass","InputPath":"$.none","End":true}}}],` +
			`"Catch":[{"ErrorEquals":["States.ALL"],"Next":"C"}],"End":true},` + caught, `{}`,
			`States.Runtime: An error occurred while executing the state 'P' (entered at the event id #4). Invalid path '$.none' : No results for path: $['none']`},
		{"assigned", `"S":{"Type":"Parallel",` + boom + `,"Catch":[{"ErrorEquals":["States.ALL"],"Assign":{"e.$":"$.Error"},"Next":"V"}],"End":true},` +
			`"V":{"Type":"Pass","Parameters":{"v.$":"$e"},"End":true}`, `{}`, `{"v":"Boom"}`},
		{"old values", `"S":{"Type":"Pass","Assign":{"x":1,"y":2},"Next":"T"},"T":{"Type":"Pass","Assign":{"x.$":"$y","y.$":"$x"},"Next":"V"},` +
			`"V":{"Type":"Pass","Parameters":{"x.$":"$x","y.$":"$y"},"End":true}`, `{}`, `{"x":2,"y":1}`},
		{"branches read and cannot assign", `"S":{"Type":"Pass","Assign":{"x":1},"Next":"P"},"P":{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Pass",` +
			`"Assign":{"z.$":"$x"},"Next":"B"},"B":{"Type":"Pass","Parameters":{"z.$":"$z"},"End":true}}}],"End":true}`, `{}`, `[{"z":1}]`},
		{"in JSONata", `"S":{"Type":"Parallel","QueryLanguage":"JSONata",` + boom + `,"Catch":[{"ErrorEquals":["States.ALL"],"Output":{"e":"{% $states.errorOutput.Error %}",` +
			`"in":"{% $states.input.a %}"},"Next":"C"}],"End":true},` + caught, `{"a":1}`, `{"e":"Boom","in":1}`},
		{"dynamic", `"S":{"Type":"Fail","ErrorPath":"States.Format('E.{}', $.n)","CausePath":"$.why"}`, `{"n":7,"why":"because"}`, `E.7: because`},
	} {
		t.Run(c.name, func(t *testing.T) {
			head, _ := execute(t, `{"StartAt":"S","States":{`+c.states+`}}`, c.input)
			if diff := cmp.Diff(c.want, ending(&head)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMapVariants(t *testing.T) {
	const each = `"ItemProcessor":{"StartAt":"I","States":{"I":{"Type":"Pass","End":true}}},"End":true`
	for _, c := range []struct{ name, fields, input, want string }{
		{"of a list in it", `"ItemsPath":"$.a.b",` + each, `{"a":{"b":[1,null,"x"]}}`, `[1,null,"x"]`},
		{"of all", each, `[[1],[]]`, `[[1],[]]`},
		{"of none", `"ItemsPath":"$.a","ResultPath":"$.r",` + each, `{"a":[]}`, `{"a":[],"r":[]}`},
		{"index, value and more", `"ItemsPath":"$.a","ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value","k.$":"$.k","n.$":"States.MathAdd($$.Map.Item.Index, 1)"},` + each,
			`{"a":["x"],"k":{"z":1}}`, `[{"i":0,"v":"x","k":{"z":1},"n":1}]`},
		{"selected results", `"ItemsPath":"$.a","ResultSelector":{"all.$":"$","first.$":"$[0]"},` + each, `{"a":[1,2]}`, `{"all":[1,2],"first":1}`},
		{"sequential", `"MaxConcurrency":1,` + each, `[1,2,3]`, `[1,2,3]`},
		{"concurrency by path", `"ItemsPath":"$.a","MaxConcurrencyPath":"$.n",` + each, `{"a":[1,2],"n":1}`, `[1,2]`},
		{"in a Map", `"ItemProcessor":{"StartAt":"J","States":{"J":{"Type":"Map","ItemSelector":{"o.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value"},` +
			`"ItemProcessor":{"StartAt":"K","States":{"K":{"Type":"Pass","End":true}}},"End":true}}},"End":true`, `[[1,2],[3]]`,
			`[[{"o":0,"v":1},{"o":1,"v":2}],[{"o":0,"v":3}]]`},
		{"older names", `"Iterator":{"StartAt":"I","States":{"I":{"Type":"Pass","End":true}}},"Parameters":{"v.$":"$$.Map.Item.Value"},"End":true`, `[1]`, `[{"v":1}]`},
		{"filtered items", `"ItemsPath":"$.a[?(@.k == 1)]",` + each, `{"a":[{"k":1},{"k":2}]}`, `[{"k":1}]`},
		{"not an array", `"ItemsPath":"$.a",` + each, `{"a":"text"}`, `States.Runtime: Reference path "$.a" must point to array.`},
		{"first failure", `"ItemProcessor":{"StartAt":"F","States":{"F":{"Type":"Fail","ErrorPath":"States.Format('E{}', $)","Cause":"c"}}},"MaxConcurrency":1,"End":true`, `[4,5]`, `E4: c`},
	} {
		t.Run(c.name, func(t *testing.T) {
			head, _ := execute(t, `{"StartAt":"S","States":{"S":{"Type":"Map",`+c.fields+`}}}`, c.input)
			if diff := cmp.Diff(c.want, ending(&head)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

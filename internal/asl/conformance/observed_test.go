package conformance_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
)

const (
	seenPipeline = `{"S":{"Type":"Parallel","InputPath":"$.envelope.payload","Parameters":{"n.$":"$.n","parentState.$":"$$.State.Name"},` +
		`"Branches":[{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"value.$":"States.MathAdd($.n, 1)","seen.$":"$"},"End":true}}},` +
		`{"StartAt":"B","States":{"B":{"Type":"Pass","Parameters":{"doubled.$":"States.MathAdd($.n, $.n)"},"End":true}}}],` +
		`"ResultSelector":{"first.$":"$[0]","second.$":"$[1]"},"ResultPath":"$.envelope.merged","OutputPath":"$.envelope","End":true}}`
	seenMap = `{"Type":"Map","ItemsPath":"$.items","MaxConcurrency":%d,"ItemSelector":{"index.$":"$$.Map.Item.Index","item.$":"$$.Map.Item.Value"%s},` +
		`"ItemProcessor":{"StartAt":"D","States":{"D":{"Type":"Wait","SecondsPath":"$.item.delay","Next":"T"},` +
		`"T":{"Type":"Pass","Parameters":{"index.$":"$.index","value.$":"States.MathAdd($.item.value, 10)"},"Next":"E"},"E":{"Type":"Succeed"}}},"End":true}`
	seenBranches = `{"S":{"Type":"Parallel","Branches":[{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":1,"Next":"M"},"M":%s}},` +
		`{"StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[{"StartAt":"F","States":{"F":{"Type":"Pass","Result":"first","End":true}}},` +
		`{"StartAt":"I","States":{"I":{"Type":"Wait","Seconds":0,"Next":"L"},"L":{"Type":"Pass","Result":"last","End":true}}}],"End":true}}}],"End":true}}`
	seenSource     = `,"source.$":"$$.Map.Item.Source"`
	seenItems      = `"items":[{"value":1,"delay":1},{"value":2,"delay":0},{"value":3,"delay":0}]`
	seenIntrinsics = `{"S":{"Type":"Pass","Parameters":{"nested.$":"States.Format('{}:{}', States.ArrayGetItem($.arr, 1), States.MathAdd($.number, 2))",` +
		`"array.$":"States.Array($.number, $.nil, true)","partition.$":"States.ArrayPartition($.arr, 2)","contains.$":"States.ArrayContains($.arr, 2)",` +
		`"range.$":"States.ArrayRange(1, 5, 2)","unique.$":"States.ArrayUnique($.arr)","json.$":"States.StringToJson($.text)",` +
		`"encoded.$":"States.Base64Encode('hello')","decoded.$":"States.Base64Decode('aGVsbG8=')","hash.$":"States.Hash('hello', 'SHA-256')",` +
		`"split.$":"States.StringSplit('a,b;c', ',;')","merge.$":"States.JsonMerge($.left, $.right, false)",` +
		`"serialized.$":"States.JsonToString($.left)","machine.$":"$$.StateMachine.Name","redrives.$":"$$.Execution.RedriveCount"},"End":true}}`
	seenScope = `{"S":{"Type":"Pass","Assign":{"outer":"{% $states.input.base %}","x":1},"Next":"Swap"},` +
		`"Swap":{"Type":"Pass","Assign":{"x":"{% $x + 1 %}","oldX":"{% $x %}"},"Output":{"outputSawX":"{% $x %}","input":"{% $states.input %}"},"Next":"Fork"},` +
		`"Fork":{"Type":"Parallel","Branches":[{"StartAt":"L","States":{"L":{"Type":"Pass","Assign":{"local":"{% $outer + 10 %}"},"Next":"N"},` +
		`"N":{"Type":"Parallel","Branches":[{"StartAt":"Deep","States":{"Deep":{"Type":"Pass","Output":{"outer":"{% $outer %}","local":"{% $local %}","x":"{% $x %}"},"End":true}}}],` +
		`"Output":"{% $states.result[0] %}","End":true}}},{"StartAt":"R","States":{"R":{"Type":"Pass","Assign":{"local":"{% $outer + 20 %}"},"Next":"O"},` +
		`"O":{"Type":"Pass","Output":{"outer":"{% $outer %}","local":"{% $local %}","x":"{% $x %}"},"End":true}}}],` +
		`"Output":{"branches":"{% $states.result %}","outer":"{% $outer %}","x":"{% $x %}","oldX":"{% $oldX %}","before":"{% $states.input %}"},"Next":"Each"},` +
		`"Each":{"Type":"Map","Items":[1,2,3],"MaxConcurrency":2,"ItemProcessor":{"StartAt":"IA","States":{"IA":{"Type":"Pass","Assign":{"itemLocal":"{% $states.input + $outer %}"},"Next":"IO"},` +
		`"IO":{"Type":"Pass","Output":{"item":"{% $states.input %}","itemLocal":"{% $itemLocal %}","outer":"{% $outer %}"},"End":true}}},` +
		`"Output":{"parallel":"{% $states.input %}","items":"{% $states.result %}","outer":"{% $outer %}"},"Next":"Done"},` +
		`"Done":{"Type":"Succeed","Output":{"result":"{% $states.input %}","stateName":"{% $states.context.State.Name %}"}}}`
	seenWait = `{"S":{"Type":"Wait","SecondsPath":"$.seconds","Next":"Done"},"Done":{"Type":"Succeed"}}`
)

// observed is an execution of a definition that starts with a Choice named Route, which leads to the state S.
type observed struct {
	name, states, input string
	jsonata             bool
	want                string // the output, or the error and its cause
	events              int
}

// observedFlow are results of executions on Step Functions in September 2026, published by github.com/radkawar/stackd
// (testdata/aws/stepfunctions/dataflow_execution.json). Names of states are shortened.
var observedFlow = []observed{
	{name: "pipeline", states: seenPipeline, input: `{"envelope":{"payload":{"n":7},"keep":"original"}}`, events: 12,
		want: `{"payload":{"n":7},"keep":"original","merged":{"first":{"value":8,"seen":{"n":7,"parentState":"S"}},"second":{"doubled":14}}}`},
	{name: "nested, no Source", states: fmt.Sprintf(seenBranches, fmt.Sprintf(seenMap, 2, seenSource)), input: `{` + seenItems + `}`, events: 20,
		want: `States.Runtime: An error occurred while executing the state 'M' (entered at the event id #18). The JSONPath '$$.Map.Item.Source' specified ` +
			`for the field 'source.$' could not be found in the input '{"Execution":{"Id":"` + maskedExecution + `","Input":{` + seenItems + `},` +
			`"StartTime":"2026-11-23T07:00:00.000Z","Name":"<ExecArnPart_0idx>","RoleArn":"snf_role_arn","RedriveCount":0},` +
			`"StateMachine":{"Id":"` + maskedMachine + `","Name":"<ArnPart_0idx>"},"State":{"Name":"M","EnteredTime":"2026-11-23T07:00:01.000Z","RetryCount":0},` +
			`"Map":{"Item":{"Index":0,"Value":{"value":1,"delay":1}}}}'`},
	{name: "nested", states: fmt.Sprintf(seenBranches, fmt.Sprintf(seenMap, 2, "")), input: `{` + seenItems + `}`, events: 48,
		want: `[[{"index":0,"value":11},{"index":1,"value":12},{"index":2,"value":13}],["first","last"]]`},
	{name: "sequential", states: `{"S":` + fmt.Sprintf(seenMap, 1, "") + `}`, input: `{"items":[{"value":1,"delay":0},{"value":2,"delay":0}]}`,
		want: `[{"index":0,"value":11},{"index":1,"value":12}]`, events: 24},
	{name: "no items", states: `{"S":` + fmt.Sprintf(seenMap, 2, seenSource) + `}`, input: `{"items":[]}`, want: `[]`, events: 8},
	{name: "null items", states: `{"S":` + fmt.Sprintf(seenMap, 2, "") + `}`, input: `{"items":null}`, events: 5,
		want: `States.Runtime: Reference path "$.items" must point to array.`},
	{name: "object items", states: `{"S":` + fmt.Sprintf(seenMap, 2, "") + `}`, input: `{"items":{"value":1}}`, events: 5,
		want: `States.Runtime: Reference path "$.items" must point to array.`},
	// This case and the next two are not recorded: several users of Step Functions have reported the results.
	{name: "missing items", states: `{"S":` + fmt.Sprintf(seenMap, 2, "") + `}`, input: `{"item":1}`, events: 5,
		want: `States.ReferencePathConflict: Unable to apply step "items" to input {"item":1}`},
	{name: "result path into a string", states: `{"S":{"Type":"Pass","Result":1,"ResultPath":"$.some","End":true}}`, input: `"text"`, events: 5,
		want: `States.ReferencePathConflict: Unable to apply ReferencePath $.some to input "text"`},
	{name: "caught by the documented name", input: `4`, events: 12,
		states: `{"S":{"Type":"Parallel","Branches":[{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}],"ResultPath":"$.some",` +
			`"Catch":[{"ErrorEquals":["States.ResultPathMatchFailure"],"Next":"C"}],"End":true},"C":{"Type":"Pass","Result":"caught","End":true}}`,
		want: `"caught"`},
	{name: "intrinsics", states: seenIntrinsics, events: 6,
		input: `{"arr":[1,2,2,3],"number":5,"nil":null,"text":"{\"parsed\":true}","left":{"a":1,"nested":{"left":1}},"right":{"b":2,"nested":{"right":2}}}`,
		want: `{"nested":"2:7","array":[5,null,true],"partition":[[1,2],[2,3]],"contains":true,"range":[1,3,5],"unique":[1,2,3],"json":{"parsed":true},` +
			`"encoded":"aGVsbG8=","decoded":"hello","hash":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","split":["a","b","c"],` +
			`"merge":{"a":1,"nested":{"right":2},"b":2},"serialized":"{\"a\":1,\"nested\":{\"left\":1}}","machine":"<ArnPart_0idx>","redrives":0}`},
	{name: "missing input", states: `{"S":{"Type":"Pass","InputPath":"$.missing","End":true}}`, input: `{}`, events: 5,
		want: `States.Runtime: An error occurred while executing the state 'S' (entered at the event id #4). Invalid path '$.missing' : No results for path: $['missing']`},
	{name: "null input", states: `{"S":{"Type":"Pass","InputPath":null,"End":true}}`, input: `{"a":1}`, want: `{}`, events: 6},
	{name: "fail", states: `{"S":{"Type":"Fail","ErrorPath":"$.error","CausePath":"States.Format('reason:{}', $.reason)"}}`,
		input: `{"error":"Owned.Failure","reason":"native"}`, want: `Owned.Failure: reason:native`, events: 5},
	{name: "no matching choice", states: `{"S":{"Type":"Choice","Choices":[{"Variable":"$.value","NumericEquals":1,"Next":"Done"}]},"Done":{"Type":"Succeed"}}`, input: `{"value":2}`, events: 5,
		want: `States.Runtime: An error occurred while executing the state 'S' (entered at the event id #4). Failed to transition out of the state. The state does not point to a next state.`},
	{name: "zero seconds", states: seenWait, input: `{"seconds":0}`, want: `{"seconds":0}`, events: 8},
	{name: "seconds as a string", states: seenWait, input: `{"seconds":"1"}`, want: `{"seconds":"1"}`, events: 8},
	{name: "scopes", states: seenScope, jsonata: true, input: `{"base":5}`, events: 48,
		want: `{"result":{"parallel":{"branches":[{"outer":5,"local":15,"x":2},{"outer":5,"local":25,"x":2}],"outer":5,"x":2,"oldX":1,"before":{"outputSawX":1,"input":{"base":5}}},` +
			`"items":[{"item":1,"itemLocal":6,"outer":5},{"item":2,"itemLocal":7,"outer":5},{"item":3,"itemLocal":8,"outer":5}],"outer":5},"stateName":"Done"}`},
	{name: "undefined", states: `{"S":{"Type":"Pass","Output":"{% $states.input.absent %}","End":true}}`, jsonata: true, input: `{}`, events: 6,
		want: `States.QueryEvaluationError: An error occurred while executing the state 'S' (entered at the event id #4). The JSONata expression '$states.input.absent' specified for the field 'Output' returned nothing (undefined).`},
	{name: "type error", states: `{"S":{"Type":"Pass","Output":"{% $states.input.value + 1 %}","End":true}}`, jsonata: true, input: `{"value":"one"}`, events: 6,
		want: `States.QueryEvaluationError: An error occurred while executing the state 'S' (entered at the event id #4). The JSONata expression '$states.input.value + 1' specified for the field 'Output' threw an error during evaluation. T2001: The left side of the "+" operator must evaluate to a number`},
	{name: "null", states: `{"S":{"Type":"Pass","Output":null,"End":true}}`, jsonata: true, input: `{}`, want: `null`, events: 6},
	{name: "zero seconds, JSONata", states: `{"S":{"Type":"Wait","Seconds":"{% $states.input.seconds %}","Next":"Done"},"Done":{"Type":"Succeed","Output":{"result":"{% $states.input %}"}}}`,
		jsonata: true, input: `{"seconds":0}`, want: `{"result":{"seconds":0}}`, events: 8},
}

func TestObservedFlow(t *testing.T) {
	for _, c := range observedFlow {
		t.Run(c.name, func(t *testing.T) {
			head, events := c.run(t)
			if diff := cmp.Diff(c.want, ending(&head)); diff != "" {
				t.Error(diff)
			}
			if len(events) != c.events {
				t.Errorf("%d events, want %d:\n%s", len(events), c.events, links(events))
			}
		})
	}
}

// run adds the Choice, so that the ids of events are the recorded ones.
func (c *observed) run(t *testing.T) (interp.Head, []history.Event) {
	t.Helper()
	language, rule := "JSONPath", `{"Variable":"$.never","IsPresent":true,"Next":"S"}`
	if c.jsonata {
		language, rule = "JSONata", `{"Condition":"{% false %}","Next":"S"}`
	}
	text := fmt.Sprintf(`{"QueryLanguage":%q,"StartAt":"Route","States":{"Route":{"Type":"Choice","Choices":[%s],"Default":"S"},%s}`,
		language, rule, c.states[1:])
	return execute(t, text, c.input)
}

// execute runs a definition to its end, with a simulated clock.
func execute(t *testing.T, definition, input string) (interp.Head, []history.Event) {
	t.Helper()
	m, err := asl.Parse([]byte(definition))
	if err != nil {
		t.Fatalf("%v\n%s", err, definition)
	}
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	d := &driver{t: t, m: m, now: now}
	head := d.finish(params([]byte(input), now))
	return head, d.events
}

// ending returns the output, or the error and its cause.
func ending(head *interp.Head) string {
	if head.Status == stepfn.Succeeded {
		return string(head.Output)
	}
	return head.Error + ": " + head.Cause
}

// links formats the events of a history, each with its previous event.
func links(events []history.Event) string {
	var b strings.Builder
	for i := range events {
		fmt.Fprintf(&b, "%d %s %s <%d\n", events[i].ID, events[i].Type, events[i].Name, events[i].Previous)
	}
	return b.String()
}

// TestObservedLimits has results at the limits of variables and histories (variable_limits.json, from the same source).
func TestObservedLimits(t *testing.T) {
	assigns := func(n, size int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"Assign%d":{"Type":"Pass","Assign":{"v%d":"{%% $pad('', %d, 'x') %%}"},"Next":"Assign%d"},`, i+1, i+1, size, i+2)
		}
		return `{"QueryLanguage":"JSONata","StartAt":"Assign1","States":{` + b.String() +
			fmt.Sprintf(`"Assign%d":{"Type":"Pass","Output":"{%% $length($v1) + $length($v2) %%}","End":true}}}`, n+1)
	}
	loop := `{"QueryLanguage":"JSONata","StartAt":"Init","States":{"Init":{"Type":"Pass","Output":{"n":0},"Next":"Increment"},` +
		`"Increment":{"Type":"Pass","Output":{"n":"{% $states.input.n + 1 %}"},"Next":"Check"},"Check":{"Type":"Choice",` +
		`"Choices":[{"Condition":"{% $states.input.n < 7000 %}","Next":"Increment"}],"Default":"Done"},"Done":{"Type":"Succeed"}}}`
	for _, c := range []struct{ name, definition, want, last string }{
		{"more than the limit of one state in total", assigns(2, 200000), "400000", "7 PassStateExited Assign3 <6\n8 ExecutionSucceeded  <7\n"},
		{"more than the limit of an execution", assigns(43, 250000), "States.DataLimitExceeded: Execution total variable size limit exceeded. " +
			"State 'Assign42' assigned variables that exceed the total execution limit by 14324 bytes.", "85 EvaluationFailed  <84\n86 ExecutionFailed  <85\n"},
		{"more events than the limit of a history", loop, "States.Runtime: The execution reached the maximum number of history events (25000).",
			"24999 ChoiceStateExited Check <24998\n25000 ExecutionFailed  <24999\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			head, events := execute(t, c.definition, `{}`)
			if diff := cmp.Diff(c.want, ending(&head)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.last, links(events[len(events)-2:])); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestObservedLinks has previous events of executions whose branches and iterations ran concurrently.
func TestObservedLinks(t *testing.T) {
	for _, c := range observedFlow {
		if c.name != "nested" {
			continue
		}
		_, events := c.run(t)
		if diff := cmp.Diff(seenLinks, links(events)); diff != "" {
			t.Error(diff)
		}
	}
}

const seenLinks = `1 ExecutionStarted  <0
2 ChoiceStateEntered Route <0
3 ChoiceStateExited Route <2
4 ParallelStateEntered S <3
5 ParallelStateStarted  <4
6 WaitStateEntered W <5
7 ParallelStateEntered P <5
8 ParallelStateStarted  <7
9 PassStateEntered F <8
10 PassStateExited F <9
11 WaitStateEntered I <8
12 WaitStateExited I <11
13 PassStateEntered L <12
14 PassStateExited L <13
15 ParallelStateSucceeded  <14
16 ParallelStateExited P <14
17 WaitStateExited W <6
18 MapStateEntered M <17
19 MapStateStarted  <18
20 MapIterationStarted M <19
21 MapIterationStarted M <19
22 WaitStateEntered D <20
23 WaitStateEntered D <21
24 WaitStateExited D <23
25 PassStateEntered T <24
26 PassStateExited T <25
27 SucceedStateEntered E <26
28 SucceedStateExited E <27
29 MapIterationSucceeded M <28
30 MapIterationStarted M <28
31 WaitStateEntered D <30
32 WaitStateExited D <31
33 PassStateEntered T <32
34 PassStateExited T <33
35 SucceedStateEntered E <34
36 SucceedStateExited E <35
37 MapIterationSucceeded M <36
38 WaitStateExited D <22
39 PassStateEntered T <38
40 PassStateExited T <39
41 SucceedStateEntered E <40
42 SucceedStateExited E <41
43 MapIterationSucceeded M <42
44 MapStateSucceeded  <43
45 MapStateExited M <43
46 ParallelStateSucceeded  <45
47 ParallelStateExited S <45
48 ExecutionSucceeded  <47
`

package api_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seenState is a recorded call of TestState: the definition without braces, the input, further parameters, and the answer.
type seenState struct{ name, definition, input, more, want string }

const (
	seenAssign = `"Type":"Pass","QueryLanguage":"JSONata","Assign":{%s},"Output":{"ok":true}`
	seenMemory = `{"error":"States.QueryEvaluationError","cause":"The JSONata expression '%s' specified for the field '%s' threw an error ` +
		`during evaluation: Expression evaluation memory limit exceeded: Check for excessive memory usage","status":"FAILED"}`
	seenRefused = `{"message":"Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: %s at /States/StateName'"}`
)

func seenPad(n int) string { return fmt.Sprintf(`"{%% $pad('', %d, 'x') %%}"`, n) }

func seenLimit(cause string) string {
	return `{"error":"States.DataLimitExceeded","cause":"` + cause + `","status":"FAILED"}`
}

// seenPass returns the answer at the level DEBUG for a Pass state whose intermediate values all equal its input.
func seenPass(v, output string) string {
	return fmt.Sprintf(`{"output":%q,"inspectionData":{"input":%[2]q,"afterInputPath":%[2]q,"afterParameters":%[2]q,"afterResultSelector":%[2]q,`+
		`"afterResultPath":%[2]q},"status":"SUCCEEDED"}`, output, v)
}

// seenFlow are the calls in dataflow_execution.json, at the level DEBUG.
var seenFlow = []seenState{
	{"result merged into the input", `"Type":"Pass","InputPath":"$.payload","Parameters":{"chosen.$":"$.n"},"ResultPath":"$.merged","OutputPath":"$"`,
		`{"payload":{"n":4},"keep":"original"}`, ``, `{"output":"{\"payload\":{\"n\":4},\"keep\":\"original\",\"merged\":{\"chosen\":4}}"}`},
	{"null InputPath", `"Type":"Pass","InputPath":null`, `{"keep":1}`, ``, `{"output":"{}"}`},
	{"null ResultPath", `"Type":"Pass","Result":99,"ResultPath":null`, `{"keep":1}`, ``, `{"output":"{\"keep\":1}"}`},
	{"null OutputPath", `"Type":"Pass","OutputPath":null`, `{"keep":1}`, ``, seenPass(`{"keep":1}`, `{}`)},
	{"null Result", `"Type":"Pass","Result":null`, `{"keep":1}`, ``, seenPass(`{"keep":1}`, `{"keep":1}`)},
	{"missing InputPath", `"Type":"Pass","InputPath":"$.missing"`, `{}`, ``,
		`{"cause":"Invalid path '$.missing' : No results for path: $['missing']","error":"States.Runtime","inspectionData":{"input":"{}"},"status":"FAILED"}`},
	{"missing parameter", `"Type":"Pass","Parameters":{"missing.$":"$.missing"}`, `{}`, ``,
		`{"cause":"The JSONPath '$.missing' specified for the field 'missing.$' could not be found in the input '{}'","error":"States.Runtime",` +
			`"inspectionData":{"afterInputPath":"{}","input":"{}"},"status":"FAILED"}`},
	{"missing OutputPath", `"Type":"Pass","OutputPath":"$.missing"`, `{}`, ``,
		`{"cause":"Invalid path '$.missing' : No results for path: $['missing']","error":"States.Runtime","inspectionData":{"afterInputPath":"{}",` +
			`"afterParameters":"{}","afterResultPath":"{}","afterResultSelector":"{}","input":"{}"},"status":"FAILED"}`},
	{"intrinsic", `"Type":"Pass","Parameters":{"v.$":"States.ArrayLength($.value)"}`, `{"value":4}`, ``,
		`{"cause":"There was an error while evaluating the intrinsic function: States.ArrayLength($.value). Invalid arguments in States.ArrayLength",` +
			`"error":"States.Runtime","inspectionData":{"afterInputPath":"{\"value\":4}","input":"{\"value\":4}"},"status":"FAILED"}`},
	{"guarded choice", `"Type":"Choice","Choices":[{"And":[{"Variable":"$.missing","IsPresent":true},{"Variable":"$.missing","StringEquals":"yes"}],` +
		`"Next":"Match"}],"Default":"Fallback"`, `{}`, ``, `{"inspectionData":{"afterInputPath":"{}","input":"{}"},"nextState":"Fallback","output":"{}","status":"SUCCEEDED"}`},
	{"choice with another type", `"Type":"Choice","Choices":[{"Variable":"$.value","NumericEquals":1,"Next":"Match"}],"Default":"Fallback"`, `{"value":"1"}`, ``,
		`{"inspectionData":{"afterInputPath":"{\"value\":\"1\"}","input":"{\"value\":\"1\"}"},"nextState":"Fallback","output":"{\"value\":\"1\"}","status":"SUCCEEDED"}`},
	{"choice with a missing value", `"Type":"Choice","Choices":[{"Variable":"$.missing","StringEquals":"yes","Next":"Match"}],"Default":"Fallback"`, `{}`, ``,
		`{"cause":"Invalid path '$.missing': The choice state's condition path references an invalid value.","error":"States.Runtime",` +
			`"inspectionData":{"afterInputPath":"{}","input":"{}"},"status":"FAILED"}`},
	{"seconds as a string", `"Type":"Wait","SecondsPath":"$.seconds"`, `{"seconds":"1"}`, ``,
		`{"inspectionData":{"afterInputPath":"{\"seconds\":\"1\"}","input":"{\"seconds\":\"1\"}"},"output":"{\"seconds\":\"1\"}","status":"SUCCEEDED"}`},
	{"fail", `"Type":"Fail","ErrorPath":"$.error","CausePath":"States.Format('reason:{}', $.reason)"`, `{"error":"Owned.Failure","reason":"native"}`, ``,
		`{"cause":"reason:native","error":"Owned.Failure","inspectionData":{"afterInputPath":"{\"error\":\"Owned.Failure\",\"reason\":\"native\"}",` +
			`"input":"{\"error\":\"Owned.Failure\",\"reason\":\"native\"}"},"status":"FAILED"}`},
	{"old values of variables", `"Type":"Pass","QueryLanguage":"JSONata","Assign":{"x":"{% $x + 1 %}","oldX":"{% $x %}"},` +
		`"Output":{"sawX":"{% $x %}","input":"{% $states.input %}"}`, `{"value":4}`, `"variables":"{\"x\":3}"`,
		`{"inspectionData":{"input":"{\"value\":4}","variables":"{\"oldX\":3,\"x\":4}"},"output":"{\"sawX\":3,\"input\":{\"value\":4}}","status":"SUCCEEDED"}`},
	{"result into a number", `"Type":"Pass","Result":99,"ResultPath":"$.child"`, `4`, ``,
		`{"cause":"Unable to apply ReferencePath $.child to input 4","error":"States.ReferencePathConflict",` +
			`"inspectionData":{"afterResultSelector":"99","input":"4","result":"99"},"status":"FAILED"}`},
	{"field of other state types", `"Type":"Pass","ResultSelector":{"x":1}`, `{}`, ``, fmt.Sprintf(seenRefused, `Field 'ResultSelector' is not supported`)},
	{"field of JSONPath", `"Type":"Pass","QueryLanguage":"JSONata","InputPath":"$"`, `{}`, ``,
		fmt.Sprintf(seenRefused, `The QueryLanguage is set to 'JSONata', but field 'InputPath' is only supported for the 'JSONPath' QueryLanguage`)},
	{"one variable", fmt.Sprintf(seenAssign, `"x":"small"`), `{}`, ``,
		`{"output":"{\"ok\":true}","inspectionData":{"input":"{}","variables":"{\"x\":\"small\"}"},"status":"SUCCEEDED"}`},
}

// seenSizes are the calls in variable_limits.json and expression_limits.json, at the level INFO.
func seenSizes() []seenState {
	const info, fine = `"inspectionLevel":"INFO"`, `{"output":"{\"ok\":true}","status":"SUCCEEDED"}`
	assign := func(what string) string { return fmt.Sprintf(seenAssign, what) }
	both := func(n int) string { return assign(`"x":` + seenPad(n) + `,"y":` + seenPad(n)) }
	length := func(what string) string {
		return `"Type":"Pass","QueryLanguage":"JSONata","Output":"{% $length(` + what + `) %}"`
	}
	total := func(size, over int) string {
		return seenLimit(fmt.Sprintf("State total variable size limit exceeded. Variable 'y' in state 'StateName' was assigned %d bytes, "+
			"which caused the size of variables assigned in the state to exceed its limit by %d bytes.", size, over))
	}
	one := func(size int) string {
		return seenLimit(fmt.Sprintf("Variable size limit exceeded. Variable 'x' in state 'StateName' was assigned %d bytes.", size))
	}
	return []seenState{
		{"262136", assign(`"x":` + seenPad(262136)), `{}`, info, fine},
		{"262137", assign(`"x":` + seenPad(262137)), `{}`, info, fine},
		{"262142", assign(`"x":` + seenPad(262142)), `{}`, info, fine},
		{"262143", assign(`"x":` + seenPad(262143)), `{}`, info, one(262145)},
		{"262144", assign(`"x":` + seenPad(262144)), `{}`, info, one(262146)},
		{"262145", assign(`"x":` + seenPad(262145)), `{}`, info, fmt.Sprintf(seenMemory, `$pad('', 262145, 'x')`, `Assign/x`)},
		{"131060 twice", both(131060), `{}`, info, fine},
		{"131070 twice", both(131070), `{}`, info, fine},
		{"131071 twice", both(131071), `{}`, info, total(131073, 2)},
		{"131072 twice", both(131072), `{}`, info, total(131074, 4)},
		{"pad", length(`$pad('',262145,'x')`), `{}`, info, fmt.Sprintf(seenMemory, `$length($pad('',262145,'x'))`, `Output`)},
		{"pad, joined", length(`$pad('',131072,'x') & $pad('',131073,'x')`), `{}`, info, `{"output":"262145","status":"SUCCEEDED"}`},
		{"pad, longer", length(`$pad($pad('',131072,'x'),262145,'x')`), `{}`, info, `{"output":"262145","status":"SUCCEEDED"}`},
		{"join", length(`$join([$pad('',131072,'x'),$pad('',131073,'x')])`), `{}`, info, `{"output":"262145","status":"SUCCEEDED"}`},
		{"pad, characters", length(`$pad('',262144,'é')`), `{}`, info, `{"output":"262144","status":"SUCCEEDED"}`},
		{"pad, pattern", length(`$pad('',262144,'xy')`), `{}`, info, `{"output":"262144","status":"SUCCEEDED"}`},
	}
}

// TestObservedFlow replays calls of TestState about the data flow of states and about limits, from the same source as
// TestObservedCalls. If an answer has only an output, its inspectionData was not recorded.
func TestObservedFlow(t *testing.T) {
	url := serve(t, "")
	for _, c := range append(seenSizes(), seenFlow...) {
		t.Run(c.name, func(t *testing.T) {
			if diff := c.replay(t, url); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// replay returns the difference between the recorded answer and this server's, "" if there is none.
func (c *seenState) replay(t *testing.T, url string) string {
	t.Helper()
	end := `,"End":true}`
	if _, next := seenEnds[c.name]; next {
		end = `}`
	}
	in := map[string]any{"definition": `{` + c.definition + end, "input": c.input, "inspectionLevel": "DEBUG"}
	var want, got map[string]any
	if err := json.Unmarshal([]byte(`{`+c.more+`}`), &in); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	_, text := post(t, url, "TestState", string(body), nil)
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(c.want), &want); err != nil {
		t.Fatal(err)
	}
	if len(want) == 1 {
		for k := range got {
			if _, ok := want[k]; !ok {
				delete(got, k)
			}
		}
	}
	return cmp.Diff(want, got)
}

// seenEnds are the calls whose states have no End.
var seenEnds = map[string]bool{"guarded choice": true, "choice with another type": true, "choice with a missing value": true, "fail": true}

package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	seenTask = `{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f"},"End":true`
	seenMap  = `{"Type":"Map","ItemsPath":"$.items","ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value"},` +
		`"ItemProcessor":{"ProcessorConfig":{"Mode":"INLINE"},"StartAt":"Child","States":{"Child":{"Type":"Pass","End":true}}},"End":true}`
	seenParallel = `{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}},` +
		`{"StartAt":"B","States":{"B":{"Type":"Pass","End":true}}}],"End":true}`
	seenBatches = `{"Type":"Map",%,"ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value"},"ItemProcessor":{"ProcessorConfig":` +
		`{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Child","States":{"Child":{"Type":"Pass","End":true}}},"End":true,` +
		`"ItemBatcher":{"MaxItemsPerBatch":2},"MaxConcurrency":2,"ToleratedFailureCount":1}`
	seenReader = `"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON","ItemsPointer":"/items"},` +
		`"Parameters":{"Bucket":"b","Key":"k"}}`
	seenNested = `{"StartAt":"Outer","States":{"Outer":{"Type":"Map","ItemsPath":"$.items","ItemProcessor":{"StartAt":"Child","States":` +
		`{"Child":` + seenTask + `}}},"End":true}}}`
	seenInput    = `"input":"{\"items\":[1,2,3]}","afterInputPath":"{\"items\":[1,2,3]}"`
	seenArgs     = seenInput + `,"afterParameters":"{\"FunctionName\":\"f\"}"`
	seenItems    = `"afterItemsPath":"[1, 2, 3]","afterItemSelector":"[{\"i\":0,\"v\":1}, {\"i\":1,\"v\":2}, {\"i\":2,\"v\":3}]"`
	seenBatched  = `"afterItemBatcher":"[{\"Items\":[\"{\\\"i\\\":0,\\\"v\\\":1}\",\"{\\\"i\\\":1,\\\"v\\\":2}\"]}, {\"Items\":[\"{\\\"i\\\":2,\\\"v\\\":3}\"]}]"`
	seenTolerant = `"toleratedFailureCount":1,"maxConcurrency":2`
	seenError    = `"mock":{"errorOutput":{"error":"Owned.Error","cause":"mock"}}`
	seenFailed   = `"error":"Owned.Error","cause":"mock"`
)

// TestObservedTestState replays calls of TestState of September 2026 that github.com/radkawar/stackd published with their answers
// (testdata/aws/stepfunctions/test_state_mock.json). The engine was not developed with these recordings. In the recordings, the
// members in afterItemSelector are in the order of a hash map; here, they are in the order of the definition.
func TestObservedTestState(t *testing.T) {
	url := serve(t, "")
	distributed := strings.Replace(seenBatches, "%", `"ItemsPath":"$.items"`, 1)
	reading := strings.Replace(seenBatches, "%", seenReader, 1)
	for _, c := range []struct{ name, definition, more, want string }{
		{"empty mock", seenTask + `}`, `"mock":{}`, `One of the following fields is required for a test mock: [result, errorOutput].`},
		{"null", seenTask + `}`, `"mock":{"result":"null"}`, `Mocked result must be a valid JSON object.`},
		{"no error", seenTask + `}`, `"mock":{"errorOutput":{}}`, `An error was not specified in the mocked error output.`},
		{"object payload", seenTask + `}`, `"mock":{"result":"{\"Payload\":{\"ok\":true}}"}`, `Mock result schema validation error: Field 'Payload' must be a string`},
		{"present payload", seenTask + `}`, `"mock":{"result":"{\"Payload\":{\"k\":1}}","fieldValidationMode":"PRESENT"}`, `Mock result schema validation error: Field 'Payload' must be a string`},
		{"unchecked payload", seenTask + `}`, `"mock":{"result":"{\"Payload\":{\"k\":1}}","fieldValidationMode":"NONE"}`,
			`{"output":"{\"Payload\":{\"k\":1}}","inspectionData":{` + seenArgs + `,"result":"{\"Payload\":{\"k\":1}}","afterResultSelector":"{\"Payload\":{\"k\":1}}","afterResultPath":"{\"Payload\":{\"k\":1}}"},"status":"SUCCEEDED"}`},
		{"retry", seenTask + `,"Retry":[{"ErrorEquals":["Owned.Error"],"IntervalSeconds":2,"MaxAttempts":3,"BackoffRate":2}]}`,
			seenError + `,"stateConfiguration":{"retrierRetryCount":1}`,
			`{` + seenFailed + `,"inspectionData":{` + seenArgs + `,"errorDetails":{"retryIndex":0,"retryBackoffIntervalSeconds":4}},"status":"RETRIABLE"}`},
		{"catch", seenTask + `,"Catch":[{"ErrorEquals":["Owned.Error"],"ResultPath":"$.error","Next":"Caught"}]}`, seenError,
			`{"output":"{\"items\":[1,2,3],\"error\":{\"Error\":\"Owned.Error\",\"Cause\":\"mock\"}}",` + seenFailed + `,"inspectionData":{` + seenArgs +
				`,"afterResultPath":"{\"items\":[1,2,3],\"error\":{\"Error\":\"Owned.Error\",\"Cause\":\"mock\"}}","errorDetails":{"catchIndex":0}},"nextState":"Caught","status":"CAUGHT_ERROR"}`},
		{"pass", `{"Type":"Pass","End":true}`, "",
			`{"output":"{\"items\":[1,2,3]}","inspectionData":{` + seenInput + `,"afterParameters":"{\"items\":[1,2,3]}","afterResultSelector":"{\"items\":[1,2,3]}","afterResultPath":"{\"items\":[1,2,3]}"},"status":"SUCCEEDED"}`},
		{"trace", `{"Type":"Pass","End":true}`, `"inspectionLevel":"TRACE"`,
			`{"output":"{\"items\":[1,2,3]}","inspectionData":{` + seenInput + `,"afterParameters":"{\"items\":[1,2,3]}","afterResultSelector":"{\"items\":[1,2,3]}","afterResultPath":"{\"items\":[1,2,3]}"},"status":"SUCCEEDED"}`},
		{"no secrets", seenTask + `}`, `"mock":{"result":"{}"},"revealSecrets":false`,
			`{"output":"{}","inspectionData":{` + seenArgs + `,"result":"{}","afterResultSelector":"{}","afterResultPath":"{}"},"status":"SUCCEEDED"}`},
		{"context", strings.Replace(seenTask, `"f"`, `"f","Payload.$":"$$"`, 1) + `}`, `"mock":{"result":"{}"},"context":"{\"State\":{\"Name\":\"Configured\"}}"`,
			`{"output":"{}","inspectionData":{` + seenInput + `,"afterParameters":"{\"FunctionName\":\"f\",\"Payload\":{\"State\":{\"Name\":\"Configured\"}}}","result":"{}","afterResultSelector":"{}","afterResultPath":"{}"},"status":"SUCCEEDED"}`},
		{"map", seenMap, `"mock":{"result":"[10,20,30]"}`,
			`{"output":"[10,20,30]","inspectionData":{` + seenInput + `,"afterResultSelector":"[10,20,30]","afterResultPath":"[10,20,30]",` + seenItems + `,"maxConcurrency":0},"status":"SUCCEEDED"}`},
		{"map, object", seenMap, `"mock":{"result":"{}"}`, `Mocked result must be an array.`},
		{"map, error", seenMap, seenError, `{` + seenFailed + `,"inspectionData":{` + seenInput + `,` + seenItems + `,"maxConcurrency":0},"status":"FAILED"}`},
		{"map, error of a state", seenMap, seenError + `,"stateConfiguration":{"errorCausedByState":"Child"}`,
			`{` + seenFailed + `,"inspectionData":{` + seenInput + `,` + seenItems + `,"maxConcurrency":0},"status":"FAILED"}`},
		{"parallel, short", seenParallel, `"mock":{"result":"[1]"}`, `Mocked result must contain the same number of items as number of Parallel branches.`},
		{"parallel, object", seenParallel, `"mock":{"result":"{}"}`, `Mocked result must be an array.`},
		{"batches", distributed, `"mock":{"result":"[10,20]"}`,
			`{"output":"[10,20]","inspectionData":{` + seenInput + `,"afterResultSelector":"[10,20]","afterResultPath":"[10,20]",` + seenItems + `,` + seenBatched + `,` + seenTolerant + `},"status":"SUCCEEDED"}`},
		{"batches, too many", distributed, `"mock":{"result":"[10,20,30]"}`, `Input array does not equal the mocked result array's size`},
		{"failures", distributed, `"mock":{"result":"[10,20,30]"},"stateConfiguration":{"mapIterationFailureCount":2}`,
			`{"error":"States.ExceedToleratedFailureThreshold","cause":"The specified tolerated failure threshold was exceeded","inspectionData":{` +
				seenInput + `,` + seenItems + `,` + seenBatched + `,` + seenTolerant + `},"status":"FAILED"}`},
		{"failures, too many", distributed, `"mock":{"result":"[10,20,30]"},"stateConfiguration":{"mapIterationFailureCount":4}`,
			`Map iteration failure count must be less than or equal to the number of Map iterations`},
		{"reader", reading, `"mock":{"result":"[10]"},"stateConfiguration":{"mapItemReaderData":"{\"items\":[4,5]}"}`,
			`{"output":"[10]","inspectionData":{` + seenInput + `,"afterResultSelector":"[10]","afterResultPath":"[10]","afterItemSelector":"[{\"i\":0,\"v\":4}, {\"i\":1,\"v\":5}]",` +
				`"afterItemBatcher":"[{\"Items\":[\"{\\\"i\\\":0,\\\"v\\\":4}\",\"{\\\"i\\\":1,\\\"v\\\":5}\"]}]","afterItemsPointer":"[4,5]",` + seenTolerant + `},"status":"SUCCEEDED"}`},
		{"reader, too many", reading, `"mock":{"result":"[10,20]"},"stateConfiguration":{"mapItemReaderData":"{\"items\":[4,5]}"}`,
			`Input array does not equal the mocked result array's size`},
		{"reader, no data", reading, `"mock":{"result":"[10,20]"}`, `ItemReader data must be specified when testing a Map state with ItemReader specified.`},
		{"nested failures", seenNested, `"mock":{"result":"{}"},"stateName":"Child","stateConfiguration":{"mapIterationFailureCount":1}`,
			`MapIterationFailureCount is only supported when testing a Map state.`},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := map[string]any{"definition": c.definition, "input": `{"items":[1,2,3]}`, "inspectionLevel": "DEBUG"}
			if err := json.Unmarshal([]byte(`{`+c.more+`}`), &in); err != nil {
				t.Fatal(err)
			}
			body, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			_, text := post(t, url, "TestState", string(body), nil)
			var got map[string]any
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			var want any = c.want
			have := got["message"]
			if strings.HasPrefix(c.want, "{") {
				want, have = map[string]any{}, got
				if err := json.Unmarshal([]byte(c.want), &want); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s\n%v", diff, got)
			}
		})
	}
}

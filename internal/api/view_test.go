package api_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// viewed is a definition with a Map, annotated states, and an expression that fails.
const viewed = `{"StartAt":"each","States":{
	"each":{"Type":"Map","ItemsPath":"$.items","ItemProcessor":{"StartAt":"one","States":{"one":{"Type":"Pass","End":true}}},"Next":"skip?"},
	"skip?":{"Type":"Choice","Choices":[{"Variable":"$[0]","NumericEquals":9,"Next":"lost"}],"Default":"skipped","Comment":%q},
	"skipped":{"Type":"Pass","Comment":%q,"Next":"lost"},
	"lost":{"Type":"Pass","QueryLanguage":"JSONata","Output":"{%% $error('no') %%}","End":true}}}`

// The view equals the one that a client computes from GetExecutionHistory.
func TestViewEqualsViewOfHistory(t *testing.T) {
	at := serve(t, "")
	says := func(r annotation.Role) string { return annotation.State{Step: "s", Role: r}.Comment() }
	definition := fmt.Sprintf(viewed, says(annotation.Condition), says(annotation.Skip))
	arn := callAPI(t, at, "CreateStateMachine", map[string]any{"name": "m", "definition": definition, "roleArn": "r"}).(map[string]any)["stateMachineArn"]
	run := callAPI(t, at, "StartExecution", map[string]any{"stateMachineArn": arn, "input": `{"items":[1,2]}`}).(map[string]any)["executionArn"].(string)
	_, body := get(t, at+"/rayorch/v1/watch?after=1000&execution="+run, nil) // waits until it has ended
	t.Log(body)
	history := callAPI(t, at, "GetExecutionHistory", map[string]any{"executionArn": run, "maxResults": 1000}).(map[string]any)
	v := progress.New(progress.ReadStates([]byte(definition)))
	for _, e := range history["events"].([]any) {
		v.Add(sdkEvent(t, e.(map[string]any)))
	}
	whole, _ := v.After(0)
	want, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	status, got := get(t, at+"/rayorch/v1/view?execution="+run, nil)
	if diff := cmp.Diff(string(want)+"\n", got); status != 200 || diff != "" || len(whole.Entries) != 7 || whole.Status != types.ExecutionStatusFailed {
		t.Errorf("status %d, %d entries, %s:\n%s", status, len(whole.Entries), whole.Status, diff)
	}
	if status, got = get(t, at+"/rayorch/v1/view?execution=none", nil); status != 404 {
		t.Errorf("execution that does not exist: %d %s", status, got)
	}
	express := "arn:aws:states:us-east-1:123456789012:express:m:x:7dec93de-2804-42cf-b4b5-616bef83c7fa"
	if status, got = get(t, at+"/rayorch/v1/view?execution="+express, nil); status != 400 {
		t.Errorf("Express execution, which has no history: %d %s", status, got)
	}
}

// sdkEvent converts an event of the API's JSON to the SDK's type.
func sdkEvent(t *testing.T, e map[string]any) *types.HistoryEvent {
	t.Helper()
	seconds, err := strconv.ParseFloat(fmt.Sprint(e["timestamp"]), 64)
	if err != nil {
		t.Fatal(err)
	}
	e["timestamp"] = time.UnixMilli(int64(seconds*1000 + 0.5)).UTC()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var out types.HistoryEvent
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

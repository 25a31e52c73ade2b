package api_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTestStateVariants tests variants of recorded answers of TestState about errors: retriers, intervals and catchers. The numbers
// follow from the States Language. It was recorded that the answer also names a retrier that has no attempts left.
func TestTestStateVariants(t *testing.T) {
	url := serve(t, "")
	for _, c := range []struct{ name, fields, count, want string }{
		{"defaults", `"Retry":[{"ErrorEquals":["States.ALL"]}]`, `2`, `RETRIABLE retryIndex=0 retryBackoffIntervalSeconds=4`},
		{"first of three", `"Retry":[{"ErrorEquals":["Owned"],"IntervalSeconds":5}]`, `0`, `RETRIABLE retryIndex=0 retryBackoffIntervalSeconds=5`},
		{"maximum delay", `"Retry":[{"ErrorEquals":["Owned"],"IntervalSeconds":2,"BackoffRate":1.5,"MaxDelaySeconds":3}]`, `2`, `RETRIABLE retryIndex=0 retryBackoffIntervalSeconds=3`},
		{"rate 1.0", `"Retry":[{"ErrorEquals":["Owned"],"IntervalSeconds":7,"BackoffRate":1.0,"MaxAttempts":9}]`, `8`, `RETRIABLE retryIndex=0 retryBackoffIntervalSeconds=7`},
		{"second retrier", `"Retry":[{"ErrorEquals":["Other"]},{"ErrorEquals":["Owned","More"],"IntervalSeconds":3}]`, `0`, `RETRIABLE retryIndex=1 retryBackoffIntervalSeconds=3`},
		{"no attempts left", `"Retry":[{"ErrorEquals":["Owned"],"MaxAttempts":2}]`, `2`, `FAILED retryIndex=0`},
		{"no attempts", `"Retry":[{"ErrorEquals":["Owned"],"MaxAttempts":0}]`, `0`, `FAILED retryIndex=0`},
		{"another error", `"Retry":[{"ErrorEquals":["Other"]}]`, `0`, `FAILED`},
		{"no attempts left, then caught", `"Retry":[{"ErrorEquals":["Owned"],"MaxAttempts":1}],"Catch":[{"ErrorEquals":["Other"],"Next":"A"},{"ErrorEquals":["States.TaskFailed"],"Next":"B"}]`,
			`1`, `CAUGHT_ERROR next=B catchIndex=1 retryIndex=0`},
		{"retried before caught", `"Retry":[{"ErrorEquals":["States.TaskFailed"]}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"A"}]`, `0`,
			`RETRIABLE retryIndex=0 retryBackoffIntervalSeconds=1`},
		{"failed task is not a timeout", `"Retry":[{"ErrorEquals":["States.Timeout"]}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"A"}]`, `0`, `CAUGHT_ERROR next=A catchIndex=0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := `{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f"},"End":true,` + c.fields + `}`
			body, err := json.Marshal(map[string]any{
				"definition": state, "input": `{}`, "inspectionLevel": "DEBUG",
				"mock":               map[string]any{"errorOutput": map[string]any{"error": "Owned", "cause": "mock"}},
				"stateConfiguration": map[string]any{"retrierRetryCount": json.Number(c.count)},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, text := post(t, url, "TestState", string(body), nil)
			var got struct {
				Status, NextState string
				InspectionData    struct{ ErrorDetails map[string]json.Number }
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			shown := got.Status
			if got.NextState != "" {
				shown += " next=" + got.NextState
			}
			for _, k := range []string{"catchIndex", "retryIndex", "retryBackoffIntervalSeconds"} {
				if n, ok := got.InspectionData.ErrorDetails[k]; ok {
					shown += " " + k + "=" + n.String()
				}
			}
			if diff := cmp.Diff(c.want, shown); diff != "" {
				t.Errorf("%s\n%s", diff, text)
			}
		})
	}
}

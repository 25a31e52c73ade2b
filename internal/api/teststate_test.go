package api_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// differingTestStates are parts of the names of recorded calls whose answers differ from ours, with the reasons.
var differingTestStates = map[string]string{
	"test_base_lambda_task_state[":         "it calls a Lambda function, which does not exist here",
	"test_base_lambda_service_task_state[": "it calls a Lambda function, which does not exist here",
}

// TestRecordedTestStates replays recorded calls of TestState over HTTP.
func TestRecordedTestStates(t *testing.T) {
	all := recorded[struct {
		ID      string
		Date    string `json:"recorded_date"`
		Request map[string]any
		Want    map[string]any `json:"expected_response"`
	}](t, "teststate.json")
	url := serve(t, "111111111111")
	equal := 0
	for _, c := range all {
		p := &player{t: t, s: &script{Date: c.Date}, bound: map[string]string{}}
		got := callAPI(t, url, "TestState", c.Request)
		d := p.compare(c.Want, got, "test_state")
		count(&equal, d == "")
		reason := ""
		for part, why := range differingTestStates {
			if strings.Contains(c.ID, part) {
				reason = why
			}
		}
		switch {
		case d != "" && reason == "":
			t.Errorf("differs: %s: %s", filepath.Base(c.ID), d)
		case d == "" && reason != "":
			t.Errorf("%s no longer differs: remove it from the list", filepath.Base(c.ID))
		}
	}
	t.Logf("teststate: %d of %d equal", equal, len(all))
}

package api_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
)

// The floors of teststate.json; they only ever rise.
const (
	testStateEqual  = 144
	testStateStatus = 144
)

// TestRecordedTestStates replays what TestState answered, over the wire.
func TestRecordedTestStates(t *testing.T) {
	var all []struct {
		ID      string
		Date    string `json:"recorded_date"`
		Request map[string]any
		Want    map[string]any `json:"expected_response"`
	}
	if err := json.Unmarshal(shared(t, "teststate.json"), &all); err != nil {
		t.Fatal(err)
	}
	url := serve(t, "111111111111")
	equal, status := 0, 0
	for _, c := range all {
		p := &player{t: t, s: &script{Date: c.Date}, bound: map[string]string{}}
		got := callAPI(t, url, "TestState", c.Request)
		if statusOf(got) == fmt.Sprint(c.Want["status"]) {
			status++
		}
		if d := p.compare("response", c.Want, got, "test_state"); d == "" {
			equal++
		} else {
			t.Logf("differs: %s: %s", filepath.Base(c.ID), d)
		}
	}
	t.Logf("teststate: %d equal, %d status of %d", equal, status, len(all))
	if equal < testStateEqual || status < testStateStatus {
		t.Errorf("teststate: below the floors of %d equal, %d status", testStateEqual, testStateStatus)
	}
}

func statusOf(answer any) string {
	a, _ := answer.(map[string]any)
	return fmt.Sprint(a["status"])
}

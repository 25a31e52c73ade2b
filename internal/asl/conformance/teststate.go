package conformance

import (
	"encoding/json"

	"github.com/rayorch/rayorch/internal/value"
)

// TestCase is a recorded call of TestState.
type TestCase struct {
	ID          string
	Request     json.RawMessage
	ExpectError bool
	Response    *value.Object
}

// LoadTestState reads teststate.json.
func LoadTestState() ([]TestCase, error) {
	var raw []struct {
		ID       string
		Request  json.RawMessage
		Response json.RawMessage `json:"expected_response"`
	}
	if err := Read("teststate.json", &raw); err != nil {
		return nil, err
	}
	cases := make([]TestCase, len(raw))
	for i, c := range raw {
		response, err := value.ParseObject(c.Response)
		if err != nil {
			return nil, err
		}
		_, failed := response.Get("Error")
		cases[i] = TestCase{c.ID, c.Request, failed, response.Without("ResponseMetadata")}
	}
	return cases, nil
}

package check_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/asl/conformance"
)

type recordedCase struct {
	ID         string
	Definition json.RawMessage
	Type       string
	Validated  bool
}

// TestAcceptsRecordedDefinitions checks that definitions which ran on AWS have no errors, because AWS had validated them.
func TestAcceptsRecordedDefinitions(t *testing.T) {
	for _, file := range []string{"history.json", "choice.json"} {
		var cases []recordedCase
		if err := conformance.Read(file, &cases); errors.Is(err, conformance.ErrMissing) {
			t.Skip("SKIPPED: " + err.Error())
		} else if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if !c.Validated {
				continue
			}
			text := string(c.Definition)
			if strings.HasPrefix(text, `"`) {
				if err := json.Unmarshal(c.Definition, &text); err != nil {
					t.Fatal(err)
				}
			}
			if message, bad := check.Definition(text, c.Type == "EXPRESS").Refusal(); bad {
				t.Errorf("%s: %s\n%s", c.ID, message, text)
			}
		}
	}
}

package check_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl/check"
)

// shared finds the recorded behaviour of AWS; without it the test is skipped, loudly.
func shared(t *testing.T, name string) []byte {
	t.Helper()
	dirs := []string{os.Getenv("RAYORCH_SHARED")}
	for up := "."; len(up) < 40; up = filepath.Join(up, "..") {
		dirs = append(dirs, filepath.Join(up, "..", "shared"))
	}
	for _, dir := range dirs {
		if data, err := os.ReadFile(filepath.Join(dir, "conformance", name)); dir != "" && err == nil {
			return data
		}
	}
	t.Skipf("SKIPPED: no recorded behaviour: ../shared/conformance/%s is missing (set RAYORCH_SHARED)", name)
	return nil
}

// What AWS ran, it had accepted: there must be no error in it.
func TestAcceptsRecordedDefinitions(t *testing.T) {
	for _, file := range []string{"history.json", "choice.json"} {
		var cases []struct {
			ID         string
			Definition json.RawMessage
			Type       string
			Validated  bool
		}
		if err := json.Unmarshal(shared(t, file), &cases); err != nil {
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

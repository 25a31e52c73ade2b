package stack_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/aws/stack"
)

// TestDocs verifies that docs/aws.md has a row for each parameter, with the same text as the table.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range stack.All() {
		required := map[bool]string{true: "yes"}[p.Required]
		row := fmt.Sprintf("| `%s` | %s | %s | %s |", p.Name, required, p.Doc, p.Want)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/aws.md: missing row\n%s", row)
		}
		if p.Default != "" && !strings.Contains(p.Doc, p.Default) {
			t.Errorf("%s: the description does not contain the default, %s", p.Name, p.Default)
		}
	}
}

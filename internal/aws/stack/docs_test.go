package stack_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/aws/stack"
)

// TestDocs holds docs/aws.md to the table of parameters: each has its row there, word for word.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range stack.All() {
		value := p.Default
		switch {
		case p.Required:
			value = "required"
		case value != "":
			value = "`" + value + "`"
		}
		row := fmt.Sprintf("| `%s` | %s | %s |", p.Name, value, p.Doc)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/aws.md lacks the row\n%s", row)
		}
	}
}

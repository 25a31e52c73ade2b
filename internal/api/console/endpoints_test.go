package console_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/api/console"
)

var documentedEndpoint = regexp.MustCompile("(?m)^\\| `((?:GET|POST) /console/[^`]*)` \\|")

// The console's endpoints are exactly those in docs/serve.md, where its files are the row GET /console/.
func TestEndpointsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range documentedEndpoint.FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
	}
	served := append(console.Endpoints(), "GET /console/")
	slices.Sort(served)
	slices.Sort(documented)
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("docs/serve.md (-served +documented):\n%s", diff)
	}
}

package api_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
)

var documentedEndpoint = regexp.MustCompile("(?m)^\\| `((?:GET|POST) /[^`]*)` \\| (\\S+) \\|")

// The endpoints and their roles are exactly those in docs/serve.md. A test in internal/api/console compares the console's.
func TestEndpointsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range documentedEndpoint.FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(m[1], " /console/") {
			documented[m[1]] = m[2]
		}
	}
	served := map[string]string{}
	for _, e := range api.Endpoints() {
		role, _ := access.Need(e.Pattern)
		served[e.Pattern] = role.String()
		if e.Open {
			served[e.Pattern] = "none"
		}
	}
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("docs/serve.md, by pattern with the role (-served +documented):\n%s", diff)
	}
}

// The features of /rayorch/v1/info are exactly the server's endpoints, and include those that clients of earlier releases look for.
func TestFeatures(t *testing.T) {
	_, body := get(t, serve(t, "")+"/rayorch/v1/info", nil)
	var info struct{ Features []string }
	if err := json.Unmarshal([]byte(body), &info); err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{"aftermath", "changes", "counts", "executions", "log", "logs", "pending", "resting", "resume", "watch"} {
		if !slices.Contains(info.Features, known) {
			t.Errorf("the feature %s is missing, which clients of earlier releases look for", known)
		}
	}
	want := map[string]bool{}
	for _, e := range api.Endpoints() {
		name, ours := strings.CutPrefix(e.Pattern[strings.Index(e.Pattern, " ")+1:], "/rayorch/v1/")
		if socketOnly := name == "code" || name == "secrets" || name == "console"; ours && !socketOnly { // this server does not have these
			want[name] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), info.Features); diff != "" {
		t.Error(diff)
	}
}

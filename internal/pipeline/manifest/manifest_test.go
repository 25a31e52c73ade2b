package manifest_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/pipeline/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

// result returns an example of a compiled pipeline. The tests of package compile check what a compiled pipeline grants.
func result() *compile.Result {
	return &compile.Result{
		Namespace: "ml", ServiceAccount: "trainer",
		Access: []compile.Rule{
			{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "get"}},
			{APIGroups: []string{""}, Resources: []string{"services/proxy"}, Names: []string{"demo-head-svc"}, Verbs: []string{"get"}},
		},
		Files: []compile.ConfigMap{
			{Name: "words-0a1b", Data: map[string]string{"submit.py": "import json\n\nprint(json.dumps({\"yes\": 1}))\n", "flag": "true"}},
			{Name: "words-2c3d", Binary: map[string][]byte{"dir.zip": {'P', 'K', 0, 0xff}}},
		},
	}
}

func TestObjects(t *testing.T) {
	for name, o := range map[string]manifest.Options{
		"plain": {Pipeline: "words"},
		"all": {
			Pipeline: "Words", Namespace: true, Runner: &manifest.Subject{Kind: "User", Name: "step-functions"},
			Labels: map[string]string{"team": "nlp", "app.kubernetes.io/managed-by": "me"}, Annotations: map[string]string{"cost": "1"},
		},
		"account": {Pipeline: "words", Runner: &manifest.Subject{Kind: "ServiceAccount", Name: "rayorch", Namespace: "tools"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := manifest.YAML(manifest.Objects(result(), o))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".yaml"), got)
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got; update it with go test -update):\n%s", file, diff)
	}
}

// TestYAMLKeepsValues checks that strings which look like values of other types are still strings after encoding and decoding.
func TestYAMLKeepsValues(t *testing.T) {
	for _, text := range []string{"yes", "1", "0x1", "null", "~", "", " a", "a: b", "1e3", "on", "12:30:00", "2026-01-01", "a\nb", "a\n\n  b\n", "\ttab", "é\u0085"} {
		encoded, err := manifest.YAML([]manifest.Object{{"kind": "ConfigMap", "data": manifest.Object{text: text}}})
		if err != nil {
			t.Fatal(err)
		}
		var back struct{ Data map[string]string }
		if err := yaml.Unmarshal(encoded, &back); err != nil {
			t.Fatalf("%q: %v\n%s", text, err, encoded)
		}
		if diff := cmp.Diff(map[string]string{text: text}, back.Data); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	}
}

func TestYAMLIsDeterministic(t *testing.T) {
	o := manifest.Options{Pipeline: "words", Labels: map[string]string{"a": "1", "b": "2", "c": "3"}}
	want, _ := manifest.YAML(manifest.Objects(result(), o))
	for range 20 {
		if got, _ := manifest.YAML(manifest.Objects(result(), o)); !bytes.Equal(want, got) {
			t.Fatalf("YAML returns different bytes for the same objects:\n%s\n%s", want, got)
		}
	}
}

func TestName(t *testing.T) {
	if got := manifest.Name("words"); got != "rayorch-words" {
		t.Errorf("Name(words) = %s, want rayorch-words", got)
	}
	upper, other := manifest.Name("Words"), manifest.Name("WORDS")
	if upper == other || upper != strings.ToLower(upper) {
		t.Errorf("Name(Words) = %s, Name(WORDS) = %s, want two different names in lower case", upper, other)
	}
}

// TestNoPermissions checks that a pipeline that needs no permissions has no service account and no Role.
func TestNoPermissions(t *testing.T) {
	got := manifest.Objects(&compile.Result{Namespace: "ml"}, manifest.Options{Pipeline: "words"})
	text, err := manifest.YAML(got)
	if len(got) != 0 || len(text) != 0 || err != nil {
		t.Errorf("got %v, %q, %v, want no objects", got, text, err)
	}
}

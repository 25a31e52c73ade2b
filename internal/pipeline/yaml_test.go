package pipeline_test

import (
	"encoding/json"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

func TestYAML(t *testing.T) {
	for text, want := range map[string]string{
		"name: x\ndependencies: [python=3.11, {pip: [a]}]\n": `{"name":"x","dependencies":["python=3.11",{"pip":["a"]}]}`,
		"a: ${{ no.reference }}":                             `{"a":"${{ no.reference }}"}`,
		"a: 2026-01-01":                                      `{"a":"2026-01-01"}`,
	} {
		if v, err := pipeline.YAML([]byte(text)); err != nil || value.Text(v) != want {
			t.Errorf("YAML(%q) = %s, %v, want %s", text, value.Text(v), err, want)
		}
	}
	for text, want := range map[string]string{
		"":          "the file is empty",
		"# nothing": "the file is empty",
		"a: .inf":   `line 1: ".inf" is not a JSON value; put it in quotes`,
		"{":         "yaml: line 1: did not find expected node content",
	} {
		if v, err := pipeline.YAML([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("YAML(%q) = %v, %v, want the error %q", text, v, err, want)
		}
	}
}

func FuzzYAML(f *testing.F) {
	f.Add([]byte("name: x\ndependencies: [python=3.11, {pip: [a]}]\n"))
	f.Add([]byte("a: &a [1, 0x1f, .inf, ~]\nb: {<<: {c: *a}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := pipeline.YAML(data)
		if err == nil && !json.Valid(value.Bytes(v)) {
			t.Errorf("YAML(%q) = %s, which is not valid JSON", data, value.Bytes(v))
		}
	})
}

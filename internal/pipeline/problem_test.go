package pipeline_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// A suggestion for a short name must have more in common with it than a length.
func TestNearest(t *testing.T) {
	names := []string{"local", "kubernetes", "aws", "n"}
	for got, want := range map[string]string{"loacl": "local", "asw": "aws", "kube": "kubernetes", "k8s": "", "q": "", "N": "n"} {
		if near := pipeline.Nearest(got, names); near != want {
			t.Errorf("%s: got %q, want %q", got, near, want)
		}
	}
}

// Two steps with the same name are one error, and not a cycle as well.
func TestDuplicateNameIsNoCycle(t *testing.T) {
	step := "  - {name: a, job: {command: [x]}}\n"
	_, err := pipeline.Decode("f", []byte("version: 1\nname: x\nsteps:\n"+step+step))
	if err == nil || !strings.Contains(err.Error(), "a is also the name of steps[0]") || strings.Contains(err.Error(), "cycle") {
		t.Errorf("got %v", err)
	}
}

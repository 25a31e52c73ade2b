package compile_test

import (
	"os"
	"testing"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/pipeline"
)

func TestFull(t *testing.T) {
	data, err := os.ReadFile("../pipeline/testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Decode("full.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(p, compile.Options{BaseDir: "/base"})
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile("/tmp/tc/full.json", r.Definition, 0o644)
	os.WriteFile("/tmp/tc/cleanup.json", r.Cleanup, 0o644)
	t.Log(r.Notes)
}

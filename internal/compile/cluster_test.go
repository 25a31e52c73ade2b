package compile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/pipeline"
)

// packed stands in for packing a directory: what it holds counts for nothing here.
func packed(dir string, _ []string) ([]byte, error) {
	return []byte("zip of " + filepath.Base(dir)), nil
}

func TestClusterDefinitions(t *testing.T) {
	data, err := os.ReadFile("../../examples/shakespeare/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Decode("pipeline.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(p, compile.Options{Target: "kubernetes", BaseDir: "/base", Pack: packed})
	if err != nil {
		t.Fatal(err)
	}
	for _, definition := range [][]byte{r.Definition, r.Cleanup} {
		for _, d := range check.Definition(string(definition), false).Problems {
			t.Errorf("our own validator says: %+v", d)
		}
	}
}

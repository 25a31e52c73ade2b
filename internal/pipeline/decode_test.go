package pipeline_test

import (
	"os"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline"
)

func TestDecodeTakesTheFullExample(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Decode("full.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 6 || p.Steps[1].Ray.Memory.Bytes != 1<<30 || p.Steps[2].PendingTimeout != 900 {
		t.Errorf("steps decoded wrongly: %+v", p.Steps)
	}
}

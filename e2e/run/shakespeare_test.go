package run_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestShakespeare runs the example twice on the same storage, with fewer steps. The loss must decrease, and each inference must read the
// checkpoint of its own run.
func TestShakespeare(t *testing.T) {
	p, _ := newSandbox(t)
	example, err := filepath.Abs("../../examples/shakespeare")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		res := p.Run(t.Context(), t, "run", example, "--name", name, "-o", "json",
			"--param", "steps=60", "--param", "batch=512", "--param", "length=40", "--param", "prompts=HAMLET.|It's $(me)")
		if res.Code != 0 {
			t.Fatalf("%s: got %+v, want exit code 0", name, res)
		}
		var train struct {
			Checkpoint string
			First      float64 `json:"first_loss"`
			Loss       float64
			Steps      int
		}
		var infer struct {
			Checkpoint, Run string
			Texts           []struct{ Prompt, Text string }
		}
		out := read(t, res).Output
		if err := json.Unmarshal(out["train"], &train); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out["infer"], &infer); err != nil {
			t.Fatal(err)
		}
		if train.Steps != 60 || train.Loss > train.First-0.5 || train.Loss < 0.5 {
			t.Errorf("%s: the output of train is %+v, want 60 steps and a loss that decreased by at least 0.5", name, train)
		}
		if infer.Checkpoint != train.Checkpoint || infer.Run != name || !strings.Contains(train.Checkpoint, "/"+name+"/") {
			t.Errorf("%s: train wrote %s, but infer read %s of run %s", name, train.Checkpoint, infer.Checkpoint, infer.Run)
		}
		if len(infer.Texts) != 2 || infer.Texts[1].Prompt != "It's $(me)" || len(infer.Texts[0].Text) < 40 {
			t.Errorf("%s: infer wrote %+v, want two texts", name, infer.Texts)
		}
		logs := p.Run(t.Context(), t, "logs", name, "--step", "train")
		if !strings.Contains(logs.Stdout, "metric loss=") {
			t.Errorf("%s: the log does not contain a metric: %.300s", name, logs.Stdout)
		}
	}
}

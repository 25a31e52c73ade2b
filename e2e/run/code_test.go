package run_test

import (
	"strings"
	"testing"
)

// TestCodeIsFrozen edits the code of a later step during a run. The step, and its retry, must run the code as it was at the start.
func TestCodeIsFrozen(t *testing.T) {
	p, _ := newSandbox(t)
	p.Write(t, "src/infer.py", "import helper\nprint('old', helper.WHAT)\nimport os, sys\nsys.exit(int(os.environ['RAYORCH_ATTEMPT']) < 2)\n")
	p.Write(t, "helper.py", "WHAT = 'module'\n")
	p.Write(t, "pipeline.yaml", `version: 1
name: frozen
steps:
  - name: edit
    ray: {entrypoint: 'echo "print(1)" >`+p.Dir+`/src/infer.py; echo >`+p.Dir+`/helper.py', workingDir: src}
  - name: infer
    ray: {entrypoint: python infer.py, workingDir: src, runtimeEnv: {py_modules: [helper.py]}}
    retry: {attempts: 2, interval: 1s}
`)
	res := p.Run(t.Context(), t, "run", "--name", "one", "-o", "json")
	if sum := read(t, res); res.Code != 0 || sum.Steps[1].Attempts != 2 {
		t.Fatalf("run: got %+v, want exit code 0 and 2 attempts of infer", res)
	}
	logs := p.Run(t.Context(), t, "logs", "one", "--step", "infer")
	if strings.TrimSpace(logs.Stdout) != "old module" {
		t.Errorf("the attempts of infer printed %q, want \"old module\" (%s)", logs.Stdout, logs.Stderr)
	}
	diff := p.Run(t.Context(), t, "describe", "one", "--code-diff")
	if diff.Code != 0 || !strings.Contains(diff.Stdout, "-import helper\n") || !strings.Contains(diff.Stdout, "+print(1)\n") || !strings.Contains(diff.Stdout, "-WHAT = 'module'\n") {
		t.Errorf("describe --code-diff: got %+v, want the changes of infer.py and helper.py", diff)
	}
}

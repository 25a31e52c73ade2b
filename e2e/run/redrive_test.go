package run_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shaky = `version: 1
name: shaky
steps:
  - name: once
    ray: {entrypoint: 'mkdir "$RAYORCH_STORAGE/once" && echo 1 >"$RAYORCH_OUTPUT"'}
  - name: shaky
    ray: {entrypoint: 'test -e FIXED && echo "$RAYORCH_ATTEMPT" >"$RAYORCH_OUTPUT"'}
    onFailure: {job: {shell: 'echo "$RAYORCH_ERROR" >>"$RAYORCH_STORAGE/tidied"'}}
`

// TestRedriveAfterFailure redrives a run whose step failed for good and ran its onFailure job. The redrive must run the failed step again,
// as a new job, and must not run the step that succeeded.
func TestRedriveAfterFailure(t *testing.T) {
	p, _ := newSandbox(t)
	fixed := filepath.Join(t.TempDir(), "fixed")
	p.Write(t, "pipeline.yaml", strings.Replace(shaky, "FIXED", fixed, 1))
	failed := p.Run(t.Context(), t, "run", "--name", "shaky", "-o", "json")
	if failed.Code != 3 || read(t, failed).Error != "Ray.JobFailed" {
		t.Fatalf("run: got %+v, want exit code 3 and Ray.JobFailed", failed)
	}
	if again := p.Run(t.Context(), t, "redrive", "shaky", "-o", "json"); again.Code != 3 {
		t.Fatalf("redrive before the fix: got %+v, want exit code 3", again)
	}
	if err := os.WriteFile(fixed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	res := p.Run(t.Context(), t, "redrive", "shaky", "-o", "json")
	if sum := read(t, res); res.Code != 0 || string(sum.Output["once"]) != "1" || string(sum.Output["shaky"]) != "1" {
		t.Errorf("redrive after the fix: got %+v, want exit code 0 and the output 1 of both steps", res)
	}
}

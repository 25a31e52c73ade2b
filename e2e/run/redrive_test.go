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
    ray: {entrypoint: 'test -e MENDED && echo "$RAYORCH_ATTEMPT" >"$RAYORCH_OUTPUT"'}
    onFailure: {job: {shell: 'echo "$RAYORCH_ERROR" >>"$RAYORCH_STORAGE/tidied"'}}
`

// TestRedriveAfterFailure redrives a run whose step failed for good: it runs anew, as a job of its own, and what succeeded
// does not. The cleanup does not stand in its way.
func TestRedriveAfterFailure(t *testing.T) {
	p, _ := place(t)
	mended := filepath.Join(t.TempDir(), "mended")
	p.Write(t, "pipeline.yaml", strings.Replace(shaky, "MENDED", mended, 1))
	failed := p.Run(t.Context(), t, "run", "--name", "shaky", "-o", "json")
	if failed.Code != 3 || read(t, failed).Error != "Ray.JobFailed" {
		t.Fatalf("%+v", failed)
	}
	if again := p.Run(t.Context(), t, "redrive", "shaky", "-o", "json"); again.Code != 3 {
		t.Fatalf("it failed again: %+v", again)
	}
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	res := p.Run(t.Context(), t, "redrive", "shaky", "-o", "json")
	if sum := read(t, res); res.Code != 0 || string(sum.Output["once"]) != "1" || string(sum.Output["shaky"]) != "1" {
		t.Errorf("%+v", res)
	}
}

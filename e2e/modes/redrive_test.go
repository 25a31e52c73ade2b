package modes_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// redriveFailed redrives a run whose step failed for good and ran its onFailure job. The redrive must restart the failed step
// with attempt 1 and a new id, and must not run the previous step again.
func (w *shared) redriveFailed(t *testing.T) {
	if !w.Local {
		t.Skip("SKIPPED: the files of the claim are not on this machine")
	}
	w.eachMode(t, `
steps:
- {name: once, ray: {entrypoint: "mkdir $RAYORCH_STORAGE/once && echo 1 >$RAYORCH_OUTPUT"}}
- name: shaky
  ray: {entrypoint: "if [ -e $RAYORCH_STORAGE/fixed ]; then echo $RAYORCH_ATTEMPT >$RAYORCH_OUTPUT; else exit 3; fi"}
  retry: {attempts: 2, interval: 1s}
  onFailure: {ray: {entrypoint: "echo $RAYORCH_ERROR >>$RAYORCH_STORAGE/tidied"}}
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.want(t, stepfn.Failed, "Ray.JobFailed")
		dir := filepath.Join(w.claim.Dir, "w", r.Name)
		if err := os.WriteFile(filepath.Join(dir, "fixed"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := r.p.engine.Redrive(r.ARN); err != nil {
			t.Fatal(err)
		}
		r.want(t, stepfn.Succeeded, `{"once":1,"shaky":1}`)
		if tidied, err := os.ReadFile(filepath.Join(dir, "tidied")); string(tidied) != "Ray.JobFailed\n" {
			t.Errorf("the onFailure job wrote %q, want Ray.JobFailed once: %v", tidied, err)
		}
	})
}

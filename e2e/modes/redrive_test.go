package modes_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// redriveFailed fails a step for good, with its cleanup, and redrives the run: the step begins anew with its first attempt,
// whose id is another; the step before it does not run again.
func (w *shared) redriveFailed(t *testing.T) {
	if !w.Here {
		t.Skip("SKIPPED: the claim's files are not here")
	}
	w.eachMode(t, `
steps:
- {name: once, ray: {entrypoint: "mkdir $RAYORCH_STORAGE/once && echo 1 >$RAYORCH_OUTPUT"}}
- name: shaky
  ray: {entrypoint: "if [ -e $RAYORCH_STORAGE/mended ]; then echo $RAYORCH_ATTEMPT >$RAYORCH_OUTPUT; else exit 3; fi"}
  retry: {attempts: 2, interval: 1s}
  onFailure: {ray: {entrypoint: "echo $RAYORCH_ERROR >>$RAYORCH_STORAGE/tidied"}}
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.want(t, stepfn.Failed, "Ray.JobFailed")
		dir := filepath.Join(w.claim.Dir, "w", r.Name)
		if err := os.WriteFile(filepath.Join(dir, "mended"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := r.p.engine.Redrive(r.ARN); err != nil {
			t.Fatal(err)
		}
		r.want(t, stepfn.Succeeded, `{"once":1,"shaky":1}`)
		if tidied, err := os.ReadFile(filepath.Join(dir, "tidied")); string(tidied) != "Ray.JobFailed\n" {
			t.Errorf("the cleanup saw %q %v", tidied, err)
		}
	})
}

package ekstask_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// TestEndsEarly stops the controller that would note the end of a Job: a step's is over with its pod all the same.
func TestEndsEarly(t *testing.T) {
	if os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
		t.Skip("SKIPPED: RAYORCH_TEST_KUBERNETES=all runs it, for it holds the cluster up")
	}
	b := benchOn(t, clustertest.Start(t))
	args := b.job(holds, logs)
	kube.Field(args, "Job", "metadata").(map[string]any)["labels"] = map[string]any{"rayorch.dev/step": "one"}
	ended, _ := b.begin(args)
	b.awaitLog("begun")
	resume := b.cluster.Pause(t, "kube-controller") // -manager, of which the process list shows 15 letters
	b.letGo()
	res := <-ended
	job, err := b.cluster.Job(clustertest.Context(t), b.ns, "work")
	resume()
	if err != nil || job.Ended() != nil {
		t.Errorf("while the controller stood still the Job ended by %v, %v", job.Ended(), err)
	}
	if got := b.logOf(b.output(res)); got != "begun\ndone\n" {
		t.Errorf("got the log %q", got)
	}
	clustertest.Until(clustertest.Context(t), t, "the Job's end", func() error {
		job, err := b.cluster.Job(clustertest.Context(t), b.ns, "work")
		if err == nil && job.Ended() == nil {
			err = fmt.Errorf("its status is %+v", job.Status)
		}
		return err
	})
}

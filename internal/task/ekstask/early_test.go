package ekstask_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// TestEndsEarly pauses the controller that updates the status of Jobs: the Job of a step ends with its pod anyway.
func TestEndsEarly(t *testing.T) {
	if os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
		t.Skip("SKIPPED: it pauses the cluster; set RAYORCH_TEST_KUBERNETES=all to run it")
	}
	b := benchOn(t, clustertest.Start(t))
	args := b.job(blockingScript, logs)
	kube.Field(args, "Job", "metadata").(map[string]any)["labels"] = map[string]any{"rayorch.dev/step": "one"}
	ended, _ := b.begin(args)
	b.awaitLog("begun")
	resume := b.cluster.Pause(t, "kube-controller") // kube-controller-manager: Linux cuts process names to 15 characters
	b.unblock()
	res := <-ended
	job, err := b.cluster.Job(clustertest.Context(t), b.ns, "work")
	resume()
	if err != nil || job.Ended() != nil {
		t.Errorf("while the controller is paused: the Job has the end %v, %v, want none", job.Ended(), err)
	}
	if got := b.logOf(b.output(res)); got != "begun\ndone\n" {
		t.Errorf("got log %q", got)
	}
	clustertest.Until(clustertest.Context(t), t, "the Job's end", func() error {
		job, err := b.cluster.Job(clustertest.Context(t), b.ns, "work")
		if err == nil && job.Ended() == nil {
			err = fmt.Errorf("its status is %+v", job.Status)
		}
		return err
	})
}

package main

import (
	"context"
	"os"
	"runtime"
	"time"
)

// cluster is the Kubernetes of e2e/cluster, which suites share: it takes minutes to build and seconds to start. It
// outlives the suite that needs it first, so the runner starts it, without its mark, and ends it after the last one.
type cluster struct{ tried, started bool }

// possible says that the cluster can run here. Where it cannot, and where RAYORCH_TEST_KUBECONFIG names another one, the
// tests themselves say what they do without it.
func (c *cluster) possible() bool {
	return runtime.GOOS == "linux" && os.Geteuid() == 0 && os.Getenv("RAYORCH_TEST_KUBECONFIG") == "" &&
		os.Getenv("RAYORCH_TEST_NO_CLUSTER") == ""
}

// clusterUp starts the cluster before the first suite that needs it and loads the image with Ray. One that was up is left up.
func (r *runner) clusterUp(ctx context.Context) {
	if r.cluster.tried || !r.cluster.possible() {
		return
	}
	r.cluster.tried = true
	was := runScript(ctx, "[ -e /run/rayorch-cluster-${RAYORCH_CLUSTER_NAME:-rayorch}.pid ]") == nil
	r.cluster.started = !was
	r.add("cluster up", r.runSuite(ctx, suite{command: []string{"bash", "-c", "e2e/cluster/up && e2e/cluster/ray-image"},
		read: readPlain, limit: 40 * time.Minute, outlives: true}))
}

// clusterDown ends the cluster that clusterUp started, also after an interrupt.
func (r *runner) clusterDown() {
	if r.cluster.started {
		r.add("cluster down", r.runSuite(context.Background(), suite{command: []string{"e2e/cluster/down"}, read: readPlain,
			limit: 5 * time.Minute}))
	}
}

func runScript(ctx context.Context, script string) error {
	return command(ctx, suite{command: []string{"sh", "-c", script}}).Run()
}

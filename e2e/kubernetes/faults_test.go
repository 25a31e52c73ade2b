package kubernetes_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/kube"
)

// counting is a step that prints a line a second, and then gives an output.
func counting(name string, seconds int, more string) string {
	return fmt.Sprintf("  - name: %s\n    ray: {entrypoint: 'for i in $(seq %d); do echo line $i; sleep 1; done; echo \"{\\\"n\\\":1}\" > \"$RAYORCH_OUTPUT\"'}\n%s",
		name, seconds, more)
}

// TestRay tries everything that needs a Ray on one and the same, which shows that each test leaves it in order: the three
// ways, rayorch killed, and then things that break while a job runs.
func TestRay(t *testing.T) {
	w := newWorld(t)
	t.Run("ways", w.ways)
	t.Run("doctor", w.doctor)
	t.Run("killed", w.kills)
	t.Run("submitter deleted", w.submitterDeleted)
	t.Run("image missing", w.imageMissing)
	t.Run("claim missing", func(t *testing.T) { full(t); w.claimMissing(t) })
	t.Run("stopped", func(t *testing.T) { full(t); w.stopped(t) })
	t.Run("dashboard", func(t *testing.T) { full(t); w.dashboard(t) })
	t.Run("api server hangs", func(t *testing.T) { full(t); w.hangs(t, "kube-apiserver", 12*time.Second) })
	t.Run("kubelet hangs", func(t *testing.T) { full(t); w.hangs(t, "kubelet", 15*time.Second) })
	t.Run("rights revoked", func(t *testing.T) { full(t); w.revoked(t) })
	for _, way := range ways {
		t.Run("head deleted by "+way, func(t *testing.T) {
			if way != "job" {
				full(t)
			}
			w.headDeleted(t, way)
		})
	}
	t.Run("namespace deleted", func(t *testing.T) { full(t); w.namespaceDeleted(t) })
}

// submitterDeleted: the job on Ray goes on, the next pod finds it, and nobody runs it twice.
func (w *world) submitterDeleted(t *testing.T) {
	dir := w.pipeline(t, "submitter", counting("train", 12, "    timeout: 2m\n"))
	wait := w.started(t, "submitter", "train", "line 2", dir)
	before := len(w.rayJobs(t))
	w.deletePods(t, w.pods(t, "rayorch.dev/pipeline=submitter"), 0)
	x := wait()
	if x.Status != "SUCCEEDED" || string(x.Output["train"]) != `{"n":1}` || x.Steps[0].Attempts != 1 {
		t.Errorf("%s %s %s, output %s, steps %+v", x.Status, x.Error, x.Cause, x.Output, x.Steps)
	}
	if after := len(w.rayJobs(t)); after != before {
		t.Errorf("%d Ray jobs became %d", before, after)
	}
	w.nothingRuns(t)
}

func (w *world) pods(t *testing.T, selector string) []string {
	t.Helper()
	var pods struct{ Items []kube.Pod }
	w.list(t, kube.CollectionPath("v1", w.namespace, "pods"), selector, &pods)
	var names []string
	for _, p := range pods.Items {
		names = append(names, p.Metadata.Name)
	}
	if len(names) == 0 {
		t.Fatalf("no pod has %s", selector)
	}
	return names
}

func (w *world) deletePods(t *testing.T, names []string, grace int) {
	t.Helper()
	for _, name := range names {
		_, err := w.c.Do(clustertest.Context(t), kube.Request{
			Method: http.MethodDelete, Path: kube.ObjectPath("v1", w.namespace, "pods", name),
			Body: fmt.Appendf(nil, `{"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": %d}`, grace),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// imageMissing: the pod never starts, and the cause is the kubelet's own.
func (w *world) imageMissing(t *testing.T) {
	dir := w.pipeline(t, "image", "  - name: infer\n    job: {image: 'nowhere.invalid/none:1', command: [echo, hello]}\n    pendingTimeout: 10s\n    timeout: 1m\n")
	var x execution
	within(t, 2*time.Minute, func() { x = w.run(t, "image", dir) })
	failed(t, x, "Job.StartFailed", "nowhere.invalid/none:1")
	w.nothingRuns(t)
}

func (w *world) claimMissing(t *testing.T) {
	dir := w.pipeline(t, "claim", "  - name: infer\n    job: {command: [echo, hello], mounts: [{claim: lost, path: /lost}]}\n    pendingTimeout: 10s\n    timeout: 1m\n")
	var x execution
	within(t, 2*time.Minute, func() { x = w.run(t, "claim", dir) })
	failed(t, x, "Job.StartFailed", "lost")
	w.nothingRuns(t)
}

// stopped: rayorch stop ends the job on Ray, too, by the clean-up machine.
func (w *world) stopped(t *testing.T) {
	for _, way := range ways {
		dir := w.pipeline(t, "stopped-"+way, counting("train", 300, ""))
		wait := w.started(t, "stopped-"+way, "train", "line 2", dir, "--submit", way)
		said := w.must(t, "stop", "stopped-"+way).Stdout
		if x := wait(); x.Status != "ABORTED" {
			t.Errorf("%s: %s", way, x.Status)
		}
		w.stopTold(t, way, said)
		w.nothingRuns(t)
	}
}

// stopTold: what became of the Job that was stopped stands beside the history, and which execution cleared the rest away.
func (w *world) stopTold(t *testing.T, way, said string) {
	t.Helper()
	told := w.must(t, "history", "stopped-"+way).Stdout
	_, after, _ := strings.Cut(told, "  ExecutionAborted ")
	if !strings.Contains(after, "  CleanupStarted ") {
		t.Errorf("%s: the history ends with %s", way, after)
	}
	deleted := "deleted the job r" // the submitter's
	if way == "job" && (!strings.Contains(after, deleted) || !strings.Contains(said, deleted) || !strings.Contains(said, "its pods have ended")) {
		t.Errorf("%s: stop says %s\nand the history ends with %s", way, said, after)
	}
}

// hangs stops a part of the cluster for a while. The run waits it out.
func (w *world) hangs(t *testing.T, part string, pause time.Duration) {
	if !w.c.Here {
		t.Skip("SKIPPED: only the cluster of e2e/cluster can be stopped")
	}
	name := strings.ReplaceAll(part, "-", "")
	dir := w.pipeline(t, name, counting("train", 20, "    timeout: 3m\n")+counting("infer", 1, "    timeout: 2m\n"))
	for _, way := range ways {
		run := name + "-" + way
		wait := w.started(t, run, "train", "line 2", dir, "--submit", way)
		hang(t, part, pause)
		x := wait()
		if x.Status != "SUCCEEDED" || len(x.Output) != 2 {
			t.Errorf("%s: %s %s %s, output %s", way, x.Status, x.Error, x.Cause, x.Output)
		}
		for _, s := range x.Steps {
			if s.Attempts > 1 {
				t.Errorf("%s: %s took %d attempts", way, s.Name, s.Attempts)
			}
		}
		w.nothingRuns(t)
	}
}

// revoked takes the rights away half-way. Whoever has none cannot stop the job either: it ends by itself, or by the Job's
// deadline. A watch that is open goes on, so that by way job it is the next step that cannot be made.
func (w *world) revoked(t *testing.T) {
	for _, way := range ways {
		dir := w.pipeline(t, "revoked-"+way, counting("train", 20, "    timeout: 1m\n")+counting("infer", 1, "    timeout: 1m\n"))
		w.must(t, "apply", dir, "-t", "kubernetes", "--submit", way)
		wait := w.started(t, "revoked-"+way, "train", "line 2", dir, "--submit", way, "--kubeconfig", w.kubeconfig(t, "rayorch-revoked-"+way))
		binding := kube.ObjectPath("rbac.authorization.k8s.io/v1", w.namespace, "rolebindings", "rayorch-revoked-"+way)
		if err := w.c.Remove(clustertest.Context(t), binding, ""); err != nil {
			t.Fatal(err)
		}
		var x execution
		within(t, 3*time.Minute, func() { x = wait() })
		if x.Status != "FAILED" || !strings.Contains(x.Cause, "forbidden") || !strings.Contains(x.Cause, "cannot") {
			t.Errorf("%s: %s %s: %s", way, x.Status, x.Error, x.Cause)
		}
		t.Logf("%s: %s %s", way, x.Error, x.Cause)
		w.nothingRuns(t)
	}
}

// headDeleted: the job dies with the head, the operator makes a new one. Without a retry that is the run's failure; with
// one the step runs again on the new head.
func (w *world) headDeleted(t *testing.T, way string) {
	retried := way == "job"
	more := "    timeout: 2m\n"
	if retried {
		more += "    retry: {attempts: 3, interval: 5s, errors: [Ray.HeadLost, Ray.Unreachable]}\n"
	}
	dir := w.pipeline(t, "head-"+way, counting("train", 25, more))
	wait := w.started(t, "head-"+way, "train", "line 2", dir, "--submit", way)
	w.deletePods(t, w.pods(t, "ray.io/node-type=head"), 0)
	var x execution
	within(t, 4*time.Minute, func() { x = wait() })
	switch {
	case !retried:
		failed(t, x, "Ray.HeadLost")
	case x.Status != "SUCCEEDED" || x.Steps[0].Attempts != 2:
		t.Errorf("%s %s %s: %+v", x.Status, x.Error, x.Cause, x.Steps)
	}
	clustertest.Until(clustertest.Context(t), t, "the next head", func() error {
		_, err := w.c.Do(clustertest.Context(t), kube.Request{Path: w.ray.API + "api/version"})
		return err
	})
	w.nothingRuns(t)
}

func (w *world) namespaceDeleted(t *testing.T) {
	dir := w.pipeline(t, "namespace", counting("train", 60, "    timeout: 2m\n"))
	wait := w.started(t, "namespace", "train", "line 2", dir)
	if err := w.c.Remove(clustertest.Context(t), "/api/v1/namespaces/"+w.namespace, ""); err != nil {
		t.Fatal(err)
	}
	var x execution
	within(t, 3*time.Minute, func() { x = wait() })
	if x.Status != "FAILED" || !strings.Contains(x.Cause, "deleted it, or its namespace") {
		t.Errorf("%s %s: %s", x.Status, x.Error, x.Cause)
	}
	t.Logf("%s: %s", x.Error, x.Cause)
}

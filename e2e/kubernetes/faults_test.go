package kubernetes_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// counting is a step that prints a line a second until letGo, at most for an hour; for some seconds where the test does not
// reach the storage. Then it gives an output.
func (w *world) counting(name string, seconds int, more string) string {
	if w.c.Here {
		seconds = 3600
	}
	return fmt.Sprintf("  - name: %s\n    ray: {entrypoint: 'for i in $(seq %d); do echo line $i; sleep 1; [ ! -e \"$RAYORCH_STORAGE/go\" ] || break; done; "+
		"echo \"{\\\"n\\\":1}\" > \"$RAYORCH_OUTPUT\"'}\n%s", name, seconds, more)
}

// TestRay tries everything that needs a Ray on one and the same, which shows that each test leaves it in order: the three
// modes, rayorch killed, and then things that break while a job runs.
func TestRay(t *testing.T) {
	w := newWorld(t)
	t.Run("modes", w.modes)
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
	for _, mode := range modes {
		t.Run("head deleted by "+mode, func(t *testing.T) {
			if mode != "job" {
				full(t)
			}
			w.headDeleted(t, mode)
		})
	}
	t.Run("namespace deleted", func(t *testing.T) { full(t); w.namespaceDeleted(t) })
}

// submitterDeleted: the job on Ray goes on, the next pod finds it, and nobody runs it twice.
func (w *world) submitterDeleted(t *testing.T) {
	dir := w.pipeline(t, "submitter", w.counting("train", 12, ""))
	wait := w.started(t, "submitter", "train", "line 2", dir)
	before := len(w.rayJobIDs(t, ""))
	const submitters = "rayorch.dev/pipeline=submitter"
	old := w.pods(t, submitters)
	w.deletePods(t, old, 0)
	clustertest.Until(clustertest.Context(t), t, "the next submitter", func() error {
		var pods struct{ Items []kube.Pod }
		w.list(t, kube.CollectionPath("v1", w.namespace, "pods"), submitters, &pods)
		err := clustertest.ErrNotYet
		for _, p := range pods.Items {
			if !slices.Contains(old, p.Metadata.Name) && p.Started() {
				return nil
			}
			err = fmt.Errorf("%w: %s is %s", err, p.Metadata.Name, p.Status.Phase)
		}
		return err
	})
	w.letGo(t, "submitter", "submitter")
	x := wait()
	if x.Status != "SUCCEEDED" || string(x.Output["train"]) != `{"n":1}` || x.Steps[0].Attempts != 1 {
		t.Errorf("%s %s %s, output %s, steps %+v", x.Status, x.Error, x.Cause, x.Output, x.Steps)
	}
	if after := len(w.rayJobIDs(t, "")); after != before {
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
		if err != nil && !kube.NotFound(err) { // as a try whose answer was lost leaves it
			t.Fatal(err)
		}
	}
}

// imageMissing: the pod never starts, and the cause is the kubelet's own.
func (w *world) imageMissing(t *testing.T) {
	w.neverStarts(t, "image", "{image: 'nowhere.invalid/none:1', command: [echo, hello]}", "nowhere.invalid/none:1")
}

func (w *world) claimMissing(t *testing.T) {
	w.neverStarts(t, "claim", "{command: [echo, hello], mounts: [{claim: lost, path: /lost}]}", "lost")
}

// neverStarts runs a job whose pod cannot start, and again with more time to tell why: a busy machine may take minutes. The
// last run counts.
func (w *world) neverStarts(t *testing.T, name, job, says string) {
	t.Helper()
	for seconds := 10; ; seconds *= 4 {
		dir := w.pipeline(t, name, fmt.Sprintf("  - name: infer\n    job: %s\n    pendingTimeout: %ds\n", job, seconds))
		x := w.run(t, fmt.Sprint(name, seconds), dir)
		if seconds > 60 || strings.Contains(x.Cause, says) {
			failed(t, x, "Job.StartFailed", says)
			w.nothingRuns(t)
			return
		}
		t.Logf("within %d s: %s: %s", seconds, x.Error, x.Cause)
	}
}

// stopped: rayorch stop ends the job on Ray, too, by the cleanup machine.
func (w *world) stopped(t *testing.T) {
	for _, mode := range modes {
		dir := w.pipeline(t, "stopped-"+mode, w.counting("train", 300, ""))
		wait := w.started(t, "stopped-"+mode, "train", "line 2", dir, "--submit", mode)
		said := w.must(t, "stop", "stopped-"+mode).Stdout
		if x := wait(); x.Status != "ABORTED" {
			t.Errorf("%s: %s", mode, x.Status)
		}
		w.stopTold(t, mode, said)
		w.nothingRuns(t)
	}
}

// stopTold: what became of the Job that was stopped stands beside the history, and which execution cleared the rest away.
func (w *world) stopTold(t *testing.T, mode, said string) {
	t.Helper()
	told := w.must(t, "history", "stopped-"+mode).Stdout
	_, after, _ := strings.Cut(told, "  ExecutionAborted ")
	if !strings.Contains(after, "  CleanupStarted ") {
		t.Errorf("%s: the history ends with %s", mode, after)
	}
	deleted := "deleted the job r" // the submitter's
	if mode == "job" && (!strings.Contains(after, deleted) || !strings.Contains(said, deleted) || !strings.Contains(said, "its pods have ended")) {
		t.Errorf("%s: stop says %s\nand the history ends with %s", mode, said, after)
	}
}

// hangs stops a part of the cluster for a while. The run waits it out.
func (w *world) hangs(t *testing.T, part string, pause time.Duration) {
	if !w.c.Here {
		t.Skip("SKIPPED: only the cluster of e2e/cluster can be stopped")
	}
	name := strings.ReplaceAll(part, "-", "")
	dir := w.pipeline(t, name, w.counting("train", 20, "")+w.counting("infer", 1, ""))
	for _, mode := range modes {
		run := name + "-" + mode
		wait := w.started(t, run, "train", "line 2", dir, "--submit", mode)
		resume := w.c.Pause(t, part)
		<-time.After(pause) // how long it hangs is the fault, not a wait for something
		resume()
		w.letGo(t, name, run)
		x := wait()
		if x.Status != "SUCCEEDED" || len(x.Output) != 2 {
			t.Errorf("%s: %s %s %s, output %s", mode, x.Status, x.Error, x.Cause, x.Output)
		}
		for _, s := range x.Steps {
			if s.Attempts > 1 {
				t.Errorf("%s: %s took %d attempts", mode, s.Name, s.Attempts)
			}
		}
		w.nothingRuns(t)
	}
}

// revoked removes the rights half-way. A runner without rights cannot stop the job either: it ends by itself. A watch that is open
// goes on, so that by way job it is the next step that cannot be made.
func (w *world) revoked(t *testing.T) {
	for _, mode := range modes {
		dir := w.pipeline(t, "revoked-"+mode, w.counting("train", 20, "")+w.counting("infer", 1, ""))
		w.must(t, "apply", dir, "-t", "kubernetes", "--submit", mode)
		narrow := w.kubeconfig(t, "rayorch-revoked-"+mode)
		w.may(t, narrow, mode, true)
		wait := w.started(t, "revoked-"+mode, "train", "line 2", dir, "--submit", mode, "--kubeconfig", narrow)
		binding := kube.ObjectPath("rbac.authorization.k8s.io/v1", w.namespace, "rolebindings", "rayorch-revoked-"+mode)
		if err := w.c.Remove(clustertest.Context(t), binding, ""); err != nil {
			t.Fatal(err)
		}
		w.may(t, narrow, mode, false)
		w.letGo(t, "revoked-"+mode, "revoked-"+mode)
		x := wait()
		if x.Status != "FAILED" || !strings.Contains(x.Cause, "forbidden") || !strings.Contains(x.Cause, "cannot") {
			t.Errorf("%s: %s %s: %s", mode, x.Status, x.Error, x.Cause)
		}
		t.Logf("%s: %s %s", mode, x.Error, x.Cause)
		w.nothingRuns(t)
	}
}

// headDeleted: the job dies with the head, the operator makes a new one. Without a retry that is the run's failure; with
// one the step runs again on the new head.
func (w *world) headDeleted(t *testing.T, mode string) {
	retried := mode == "job"
	more := ""
	if retried {
		more = "    retry: {attempts: 3, interval: 5s, errors: [Ray.HeadLost, Ray.Unreachable]}\n"
	}
	dir := w.pipeline(t, "head-"+mode, w.counting("train", 25, more))
	wait := w.started(t, "head-"+mode, "train", "line 2", dir, "--submit", mode)
	was, begin := w.session(t, ""), time.Now()
	w.deletePods(t, w.pods(t, "ray.io/node-type=head"), 0)
	w.session(t, was)
	slow := time.Since(begin) > time.Minute // the definitions wait for two
	if retried {
		w.letGo(t, "head-"+mode, "head-"+mode) // the next attempt: the first has died with its head
	}
	x := wait()
	switch {
	case !retried && slow && x.Error == "Ray.Unreachable":
		t.Log("the next head came too late for this machine to tell that it is another one")
	case !retried:
		failed(t, x, "Ray.HeadLost")
	case x.Status != "SUCCEEDED" || x.Steps[0].Attempts != 2:
		t.Errorf("%s %s %s: %+v", x.Status, x.Error, x.Cause, x.Steps)
	}
	w.nothingRuns(t)
}

// session waits for a head whose session is another than was, and gives it.
func (w *world) session(t *testing.T, was string) (session string) {
	t.Helper()
	clustertest.Until(clustertest.Context(t), t, "a Ray other than "+was, func() error {
		res, err := w.c.Do(clustertest.Context(t), kube.Request{Path: w.ray.API + "api/version"})
		if err == nil {
			session, err = sessionOf(res.Body, was)
		}
		return err
	})
	return session
}

// may waits until the API server goes by what was granted to an account, or taken from it.
func (w *world) may(t *testing.T, kubeconfig, mode string, granted bool) {
	t.Helper()
	c, err := kube.Open(kube.Config{Kubeconfig: kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	rule := map[string]kube.Rule{
		"job":    {Verb: "create", Group: "batch", Resource: "jobs", Namespace: w.namespace},
		"proxy":  {Verb: "get", Resource: "services/proxy", Name: w.ray.Head + ":8265", Namespace: w.namespace},
		"rayjob": {Verb: "create", Group: "ray.io", Resource: "rayjobs", Namespace: w.namespace},
	}[mode]
	clustertest.Until(clustertest.Context(t), t, "the rights of the account", func() error {
		answers, err := c.Can(clustertest.Context(t), []kube.Rule{rule})
		if err == nil && answers[0].Allowed != granted {
			err = fmt.Errorf("%s: allowed is %v", rule, answers[0].Allowed)
		}
		return err
	})
}

func (w *world) namespaceDeleted(t *testing.T) {
	dir := w.pipeline(t, "namespace", w.counting("train", 60, ""))
	wait := w.started(t, "namespace", "train", "line 2", dir)
	if err := w.c.Remove(clustertest.Context(t), "/api/v1/namespaces/"+w.namespace, ""); err != nil {
		t.Fatal(err)
	}
	x := wait()
	if x.Status != "FAILED" || !strings.Contains(x.Cause, "deleted it, or its namespace") {
		t.Errorf("%s %s: %s", x.Status, x.Error, x.Cause)
	}
	t.Logf("%s: %s", x.Error, x.Cause)
}

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

// countingStep returns a step that prints a line per second until release is called, for at most an hour, and then returns an output. If
// the test has no access to the storage, the step ends after the given number of seconds. more is added to the step.
func (w *world) countingStep(name string, seconds int, more string) string {
	if w.c.Local {
		seconds = 3600
	}
	return fmt.Sprintf("  - name: %s\n    ray: {entrypoint: 'for i in $(seq %d); do echo line $i; sleep 1; [ ! -e \"$RAYORCH_STORAGE/go\" ] || break; done; "+
		"echo \"{\\\"n\\\":1}\" > \"$RAYORCH_OUTPUT\"'}\n%s", name, seconds, more)
}

// TestRay runs all tests that need a Ray on the same Ray, which shows that each test leaves it in a working state: the three submission
// modes, kills of rayorch, and then faults that occur while a job runs.
func TestRay(t *testing.T) {
	w := newWorld(t)
	t.Run("modes", w.modes)
	t.Run("doctor", w.doctor)
	t.Run("killed", w.kills)
	t.Run("submitter deleted", w.submitterDeleted)
	t.Run("image missing", w.imageMissing)
	t.Run("claim missing", func(t *testing.T) { needsFull(t); w.claimMissing(t) })
	t.Run("stopped", func(t *testing.T) { needsFull(t); w.stopped(t) })
	t.Run("dashboard", func(t *testing.T) { needsFull(t); w.dashboard(t) })
	t.Run("api server hangs", func(t *testing.T) { needsFull(t); w.hangs(t, "kube-apiserver", 12*time.Second) })
	t.Run("kubelet hangs", func(t *testing.T) { needsFull(t); w.hangs(t, "kubelet", 15*time.Second) })
	t.Run("permissions revoked", func(t *testing.T) { needsFull(t); w.revoked(t) })
	for _, mode := range modes {
		t.Run("head deleted in mode "+mode, func(t *testing.T) {
			if mode != "job" {
				needsFull(t)
			}
			w.headDeleted(t, mode)
		})
	}
	t.Run("namespace deleted", func(t *testing.T) { needsFull(t); w.namespaceDeleted(t) })
}

// submitterDeleted deletes the pod of the submitter. The job on Ray must continue, and the next pod must find it and not submit another.
func (w *world) submitterDeleted(t *testing.T) {
	dir := w.pipeline(t, "submitter", w.countingStep("train", 12, ""))
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
	w.release(t, "submitter", "submitter")
	x := wait()
	if x.Status != "SUCCEEDED" || string(x.Output["train"]) != `{"n":1}` || x.Steps[0].Attempts != 1 {
		t.Errorf("status %s, error %s, cause %s, output %s, steps %+v; want SUCCEEDED with one attempt", x.Status, x.Error, x.Cause, x.Output, x.Steps)
	}
	if after := len(w.rayJobIDs(t, "")); after != before {
		t.Errorf("Ray has %d jobs, want %d", after, before)
	}
	w.nothingRuns(t)
}

// pods returns the names of the pods that a label selector matches, of which there must be at least one.
func (w *world) pods(t *testing.T, selector string) []string {
	t.Helper()
	var pods struct{ Items []kube.Pod }
	w.list(t, kube.CollectionPath("v1", w.namespace, "pods"), selector, &pods)
	var names []string
	for _, p := range pods.Items {
		names = append(names, p.Metadata.Name)
	}
	if len(names) == 0 {
		t.Fatalf("no pod matches %s", selector)
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
		if err != nil && !kube.NotFound(err) { // a retry does not find it if the response was lost
			t.Fatal(err)
		}
	}
}

// imageMissing runs a job whose image does not exist. The cause must contain the kubelet's reason.
func (w *world) imageMissing(t *testing.T) {
	w.neverStarts(t, "image", "{image: 'nowhere.invalid/none:1', command: [echo, hello]}", "nowhere.invalid/none:1")
}

// claimMissing runs a job whose claim does not exist.
func (w *world) claimMissing(t *testing.T) {
	w.neverStarts(t, "claim", "{command: [echo, hello], mounts: [{claim: lost, path: /lost}]}", "lost")
}

// neverStarts runs a job whose pod cannot start, and checks that the cause contains a text. If it does not, it runs again with a longer
// pendingTimeout, because Kubernetes can take minutes to report the reason on a busy machine. The last run counts.
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
		t.Logf("with pendingTimeout %d s: %s: %s", seconds, x.Error, x.Cause)
	}
}

// stopped checks that rayorch stop also stops the job on Ray, with the cleanup machine.
func (w *world) stopped(t *testing.T) {
	for _, mode := range modes {
		dir := w.pipeline(t, "stopped-"+mode, w.countingStep("train", 300, ""))
		wait := w.started(t, "stopped-"+mode, "train", "line 2", dir, "--submit", mode)
		output := w.must(t, "stop", "stopped-"+mode).Stdout
		if x := wait(); x.Status != "ABORTED" {
			t.Errorf("%s: status %s, want ABORTED", mode, x.Status)
		}
		w.checkCleanupReport(t, mode, output)
		w.nothingRuns(t)
	}
}

// checkCleanupReport checks that rayorch history and stop show the cleanup report: what happened to the stopped Job, and which execution
// of the cleanup machine stopped the rest.
func (w *world) checkCleanupReport(t *testing.T, mode, stopOutput string) {
	t.Helper()
	history := w.must(t, "history", "stopped-"+mode).Stdout
	_, after, _ := strings.Cut(history, "  ExecutionAborted ")
	if !strings.Contains(after, "  CleanupStarted ") {
		t.Errorf("%s: the history ends with %s, want CleanupStarted", mode, after)
	}
	deleted := "deleted the job r" // the Job of the submitter
	if mode == "job" && (!strings.Contains(after, deleted) || !strings.Contains(stopOutput, deleted) || !strings.Contains(stopOutput, "its pods have ended")) {
		t.Errorf("%s: stop printed %s\nand the history ends with %s\nwant %q in both", mode, stopOutput, after, deleted)
	}
}

// hangs pauses a component of the cluster for a while. The run must wait and then continue with the same attempt.
func (w *world) hangs(t *testing.T, part string, pause time.Duration) {
	if !w.c.Local {
		t.Skip("SKIPPED: only components of the cluster of e2e/cluster can be paused")
	}
	name := strings.ReplaceAll(part, "-", "")
	dir := w.pipeline(t, name, w.countingStep("train", 20, "")+w.countingStep("infer", 1, ""))
	for _, mode := range modes {
		run := name + "-" + mode
		wait := w.started(t, run, "train", "line 2", dir, "--submit", mode)
		resume := w.c.Pause(t, part)
		<-time.After(pause) // the duration is part of the fault, not a wait for a condition
		resume()
		w.release(t, name, run)
		x := wait()
		if x.Status != "SUCCEEDED" || len(x.Output) != 2 {
			t.Errorf("%s: status %s, error %s, cause %s, output %s; want SUCCEEDED with two outputs", mode, x.Status, x.Error, x.Cause, x.Output)
		}
		for _, s := range x.Steps {
			if s.Attempts > 1 {
				t.Errorf("%s: %s took %d attempts, want 1", mode, s.Name, s.Attempts)
			}
		}
		w.nothingRuns(t)
	}
}

// revoked removes the permissions during a run, which must fail. A runner without permissions cannot stop the job, so the job ends by
// itself. An open watch stays open, so in mode job, creating the Job of the next step fails.
func (w *world) revoked(t *testing.T) {
	for _, mode := range modes {
		dir := w.pipeline(t, "revoked-"+mode, w.countingStep("train", 20, "")+w.countingStep("infer", 1, ""))
		w.must(t, "apply", dir, "-t", "kubernetes", "--submit", mode)
		narrow := w.kubeconfig(t, "rayorch-revoked-"+mode)
		w.may(t, narrow, mode, true)
		wait := w.started(t, "revoked-"+mode, "train", "line 2", dir, "--submit", mode, "--kubeconfig", narrow)
		binding := kube.ObjectPath("rbac.authorization.k8s.io/v1", w.namespace, "rolebindings", "rayorch-revoked-"+mode)
		if err := w.c.Remove(clustertest.Context(t), binding, ""); err != nil {
			t.Fatal(err)
		}
		w.may(t, narrow, mode, false)
		w.release(t, "revoked-"+mode, "revoked-"+mode)
		x := wait()
		if x.Status != "FAILED" || !strings.Contains(x.Cause, "forbidden") || !strings.Contains(x.Cause, "cannot") {
			t.Errorf("%s: status %s, error %s, cause %s; want FAILED because of missing permissions", mode, x.Status, x.Error, x.Cause)
		}
		t.Logf("%s: %s %s", mode, x.Error, x.Cause)
		w.nothingRuns(t)
	}
}

// headDeleted deletes the head while a job runs, which kills the job; the operator creates a new head. Without a retry, the run must fail;
// with a retry (in mode job), the step must run again on the new head.
func (w *world) headDeleted(t *testing.T, mode string) {
	retried := mode == "job"
	more := ""
	if retried {
		more = "    retry: {attempts: 3, interval: 5s, errors: [Ray.HeadLost, Ray.Unreachable]}\n"
	}
	dir := w.pipeline(t, "head-"+mode, w.countingStep("train", 25, more))
	wait := w.started(t, "head-"+mode, "train", "line 2", dir, "--submit", mode)
	old, begin := w.session(t, ""), time.Now()
	w.deletePods(t, w.pods(t, "ray.io/node-type=head"), 0)
	w.session(t, old)
	slow := time.Since(begin) > time.Minute // the definitions wait two minutes for a head
	if retried {
		w.release(t, "head-"+mode, "head-"+mode) // the next attempt, because the first has ended with its head
	}
	x := wait()
	switch {
	case !retried && slow && x.Error == "Ray.Unreachable":
		t.Log("this machine was too slow: the new head was not ready in time for the run to detect that it is a different one")
	case !retried:
		failed(t, x, "Ray.HeadLost")
	case x.Status != "SUCCEEDED" || x.Steps[0].Attempts != 2:
		t.Errorf("status %s, error %s, cause %s, steps %+v; want SUCCEEDED with two attempts", x.Status, x.Error, x.Cause, x.Steps)
	}
	w.nothingRuns(t)
}

// session waits for a head whose Ray session differs from old, and returns the name of the session.
func (w *world) session(t *testing.T, old string) (session string) {
	t.Helper()
	clustertest.Until(clustertest.Context(t), t, "a Ray session other than "+old, func() error {
		res, err := w.c.Do(clustertest.Context(t), kube.Request{Path: w.ray.API + "api/version"})
		if err == nil {
			session, err = newSession(res.Body, old)
		}
		return err
	})
	return session
}

// may waits until the API server applies a change of an account's permissions: until the account may (granted), or may no longer, use the
// submission mode.
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
	clustertest.Until(clustertest.Context(t), t, "the changed permissions of the account", func() error {
		answers, err := c.Can(clustertest.Context(t), []kube.Rule{rule})
		if err == nil && answers[0].Allowed != granted {
			err = fmt.Errorf("%s: allowed is %v, want %v", rule, answers[0].Allowed, granted)
		}
		return err
	})
}

// namespaceDeleted deletes the namespace during a run, which must fail with a cause that says so.
func (w *world) namespaceDeleted(t *testing.T) {
	dir := w.pipeline(t, "namespace", w.countingStep("train", 60, ""))
	wait := w.started(t, "namespace", "train", "line 2", dir)
	if err := w.c.Remove(clustertest.Context(t), "/api/v1/namespaces/"+w.namespace, ""); err != nil {
		t.Fatal(err)
	}
	x := wait()
	if x.Status != "FAILED" || !strings.Contains(x.Cause, "was deleted, or its namespace was deleted") {
		t.Errorf("status %s, error %s, cause %s; want FAILED because the namespace was deleted", x.Status, x.Error, x.Cause)
	}
	t.Logf("%s: %s", x.Error, x.Cause)
}

package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

var modes = []string{"job", "proxy", "rayjob"}

// shakespeare copies the example, replaces its target with that of the test, and returns the directory.
func (w *world) shakespeare(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(w.Dir, "shakespeare")
	if err := os.CopyFS(dir, os.DirFS("../../examples/shakespeare")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pipeline.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok1 := strings.Cut(string(text), "storage:")
	_, after, ok2 := strings.Cut(string(text), "steps:\n")
	if !ok1 || !ok2 {
		t.Fatal("the example has no storage or steps")
	}
	if i := strings.Index(after, "  - name:"); i > 0 {
		after = after[i:] // the parameter named steps comes first
	}
	if err := os.WriteFile(file, []byte(before+w.target(t)+"steps:\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// modes runs the example in each submission mode, as the service account that apply created for it. The permissions of the Role must be
// sufficient, and other requests must be rejected.
func (w *world) modes(t *testing.T) {
	dir := w.shakespeare(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			w.must(t, "apply", dir, "-t", "kubernetes", "--submit", mode)
			narrow := w.kubeconfig(t, "rayorch-shakespeare")
			w.may(t, narrow, mode, true)
			w.must(t, "run", dir, "-t", "kubernetes", "--submit", mode, "--name", mode, "--kubeconfig", narrow,
				"-p", "steps=40", "-p", "batch=512", "-p", "length=40", "-p", "workers=1", "-p", "prompts=HAMLET.|It's $(me)")
			w.checkShakespeare(t, mode)
			w.nothingRuns(t)
			w.checkForbidden(t, mode, narrow)
		})
	}
	w.unapply(t, dir)
}

// checkShakespeare checks the outputs of the example, its checkpoint on the claim, its steps, and that its log is available after the pods
// are deleted.
func (w *world) checkShakespeare(t *testing.T, name string) {
	t.Helper()
	x := w.describe(t, name)
	var train, infer struct {
		Checkpoint, Run string
		Steps           int
		Texts           []struct{ Prompt string }
	}
	if json.Unmarshal(x.Output["train"], &train) != nil || json.Unmarshal(x.Output["infer"], &infer) != nil {
		t.Fatalf("status %s, error %s, cause %s, output %s; want an output of both steps", x.Status, x.Error, x.Cause, x.Output)
	}
	if train.Steps != 40 || infer.Checkpoint != train.Checkpoint || infer.Run != name || !strings.HasPrefix(train.Checkpoint, "/data/") {
		t.Errorf("train returned %+v, infer %+v; want 40 steps, and the same checkpoint", train, infer)
	}
	if len(infer.Texts) != 2 || infer.Texts[1].Prompt != "It's $(me)" {
		t.Errorf("got the texts %+v, want one for each of the two prompts", infer.Texts)
	}
	if w.c.Local {
		if _, err := os.Stat(filepath.Join(w.claim.Dir, strings.TrimPrefix(train.Checkpoint, "/data/"))); err != nil {
			t.Errorf("the checkpoint is not on the claim: %v", err)
		}
	}
	w.deleteRun(t) // rayorch stores the log, so that it is available after the pods are deleted
	if log := w.must(t, "logs", name, "--step", "train").Stdout; !strings.Contains(log, "metric loss=") {
		t.Errorf("the log of train does not contain a metric: %.500s", log)
	}
	var steps []string
	for _, s := range x.Steps {
		if s.Name != "Place files" {
			steps = append(steps, s.Name)
		}
	}
	if strings.Join(steps, " ") != "train infer" {
		t.Errorf("got the steps %v, want train and infer once", steps)
	}
}

// deleteRun deletes the Jobs and RayJobs of the pipeline and waits until their pods are deleted.
func (w *world) deleteRun(t *testing.T) {
	t.Helper()
	const pipeline = "rayorch.dev/pipeline=shakespeare"
	for _, path := range []string{kube.JobsPath(w.namespace), kube.CollectionPath("ray.io/v1", w.namespace, "rayjobs")} {
		_, err := w.c.Do(clustertest.Context(t), kube.Request{
			Method: http.MethodDelete, Path: path, Query: url.Values{"labelSelector": {pipeline}, "propagationPolicy": {"Background"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Until(clustertest.Context(t), t, "the end of the run's pods", func() error {
		var pods struct{ Items []kube.Pod }
		w.list(t, kube.CollectionPath("v1", w.namespace, "pods"), pipeline, &pods)
		for _, p := range pods.Items {
			return fmt.Errorf("the pod %s exists and is %s", p.Metadata.Name, p.Status.Phase)
		}
		return nil
	})
}

// checkForbidden sends requests that the submission mode does not need, all of which the API server must reject.
func (w *world) checkForbidden(t *testing.T, mode, kubeconfig string) {
	t.Helper()
	c, err := kube.Open(kube.Config{Kubeconfig: kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	const configMap, pod = `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}`, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}`
	core := func(resource string) string { return kube.CollectionPath("v1", w.namespace, resource) }
	requests := map[string]kube.Request{
		"list secrets":        {Path: core("secrets")},
		"list config maps":    {Path: core("configmaps")},
		"create a config map": {Method: http.MethodPost, Path: core("configmaps"), Body: []byte(configMap)},
		"create a pod":        {Method: http.MethodPost, Path: core("pods"), Body: []byte(pod)},
		"delete pods":         {Method: http.MethodDelete, Path: core("pods")},
		"delete all jobs":     {Method: http.MethodDelete, Path: kube.JobsPath(w.namespace)},
		"read a Ray cluster":  {Path: kube.ObjectPath("ray.io/v1", w.namespace, "rayclusters", "ray")},
		"create a role":       {Method: http.MethodPost, Path: kube.CollectionPath("rbac.authorization.k8s.io/v1", w.namespace, "roles"), Body: []byte(`{}`)},
		"jobs elsewhere":      {Path: kube.JobsPath("default")},
		"another service":     {Path: kube.ObjectPath("v1", w.namespace, "services", "other:8265") + "/proxy/"},
		"run a command":       {Method: http.MethodPost, Path: kube.ObjectPath("v1", w.namespace, "pods", "x") + "/exec"},
	}
	if mode == "job" {
		requests["reach Ray"] = kube.Request{Path: w.ray.API + "api/version"}
	}
	if mode != "rayjob" {
		requests["list RayJobs"] = kube.Request{Path: kube.CollectionPath("ray.io/v1", w.namespace, "rayjobs")}
	}
	for what, r := range requests {
		if _, err := c.Do(clustertest.Context(t), r); kube.Code(err) != http.StatusForbidden {
			t.Errorf("%s: got %v, want status 403", what, err)
		}
	}
}

// unapply checks that rayorch unapply deletes the objects that apply created, and no objects of others.
func (w *world) unapply(t *testing.T, dir string) {
	t.Helper()
	foreign := clustertest.Object("v1", "ConfigMap", w.namespace, "foreign", kube.Object{})
	foreign["metadata"].(map[string]any)["labels"] = map[string]any{"app.kubernetes.io/managed-by": "rayorch", "rayorch.dev/pipeline": "shakespeare"}
	if _, err := w.c.Client.Apply(clustertest.Context(t), []kube.Object{foreign}, kube.ApplyOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	out := w.must(t, "unapply", dir, "-t", "kubernetes").Stdout
	if !strings.Contains(out, "ConfigMap "+w.namespace+"/foreign left as it is") || !strings.Contains(out, "Role "+w.namespace+"/rayorch-shakespeare deleted") {
		t.Errorf("unapply: want the foreign ConfigMap left as it is and the Role deleted, got:\n%s", out)
	}
	for _, resource := range []string{"configmaps", "serviceaccounts"} {
		var left struct{ Items []kube.Object }
		w.list(t, kube.CollectionPath("v1", w.namespace, resource), ours, &left)
		for _, o := range left.Items {
			if kube.Name(o) != "foreign" {
				t.Errorf("%s %s was not deleted", resource, kube.Name(o))
			}
		}
	}
}

package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/e2e/command"
)

// TestContexts runs a pipeline whose second step has a different context. Both contexts are for the same cluster, but with different users
// and permissions: the user in an error shows which context a step, or a command, used.
func TestContexts(t *testing.T) {
	needsFull(t)
	t.Parallel()
	c := clustertest.Start(t)
	w := &world{Sandbox: command.New(t, nil), c: c, namespace: c.Restricted(t)}
	c.Apply(t, clustertest.Object("v1", "ServiceAccount", w.namespace, "second", nil))
	w.use(w.contexts(t, map[string]any{"token": c.Token(t, w.namespace, "second")}))
	dir := w.pipeline(t, "two", "  - {name: here, job: {shell: 'echo 1 > $RAYORCH_OUTPUT'}}\n"+
		"  - {name: there, job: {shell: 'echo 2 > $RAYORCH_OUTPUT'}, context: second}\n")
	file := filepath.Join(dir, "pipeline.yaml") // plain jobs without a claim
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "two/pipeline.yaml", strings.Replace(string(text), "storage: {path: /data, claim: }\n", "", 1))

	w.says(t, 1, []string{"context first:", "context second:", "FAIL  permissions", "create, get, list, delete, watch jobs.batch; ",
		"--runner serviceaccount:" + w.namespace + "/second\n"},
		"doctor", dir, "-t", "kubernetes")
	failed(t, w.run(t, "refused", dir), "Job.StartFailed", "system:serviceaccount:"+w.namespace+":second")
	runner := "serviceaccount:" + w.namespace + "/second"
	w.says(t, 1, []string{"Role " + w.namespace + "/rayorch-two created", "context second: ", "forbidden"},
		"apply", dir, "-t", "kubernetes", "--runner", runner)
	admin := w.contexts(t, nil)
	w.says(t, 0, nil, "unapply", dir, "-t", "kubernetes", "--kubeconfig", admin)
	w.says(t, 0, []string{"context first:\n", "context second:\n", "+kind: Role\n"},
		"apply", dir, "-t", "kubernetes", "--runner", runner, "--diff", "--kubeconfig", admin)
	w.says(t, 0, []string{"context first:\nRole", "created\ncontext second:\nRole", "unchanged"},
		"apply", dir, "-t", "kubernetes", "--runner", runner, "--kubeconfig", admin)
	clustertest.Until(clustertest.Context(t), t, "the new permissions", func() error { // the API server applies them a little later
		if res := w.Run(t.Context(), t, "doctor", dir, "-t", "kubernetes"); res.Code != 0 {
			return fmt.Errorf("exit code %d: %s%s", res.Code, res.Stdout, res.Stderr)
		}
		return nil
	})
	w.says(t, 0, []string{"context second:", "ok    permissions"}, "doctor", dir, "-t", "kubernetes")
	x := w.run(t, "granted", dir)
	if x.Status != "SUCCEEDED" || string(x.Output["here"]) != "1" || string(x.Output["there"]) != "2" {
		t.Errorf("status %s, error %s, cause %s, output %s; want SUCCEEDED, here 1 and there 2", x.Status, x.Error, x.Cause, x.Output)
	}
	w.nothingRuns(t) // Kubernetes records the end of the last Job later than the end of the run
	w.says(t, 0, []string{"context first:\n", "rayorch-two deleted", "context second:\n"},
		"unapply", dir, "-t", "kubernetes", "--kubeconfig", admin)
}

// contexts writes a kubeconfig with the contexts first and second for the cluster, and returns its path. second is the user of the second
// context; nil means the user of the first.
func (w *world) contexts(t *testing.T, second map[string]any) string {
	t.Helper()
	text, err := os.ReadFile(w.c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var admin struct {
		Clusters []struct{ Cluster map[string]any }
		Users    []struct{ User map[string]any }
	}
	if err := yaml.Unmarshal(text, &admin); err != nil || len(admin.Clusters) != 1 || len(admin.Users) != 1 {
		t.Fatalf("the kubeconfig %s must have one cluster and user: %v", w.c.Kubeconfig, err)
	}
	if second == nil {
		second = admin.Users[0].User
	}
	context := func(name string) any {
		return map[string]any{"name": name, "context": map[string]any{"cluster": "c", "user": name}}
	}
	text, err = json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "first",
		"clusters": []any{map[string]any{"name": "c", "cluster": admin.Clusters[0].Cluster}},
		"users": []any{
			map[string]any{"name": "first", "user": admin.Users[0].User}, map[string]any{"name": "second", "user": second},
		},
		"contexts": []any{context("first"), context("second")},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// says runs a command and checks its exit code and that its output contains the words. If the API server did not respond, because other
// tests pause it, the command runs again.
func (w *world) says(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	res := w.Run(t.Context(), t, args...)
	for range 3 {
		if !strings.Contains(res.Stdout+res.Stderr, "reachable from this machine") {
			break
		}
		res = w.Run(t.Context(), t, args...)
	}
	if res.Code != code {
		t.Errorf("rayorch %s: exit code %d, want %d", strings.Join(args, " "), res.Code, code)
	}
	out := res.Stdout + res.Stderr
	t.Logf("rayorch %s\n%s", strings.Join(args, " "), out)
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("the output does not contain %q", word)
		}
	}
}

package clustertest_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// TestRayCluster checks what other tests rely on: a Ray that requires a token, and a claim that is a directory of this machine.
func TestRayCluster(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	claim := c.Claim(t, ns)
	r := c.RayCluster(t, ns, clustertest.RayOptions{Token: true, Claim: claim.Name, NoWorker: true})
	_, err := c.Do(clustertest.Context(t), kube.Request{Path: r.API + "api/version"})
	if kube.Code(err) != 401 || r.Token == "" {
		t.Errorf("without the token %q, got %v, want status 401", r.Token, err)
	}
	pods, err := c.Do(clustertest.Context(t), kube.Request{Path: "/api/v1/namespaces/" + ns + "/pods"})
	if err != nil || !strings.Contains(string(pods.Body), "/data") {
		t.Errorf("no pod mounts the claim: %v", err)
	}
	if c.Local {
		if err := os.WriteFile(filepath.Join(claim.Dir, "here"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestEnvironment checks that the parent of the cluster's first process did not inherit the environment of the test run that
// started it: tools/check identifies the processes of a run by their environment, and the cluster outlives the run.
func TestEnvironment(t *testing.T) {
	if !clustertest.Start(t).Local {
		t.Skip("needs the cluster of e2e/cluster")
	}
	node, err := os.ReadFile("/run/rayorch-cluster-" + cmp.Or(os.Getenv("RAYORCH_CLUSTER_NAME"), "rayorch") + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/" + strings.TrimSpace(string(node)) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, parent, _ := strings.Cut(string(status), "PPid:\t")
	parent, _, _ = strings.Cut(parent, "\n")
	environ, err := os.ReadFile("/proc/" + parent + "/environ")
	if err != nil || !strings.Contains(string(environ), "RAYORCH_CLUSTER_CACHE=") {
		t.Fatalf("process %s has the environment %q, %v, want RAYORCH_CLUSTER_CACHE in it", parent, environ, err)
	}
	for kv := range strings.SplitSeq(strings.Trim(string(environ), "\x00"), "\x00") {
		if name, _, _ := strings.Cut(kv, "="); name != "PATH" && !strings.HasPrefix(name, "RAYORCH_CLUSTER_") {
			t.Errorf("process %s inherited the variable %s", parent, name)
		}
	}
}

package clustertest_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/kube"
)

// TestRayCluster holds the helper to what other tests rely on: a Ray with a token, and a claim that is a directory here.
func TestRayCluster(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	claim := c.Claim(t, ns)
	r := c.RayCluster(t, ns, clustertest.RayOptions{Token: true, Claim: claim.Name, NoWorker: true})
	_, err := c.Do(clustertest.Context(t), kube.Request{Path: r.API + "api/version"})
	if kube.Code(err) != 401 || r.Token == "" {
		t.Errorf("without the token %q it answers %v", r.Token, err)
	}
	pods, err := c.Do(clustertest.Context(t), kube.Request{Path: "/api/v1/namespaces/" + ns + "/pods"})
	if err != nil || !strings.Contains(string(pods.Body), "/data") {
		t.Errorf("no pod mounts the claim: %v", err)
	}
	if c.Here {
		if err := os.WriteFile(filepath.Join(claim.Dir, "here"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestEnvironment looks at the process that waits for the cluster's first one. It outlives whoever started it, so nothing
// of their environment may be in it: that is how a test run knows what it left behind.
func TestEnvironment(t *testing.T) {
	if !clustertest.Start(t).Here {
		t.Skip("the cluster is another's")
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
		t.Fatalf("process %s has %q, %v", parent, environ, err)
	}
	for kv := range strings.SplitSeq(strings.Trim(string(environ), "\x00"), "\x00") {
		if name, _, _ := strings.Cut(kv, "="); name != "PATH" && !strings.HasPrefix(name, "RAYORCH_CLUSTER_") {
			t.Errorf("process %s has %s of whoever started the cluster", parent, name)
		}
	}
}

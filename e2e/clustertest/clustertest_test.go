package clustertest_test

import (
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

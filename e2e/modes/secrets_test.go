package modes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// TestSecrets passes a secret to jobs in all submission modes, and searches for its value where users without access to Secrets could
// read it: in the records of Ray, and in the other objects of the namespace.
func TestSecrets(t *testing.T) {
	needsFull(t)
	const secret = "s3cr3t-of-the-namespace"
	w := &shared{Cluster: clustertest.Start(t)}
	w.namespace, w.image = w.Restricted(t), w.RayImage(t)
	w.Apply(t, clustertest.Object("v1", "Secret", w.namespace, "keys", kube.Object{"stringData": map[string]any{"KEY": secret}}))
	ray := w.RayCluster(t, w.namespace, clustertest.RayOptions{Name: "ray", Secret: "keys", NoWorker: true})
	own := w.ownCluster("rayjob", w.clusterSpec())
	// The step also checks that a Ray task inherits the secret from the driver.
	const steps = `
secrets: {KEY: {kubernetesSecret: {name: keys, key: KEY}POD}, NONE: {kubernetesSecret: {name: keys, key: KEY}, inRayPods: true}}
steps:
- name: one
  ray:
    entrypoint: >-
      python3 -c 'import json, os, ray; f = ray.remote(lambda: len(os.environ["KEY"])); ray.init(log_to_driver=False);
      json.dump(ray.get(f.remote()), open(os.environ["RAYORCH_OUTPUT"], "w"))'
    secrets: [KEY]
`
	for _, c := range []struct {
		name, mode, head, pod string
		records               bool
	}{
		{"job in Ray's pods", "job", unclaimed, ", inRayPods: true", false},
		{"proxy in Ray's pods", "proxy", unclaimed, ", inRayPods: true", false},
		{"rayjob in Ray's pods", "rayjob", unclaimed, ", inRayPods: true", false},
		{"rayjob in its own cluster", "rayjob", own, "", false},
		{"job through the submitter", "job", unclaimed, "", true}, // last, because its job record, which shows the value, stays in Ray
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.open(t).start(t, c.head+strings.Replace(steps, "POD", c.pod, 1), t.TempDir(), c.mode, "{}")
			r.want(t, stepfn.Succeeded, fmt.Sprintf(`{"one":%d}`, len(secret)))
			for _, path := range []string{
				kube.CollectionPath("v1", w.namespace, "pods"), kube.CollectionPath("v1", w.namespace, "configmaps"), kube.CollectionPath("v1", w.namespace, "events"),
				kube.CollectionPath("batch/v1", w.namespace, "jobs"), kube.CollectionPath("ray.io/v1", w.namespace, "rayjobs"), kube.CollectionPath("ray.io/v1", w.namespace, "rayclusters"),
				ray.API + "api/jobs/",
			} {
				res, err := w.Do(clustertest.Context(t), kube.Request{Path: path})
				shown, want := strings.Contains(string(res.Body), secret), c.records && path == ray.API+"api/jobs/"
				if err != nil || shown != want {
					t.Errorf("%s contains the value: %v, want %v; %v", path, shown, want, err)
				}
			}
		})
	}
	t.Run("not in Ray's pods", func(t *testing.T) {
		r := w.open(t).start(t, unclaimed+strings.Replace(strings.Replace(steps, "secrets: [KEY]", "secrets: [NONE]", 1), "POD", "", 1), t.TempDir(), "proxy", "{}")
		r.want(t, stepfn.Failed, "NONE", "inRayPods")
	})
}

package pipeline_test

import (
	"strings"
	"testing"
)

// inTarget returns a file that has a target of kind kubernetes with these fields.
func inTarget(fields string) string {
	return start + "targets: {c: {kind: kubernetes, " + fields + "}}\nsteps: [{name: a, job: {command: [x], image: y}}]\n"
}

// TestRayNames checks that names which would change the host or the URL path of Ray are errors.
func TestRayNames(t *testing.T) {
	for _, name := range []string{"..", "a/../../secrets", "a.b", "a:1", "-a", "a-", "A", "a%2f..", strings.Repeat("a", 64), "a?x"} {
		for field, kind := range map[string]string{"service": "Service", "cluster": "RayCluster"} {
			got := one(t, inTarget("ray: {"+field+": '"+name+"'}"))
			want := "targets.c.ray." + field + ": \"" + name + "\" is not a valid " + kind + " name"
			if !strings.Contains(got, want) {
				t.Errorf("%s %s: the error is %q, want one with %q", field, name, got, want)
			}
		}
	}
	if got := one(t, inTarget("ray: {service: kuberay-head-svc, cluster: r2}")); got != "" {
		t.Error(got)
	}
}

// TestReservedLabels checks that the keys by which a run finds its objects, and a Service its pods, are reserved.
func TestReservedLabels(t *testing.T) {
	for _, key := range []string{"app.kubernetes.io/managed-by", "rayorch.dev/execution", "rayorch.dev/x", "job-name", "controller-uid",
		"batch.kubernetes.io/job-name", "ray.io/node-type"} {
		got := one(t, inTarget("pods: {labels: {"+key+": x}}"))
		want := "targets.c.pods.labels." + key + ": is reserved; rayorch, Kubernetes and KubeRay set app.kubernetes.io/managed-by, rayorch.dev/*"
		if !strings.Contains(got, want) {
			t.Errorf("%s: the error is %q, want one with %q", key, got, want)
		}
	}
	if got := one(t, inTarget("pods: {annotations: {rayorch.dev/execution: x}}")); !strings.Contains(got, "is reserved") {
		t.Errorf("the error is %q", got)
	}
	if got := one(t, inTarget("pods: {labels: {team: ml, app.kubernetes.io/part-of: x, kueue.x-k8s.io/queue-name: q}, annotations: {ray.io/x: y}}")); got != "" {
		t.Error(got)
	}
}

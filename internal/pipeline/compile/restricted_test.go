package compile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// admission submits pods to a real API server in a dry run, so that nothing is created. It submits pods instead of Jobs, because the API
// server only warns about the pods of a Job.
type admission struct {
	*clustertest.Cluster
	namespace string
}

// refuses returns the error with which the API server rejects a pod, or nil if it admits the pod.
func (a admission) refuses(t *testing.T, spec map[string]any) error {
	t.Helper()
	spec = maps.Clone(spec)
	delete(spec, "serviceAccountName") // it may not exist
	spec["restartPolicy"] = "Never"
	body, err := json.Marshal(clustertest.Object("v1", "Pod", a.namespace, "p", kube.Object{"spec": spec}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Do(clustertest.Context(t), kube.Request{Method: "POST", Path: kube.CollectionPath("v1", a.namespace, "pods"),
		Query: url.Values{"dryRun": {"All"}}, Body: body})
	return err
}

// TestRestricted checks that a namespace which enforces the Pod Security Standard "restricted" admits all pods that a run creates, and the
// Ray cluster of the example.
func TestRestricted(t *testing.T) {
	c := clustertest.Start(t)
	a := admission{c, c.Restricted(t)}
	all := shipped(t)
	pods := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for of, spec := range podSpecs(t, all[name]) {
			pods++
			if err := a.refuses(t, asMap(t, spec)); err != nil {
				t.Errorf("%s: the pod of %s: %v", name, of, err)
			}
		}
	}
	for _, file := range []string{"../../../deploy/kubernetes/rayorch.yaml", "../../../examples/kubernetes/ray.yaml"} {
		for _, spec := range templates(t, file) {
			pods++
			if err := a.refuses(t, spec); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if pods < 30 {
		t.Errorf("only %d pods were tested", pods)
	}
}

func asMap(t *testing.T, o *value.Object) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal(value.Bytes(o), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// templates returns the specs of all pod templates in a file of manifests.
func templates(t *testing.T, file string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o map[string]any
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, templatesIn(o)...)
	}
	if len(out) == 0 {
		t.Errorf("%s has no pods", file)
	}
	return out
}

func templatesIn(v any) []map[string]any {
	var out []map[string]any
	switch v := v.(type) {
	case map[string]any:
		if spec, ok := kube.Field(v, "template", "spec").(map[string]any); ok {
			out = append(out, spec)
		}
		for _, item := range v {
			out = append(out, templatesIn(item)...)
		}
	case []any:
		for _, item := range v {
			out = append(out, templatesIn(item)...)
		}
	}
	return out
}

const strictContext = "runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}"

// refusedContexts are security contexts of all kinds, some of which a level rejects.
var refusedContexts = []string{
	"{}", "{" + strictContext + "}", "{" + strictContext + ", runAsUser: 0}", "{" + strictContext + ", runAsUser: 1, fsGroup: 0}",
	"{runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, allowPrivilegeEscalation: false, capabilities: {drop: [NET_RAW]}}",
	"{runAsNonRoot: true, seccompProfile: {type: Localhost, localhostProfile: p}, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}",
	"{runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [CHOWN]}}",
	"{runAsNonRoot: true, seccompProfile: {type: Unconfined}, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}",
	"{runAsNonRoot: false, seccompProfile: {type: RuntimeDefault}, allowPrivilegeEscalation: true, capabilities: {drop: [ALL]}}",
	"{privileged: true}", "{capabilities: {add: [SYS_ADMIN]}}", "{capabilities: {add: [CHOWN]}}", "{privileged: true, fsGroup: 7}",
}

// TestRefusedByPodSecurity compares the doctor's checks of security contexts with the decisions of a real API server.
func TestRefusedByPodSecurity(t *testing.T) {
	c := clustertest.Start(t)
	const text = head + "\ntargets: {c: {kind: kubernetes, jobImage: x}}\nsteps: [{name: a, job: {shell: x, securityContext: CONTEXT}}]\n"
	for _, level := range []string{"baseline", "restricted"} {
		a := admission{c, c.Namespace(t)}
		c.Apply(t, kube.Object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": a.namespace,
			"labels": map[string]any{"pod-security.kubernetes.io/enforce": level}}})
		for _, context := range refusedContexts {
			r, err := inCluster(t, strings.Replace(text, "CONTEXT", context, 1), compile.Options{Target: "c"})
			if err != nil {
				t.Fatal(err)
			}
			said := r.Pods[0].Refused(level)
			var refused error
			for _, spec := range podSpecs(t, r) {
				refused = a.refuses(t, asMap(t, spec))
			}
			if (refused == nil) != (said == nil) {
				t.Errorf("%s, %s: doctor reports %q, the API server returns %v", level, context, said, refused)
			}
			for _, what := range said {
				if refused != nil && !strings.Contains(refused.Error(), what) {
					t.Errorf("%s, %s: doctor reports %q, the API server returns %v", level, context, what, refused)
				}
			}
		}
	}
}

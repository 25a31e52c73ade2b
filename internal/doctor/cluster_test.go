package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// TestPodSecurity verifies that doctor names the pods that a namespace rejects.
func TestPodSecurity(t *testing.T) {
	p, err := pipeline.Decode("f", []byte(`
version: 1
name: p
targets: {c: {kind: kubernetes, jobImage: x}}
steps:
- {name: a, job: {shell: x, securityContext: {privileged: true}}}
- {name: b, job: {shell: x}, onFailure: {job: {shell: x, securityContext: {runAsNonRoot: true}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(p, compile.Options{Target: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for level, want := range map[string][]string{
		"":           nil,
		"privileged": {"the namespace enforces privileged and admits the pods"},
		"baseline":   {"the namespace enforces baseline and rejects the pods of step a: privileged"},
		"restricted": {
			"the namespace enforces restricted and rejects the pods of step a: privileged, allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile",
			"the namespace enforces restricted and rejects the pods of onFailure of step b: allowPrivilegeEscalation != false, unrestricted capabilities, seccompProfile",
		},
	} {
		c := Cluster{Compiled: r, space: kube.Object{"metadata": map[string]any{"labels": map[string]any{"pod-security.kubernetes.io/enforce": level}}}}
		var got []string
		for _, r := range Run(t.Context(), []Check{{Run: c.podSecurity, Fix: "fix"}}) {
			got = append(got, r.Found)
			if r.OK != (level == "privileged") || r.OK != (r.Advice == "") {
				t.Errorf("%s: %+v", level, r)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", level, diff)
		}
	}
	if got := (&Cluster{Compiled: r}).podSecurity(t.Context()); got != nil {
		t.Errorf("a namespace that cannot be read: %+v", got)
	}
}

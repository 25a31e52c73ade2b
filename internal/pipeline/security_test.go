package pipeline_test

import (
	"strings"
	"testing"
)

// TestSecurityContext checks that a security context accepts the fields that Kubernetes has for pods and containers, and no others.
func TestSecurityContext(t *testing.T) {
	for text, want := range map[string]string{
		"{}": "",
		"{runAsUser: 0, runAsNonRoot: false, fsGroup: 100, capabilities: {add: [NET_ADMIN]}, supplementalGroups: [1, 2], seccompProfile: {type: Unconfined}}": "",
		"{runAsUser: root}":       "targets.c.pods.securityContext.runAsUser: expected an integer that is at least 0, got \"root\"",
		"{runAsUser: -1}":         "expected an integer that is at least 0, got -1",
		"{runAsNonRoot: 'no'}":    "expected true or false",
		"{capabilities: [ALL]}":   "expected a map",
		"{runasuser: 0}":          "targets.c.pods.securityContext.runasuser: unknown field; did you mean runAsUser?",
		"none":                    "expected a map with the fields of a security context",
		"{runAsUser: 1, fs: ''}":  "unknown field",
		"{supplementalGroups: 1}": "expected a list",
	} {
		if got := one(t, inTarget("pods: {securityContext: "+text+"}")); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: the error is %q, want one with %q", text, got, want)
		}
		job := strings.Replace(inTarget("jobImage: x"), "image: y", "securityContext: "+text+", automountServiceAccountToken: true", 1)
		want = strings.Replace(want, "targets.c.pods", "steps[0].job", 1)
		if got := one(t, job); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: the error is %q, want one with %q", text, got, want)
		}
	}
}

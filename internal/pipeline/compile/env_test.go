package compile_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

const emptyEnv = head + `
targets:
	here: {kind: local}
	cluster: {kind: kubernetes, ray: {service: head-svc}, jobImage: busybox}
steps:
- name: a
	job: {shell: 'echo "[$GREETING]"', env: {GREETING: "", OTHER: x}}
	onFailure: {ray: {entrypoint: "true", env: {QUIET: ""}}}
- {name: b, ray: {entrypoint: "true", env: {CUDA_VISIBLE_DEVICES: ""}}}
`

func TestEmptyStringInEnv(t *testing.T) {
	out := run(t, head+`
steps: [{name: a, job: {shell: 'echo "\"${GREETING-unset}\"" >$RAYORCH_OUTPUT', env: {GREETING: ""}}}]
`, "{}")
	out.wantOutput(t, `{"a": ""}`)

	definitions := map[string][]byte{"local": build(t, emptyEnv, compile.Options{Target: "here"}).Definition}
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		r, err := inCluster(t, emptyEnv, compile.Options{Target: "cluster", Submit: mode})
		if err != nil {
			t.Fatal(err)
		}
		definitions[mode] = r.Definition
	}
	for name, definition := range definitions { // valid, as build and inCluster check
		for _, want := range []string{"'GREETING': ''", "'QUIET': ''", "'CUDA_VISIBLE_DEVICES': ''"} {
			if !strings.Contains(string(definition), want) {
				t.Errorf("%s does not contain %s", name, want)
			}
		}
	}
}

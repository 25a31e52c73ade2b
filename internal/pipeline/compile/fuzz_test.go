package compile_test

import (
	"os"
	"testing"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// FuzzCompile checks that every pipeline which Decode accepts compiles to a definition that package asl can parse.
func FuzzCompile(f *testing.F) {
	cluster, err := os.ReadFile("testdata/cluster.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(cluster), paramsText, integersText, treeText, head + "steps:\n" + step("a", `{"v":[1]}`, "") + step("b", "1", `, when: "not steps.a.output.v[0] in [1]"`),
		head + "steps:\n- {name: a, job: {shell: x}, " + declared + "}\n- {name: b, when: steps.a.output.loss > steps.a.output.best.at, job: {shell: 'x ${{ steps.a.output.any[0] }}'}}\n",
		head + `
steps:
- {name: a, forEach: {items: [1, "${{ run.id }}"], toleratedFailures: 1, steps: [{name: b, after: [], job: {command: ["${{ item }}"]}}]}}
- {name: c, after: [], parallel: {maxConcurrency: 1, steps: [{name: d, ray: {entrypoint: x, runtimeEnv: {a: [b]}}}]}}
outputs: {x: "${{ steps.a.output[0].b }}", y: [1, "{%"]}
`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := pipeline.Decode("fuzz", data)
		if err != nil {
			return
		}
		for _, target := range append(p.Targets.Keys(), "") {
			for _, mode := range []string{"job", "proxy", "rayjob"} {
				fuzzed(t, p, compile.Options{Target: target, Submit: mode, BaseDir: "/base", StorageDir: "/storage", Pack: packed,
					Cluster: compile.Cluster{Name: "c", Endpoint: "https://e", CertificateAuthority: "Q0E="}})
			}
		}
	})
}

func fuzzed(t *testing.T, p *pipeline.Pipeline, o compile.Options) {
	t.Helper()
	r, err := compile.Compile(p, o)
	if err != nil {
		return // the target does not support the pipeline
	}
	for _, definition := range [][]byte{r.Definition, r.Cleanup} {
		if _, err := asl.Parse(definition); err != nil && definition != nil {
			t.Errorf("%v\n%s", err, definition)
		}
	}
}

package compile_test

import (
	"testing"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/pipeline"
)

// FuzzCompile holds that whatever Decode takes compiles to a definition that our parser takes.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{paramsText, head + "steps:\n" + step("a", `{"v":[1]}`, "") + step("b", "1", `, when: "not steps.a.output.v[0] in [1]"`),
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
		r, err := compile.Compile(p, compile.Options{BaseDir: "/base", StorageDir: "/storage"})
		if err != nil {
			return // a target of another kind, a secret without a source here
		}
		if _, err := asl.Parse(r.Definition); err != nil {
			t.Errorf("%v\n%s", err, r.Definition)
		}
	})
}

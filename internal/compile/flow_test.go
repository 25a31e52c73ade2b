package compile_test

import (
	"strings"
	"testing"
)

const head = "version: 1\nname: p\n"

// give is a plain job that gives a JSON value as its output.
func give(json string) string {
	return `{job: {shell: 'printf %s ` + strings.ReplaceAll(`"`+strings.ReplaceAll(json, `"`, `\"`)+`"`, "'", "''") + ` > $RAYORCH_OUTPUT'}`
}

func step(name, json, more string) string {
	return "- {name: " + name + ", " + give(json)[1:] + more + "}\n"
}

func TestTwoStepsHandOver(t *testing.T) {
	r := run(t, head+`
params:
	epochs: {type: integer, default: 3, min: 1}
	rate: {type: number, default: 0.5}
steps:
- name: train
	ray:
		entrypoint: |
			echo training ${{ params.epochs }}
			printf '{"checkpoint":\n"%s/%s","loss":%s}' "$RAYORCH_STORAGE" $RAYORCH_ATTEMPT $RAYORCH_PARAM_RATE > $RAYORCH_OUTPUT
- name: infer
	ray:
		entrypoint: printf '{"from":"%s", "of":%s}' ${{ steps.train.output.checkpoint }} "$RAYORCH_OUTPUTS" > $RAYORCH_OUTPUT
outputs:
	from: ${{ steps.infer.output.from }}
	loss: ${{ steps.infer.output.of.train.loss }}
	missing: ${{ steps.infer.output.nothing }}
	text: loss ${{ steps.train.output.loss }} of run ${{ run.id }}
`, `{"epochs": 5}`)
	storage := get(r.calls[0], "RuntimeEnv", "env_vars", "RAYORCH_STORAGE").(string)
	r.wantOutput(t, `{"from":"`+storage+`/1","loss":0.5,"missing":null,"text":"loss 0.5 of run run1"}`)
	if !strings.HasSuffix(storage, "/p/run1") || !strings.Contains(r.logs, "training 5") {
		t.Errorf("storage %s, logs %s", storage, r.logs)
	}
}

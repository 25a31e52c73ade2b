package progresstest

const (
	job  = ", job: {shell: x}"
	both = "{name: both, parallel: {steps: [{name: a" + job + "}, {name: b" + job + "}]}}"
	// each is a forEach over two items with two steps.
	each = "{name: each, forEach: {items: [1, 2], steps: [{name: a" + job + "}, {name: b" + job + "}]}}"
)

// Stories cover the ways in which steps of a pipeline can end, by name.
var Stories = map[string]Story{
	"all is well": {
		Steps: both + ", {name: end" + job + "}",
		Want:  []string{"a succeeded", "b succeeded", "end succeeded"},
	},
	"begins to run": {
		Steps: "{name: a" + job + "}",
		Jobs:  map[string]string{"a": "waits"},
		Then:  []string{"look at once", "a: 1"},
		Want:  []string{"a pending", "then", "a succeeded"},
	},
	"waits for a long time": {
		Steps: "{name: a" + job + "}",
		Jobs:  map[string]string{"a": "waits"},
		Then:  []string{"look", "a: 1"},
		Want:  []string{"a pending", "then", "a succeeded"},
	},
	"failed": {
		Steps: "{name: a" + job + "}, {name: b" + job + "}",
		Jobs:  map[string]string{"a": "fails"},
		Want:  []string{"a failed"},
	},
	"failed while another runs": {
		Steps: both,
		Jobs:  map[string]string{"a": "fails", "b": "hangs"},
		Want:  []string{"a failed", "b cancelled"},
	},
	"failed in an iteration": {
		Steps: each,
		Jobs:  map[string]string{"a[0]": "hangs", "b[1]": "fails"},
		Want:  []string{"a[0] cancelled", "a[1] succeeded", "b[1] failed"},
	},
	"failed in a parallel of an iteration": {
		Steps: "{name: each, forEach: {items: [1, 2], steps: [" + both + "]}}",
		Jobs:  map[string]string{"a[0]": "hangs", "b[0]": "hangs", "a[1]": "hangs", "b[1]": "fails"},
		Want:  []string{"a[0] cancelled", "b[0] cancelled", "a[1] cancelled", "b[1] failed"},
	},
	"failed while another waits to retry": {
		Steps: "{name: both, parallel: {steps: [{name: a, retry: {attempts: 3, interval: 1h}" + job + "}, {name: b" + job + "}]}}",
		Jobs:  map[string]string{"a": "fails", "b": "hangs"},
		Then:  []string{"look", "b: fails"},
		Want:  []string{"a retrying", "b running", "then", "a cancelled", "b failed"},
	},
	"failed after a retry": {
		Steps: "{name: both, parallel: {steps: [{name: a, retry: {attempts: 2, interval: 1m}" + job + "}, {name: b" + job + "}]}}",
		Jobs:  map[string]string{"a": "fails", "b": "hangs"},
		Then:  []string{"retry"},
		Want:  []string{"a failed", "b cancelled"},
	},
	"succeeded after a retry": {
		Steps: "{name: a, retry: {attempts: 3, interval: 1m}" + job + "}",
		Jobs:  map[string]string{"a": "fails 2 times"},
		Then:  []string{"look", "retry", "look"},
		Want:  []string{"a retrying", "then", "a retrying", "then", "a succeeded"},
	},
	"aborted": {
		Steps: "{name: both, parallel: {steps: [{name: a, retry: {attempts: 3, interval: 1h}" + job + "}, {name: b" + job + "}, {name: c" + job + "}]}}",
		Jobs:  map[string]string{"a": "fails", "b": "hangs"},
		Then:  []string{"abort"},
		Want:  []string{"a cancelled", "b cancelled", "c succeeded"},
	},
	"the run timed out": {
		Steps: both,
		Jobs:  map[string]string{"a": "hangs"},
		Then:  []string{"timeout"},
		Want:  []string{"a cancelled", "b succeeded"},
	},
	"redriven after a failure": {
		Steps: both + ", {name: end" + job + "}",
		Jobs:  map[string]string{"a": "fails", "b": "hangs"},
		Then:  []string{"look", "a: 1", "b: hangs", "redrive", "look", "b: 1"},
		Want: []string{"a failed", "b cancelled", "then", "a succeeded", "b running", "then",
			"a succeeded", "b succeeded", "end succeeded"},
	},
	"redriven after an abort, then failed": {
		Steps: each,
		Jobs:  map[string]string{"a[0]": "hangs", "a[1]": "hangs"},
		Then:  []string{"abort", "look", "redrive", "a[0]: 1", "look", "a[1]: fails"},
		Want:  []string{"a[0] cancelled", "a[1] cancelled", "then", "a[0] succeeded", "a[1] running", "b[0] succeeded", "then", "a[0] succeeded", "a[1] failed", "b[0] succeeded"},
	},
	"failed in one of two iterations again after a redrive": {
		Steps: each,
		Jobs:  map[string]string{"a[0]": "hangs", "b[1]": "fails"},
		Then:  []string{"end", "look", "redrive"},
		Want: []string{"a[0] cancelled", "a[1] succeeded", "b[1] failed", "then",
			"a[0] cancelled", "a[1] succeeded", "b[1] failed"},
	},
	"skipped": {
		Steps: "{name: a" + job + "}, {name: b, when: steps.a.output.x > 1" + job + "}, {name: c" + job + "}",
		Jobs:  map[string]string{"a": `{"x": 1}`},
		Want:  []string{"a succeeded", "b skipped", "c succeeded"},
	},
	"refers to a missing output": {
		Steps: "{name: a" + job + "}, {name: b, job: {shell: 'x ${{ steps.a.output.y }}'}}, {name: c" + job + "}",
		Jobs:  map[string]string{"a": `{"x": 1}`},
		Want:  []string{"a succeeded", "b failed"},
	},
	"refers to a missing output while another runs": {
		Steps: "{name: a" + job + "}, {name: both, parallel: {steps: [{name: c" + job + "}, {name: b, job: {shell: 'x ${{ steps.a.output.y }}'}}]}}",
		Jobs:  map[string]string{"c": "hangs"},
		Want:  []string{"a succeeded", "c cancelled", "b failed"},
	},
	"refers to a missing output, in an iteration": {
		Steps: "{name: each, forEach: {items: [1, 2], steps: [{name: a" + job + "}, {name: b, job: {shell: 'x ${{ steps.a.output.y }}'}}]}}",
		Jobs:  map[string]string{"a[0]": "hangs", "a[1]": "{}"},
		Want:  []string{"a[0] cancelled", "a[1] succeeded", "b[1] failed"},
	},
	"refers to a missing output, cleaned up": {
		Steps: "{name: a" + job + "}, {name: b, job: {shell: 'x ${{ steps.a.output.y }}'}, onFailure: {job: {shell: x}}}",
		Want:  []string{"a succeeded", "b failed", "Clean up after b succeeded"},
	},
	"refers to a missing output, tolerated": {
		Steps: "{name: a" + job + "}, {name: both, parallel: {toleratedFailures: 1, steps: [{name: b, job: {shell: 'x ${{ steps.a.output.y }}'}}, {name: c" + job + "}]}}",
		Want:  []string{"a succeeded", "b failed (tolerated)", "c succeeded"},
	},
	"an invalid output": {
		Steps: "{name: a, output: {x: string}" + job + "}, {name: b" + job + "}",
		Jobs:  map[string]string{"a": `{"x": 1}`},
		Want:  []string{"a failed"},
	},
	"an invalid output, retried": {
		Steps: "{name: a, output: {x: string}, retry: {attempts: 3, interval: 1m, errors: [Step.OutputInvalid]}" + job + "}, {name: b" + job + "}",
		Jobs:  map[string]string{"a": `{"x": 1}`},
		Then:  []string{"look", `a: {"x": "y"}`, "retry"},
		Want:  []string{"a retrying", "then", "a succeeded", "b succeeded"},
	},
	"an invalid output while another runs": {
		Steps: "{name: both, parallel: {steps: [{name: a, output: {x: string}" + job + "}, {name: b" + job + "}]}}",
		Jobs:  map[string]string{"a": "1", "b": "hangs"},
		Want:  []string{"a failed", "b cancelled"},
	},
	"an invalid output, cleaned up": {
		Steps: "{name: a, output: {x: string}, onFailure: {job: {shell: x}}" + job + "}",
		Jobs:  map[string]string{"a": "1"},
		Want:  []string{"a failed", "Clean up after a succeeded"},
	},
	"a valid output": {
		Steps: "{name: a, output: {x: string, y: {type: integer, default: 1}}" + job + "}, {name: b" + job + "}",
		Jobs:  map[string]string{"a": `{"x": "y"}`},
		Want:  []string{"a succeeded", "b succeeded"},
	},
	"skipped for a key that is missing": {
		Steps: "{name: a" + job + "}, {name: b, when: steps.a.output.y > 1" + job + "}, {name: c, when: not (steps.a.output.y > 1)" + job + "}",
		Jobs:  map[string]string{"a": `{"x": 1}`},
		Want:  []string{"a succeeded", "b skipped", "c succeeded"},
	},
	"skipped in iterations": {
		Steps: "{name: each, forEach: {items: [1, 2], steps: [{name: a, when: item == 2" + job + "}]}}",
		Want:  []string{"a[0] skipped", "a[1] succeeded"},
	},
	"skipped group": {
		Steps: "{name: a" + job + "}, {name: both, when: steps.a.output == 1, parallel: {steps: [{name: b" + job + "}, {name: c" + job + "}]}}",
		Want:  []string{"a succeeded", "both skipped"},
	},
	"cleaned up": {
		Steps: "{name: a, onFailure: {job: {shell: x}}" + job + "}",
		Jobs:  map[string]string{"a": "fails", "cleanup a": "hangs"},
		Then:  []string{"look", "cleanup a: 1"},
		Want:  []string{"a failed", "Clean up after a running", "then", "a failed", "Clean up after a succeeded"},
	},
	"the cleanup failed": {
		Steps: "{name: both, parallel: {steps: [{name: a, onFailure: {job: {shell: x}}" + job + "}, {name: b" + job + "}]}}",
		Jobs:  map[string]string{"a": "fails", "b": "hangs", "cleanup a": "fails"},
		Want:  []string{"a failed", "b cancelled", "Clean up after a failed"},
	},
	"redriven after a cleanup": {
		Steps: "{name: both, parallel: {steps: [{name: a, onFailure: {job: {shell: x}}" + job + "}, {name: b" + job + "}]}}, {name: end" + job + "}",
		Jobs:  map[string]string{"a": "fails", "b": "hangs"},
		Then:  []string{"a: 1", "redrive", "look", "b: 1"},
		Want: []string{"a failed", "b running", "Clean up after a succeeded", "a succeeded", "then",
			"a failed", "b succeeded", "Clean up after a succeeded", "a succeeded", "end succeeded"},
	},
	"tolerated": {
		Steps: "{name: both, parallel: {toleratedFailures: 1, steps: [{name: a" + job + "}, {name: b" + job + "}]}}, {name: end" + job + "}",
		Jobs:  map[string]string{"a": "hangs", "b": "fails"},
		Then:  []string{"look", "a: 1"},
		Want:  []string{"a running", "b failed (tolerated)", "then", "a succeeded", "b failed (tolerated)", "end succeeded"},
	},
	"tolerated, with a cleanup": {
		Steps: "{name: both, parallel: {toleratedFailures: 1, steps: [{name: a" + job + "}, {name: b, onFailure: {job: {shell: x}}" + job + "}]}}",
		Jobs:  map[string]string{"b": "fails"},
		Want:  []string{"a succeeded", "b failed (tolerated)", "Clean up after b succeeded"},
	},
	"tolerated, a whole group": {
		Steps: "{name: all, parallel: {toleratedFailures: 1, steps: [{name: c" + job + "}, " + both + "]}}",
		Jobs:  map[string]string{"a": "fails", "b": "hangs"},
		Want:  []string{"c succeeded", "a failed (tolerated)", "b cancelled"},
	},
	"more than are tolerated": {
		Steps: "{name: both, parallel: {toleratedFailures: 1, maxConcurrency: 2, steps: [{name: a" + job + "}, {name: b" + job + "}]}}",
		Jobs:  map[string]string{"a": "fails", "b": "fails"},
		Want:  []string{"a[0] failed", "b[1] failed"},
	},
	"tolerated in iterations": {
		Steps: "{name: each, forEach: {items: [1, 2, 3], toleratedFailures: 1, steps: [{name: a" + job + "}, {name: b" + job + "}]}}, {name: end" + job + "}",
		Jobs:  map[string]string{"b[1]": "fails"},
		Want: []string{"a[0] succeeded", "a[1] succeeded", "a[2] succeeded", "b[0] succeeded", "b[1] failed (tolerated)", "b[2] succeeded",
			"end succeeded"},
	},
	"a tolerated failure, then a redrive of another": {
		Steps: "{name: both, parallel: {toleratedFailures: 1, steps: [{name: a" + job + "}, {name: b" + job + "}]}}, {name: end" + job + "}",
		Jobs:  map[string]string{"a": "fails", "end": "fails"},
		Then:  []string{"look", "end: 1", "redrive"},
		Want:  []string{"a failed (tolerated)", "b succeeded", "end failed", "then", "a failed (tolerated)", "b succeeded", "end succeeded"},
	},
	"a missing output in the environment": {
		Steps: `{name: a` + job + `}, {name: b, job: {shell: x, env: {X: "${{ steps.a.output.x }}"}}}`,
		Want:  []string{"a succeeded", "b failed"},
	},
	"a group refers to a missing output": {
		Steps: `{name: a` + job + `}, {name: both, parallel: {steps: [{name: c` + job + `}, {name: d` + job + `}, {name: each, after: [d], forEach: {items: "${{ steps.a.output.x }}", steps: [{name: b` + job + `}]}}]}}`,
		Jobs:  map[string]string{"c": "hangs"},
		Want:  []string{"a succeeded", "c cancelled", "d succeeded", "each failed"},
	},
	"a missing output in the environment while another runs": {
		Steps: `{name: a` + job + `}, {name: both, parallel: {steps: [{name: c` + job + `}, {name: b, job: {shell: x, env: {X: "${{ steps.a.output.x }}"}}}]}}`,
		Jobs:  map[string]string{"c": "hangs"},
		Want:  []string{"a succeeded", "c cancelled", "b failed"},
	},
}

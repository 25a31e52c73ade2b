package compile_test

import (
	"testing"

	"github.com/rayorch/rayorch/internal/value"
)

// TestConditionsLeaveWhatTheyFound holds the history to what the views of a run read: why a step was skipped, and which
// keys the condition did not find.
func TestConditionsLeaveWhatTheyFound(t *testing.T) {
	const missing = `steps.a.output.lost, which step a did not return (it returned: v, list)`
	for cond, want := range map[string]string{
		"steps.a.output.v > params.n": `{"values":{"steps.a.output.v":1,"params.n":3},"missing":[]}`,
		"params.n == 4":               `{"values":{"params.n":3},"missing":[]}`,
		"steps.a.output.lost > 1":     `{"values":{"steps.a.output.lost":null},"missing":["` + missing + `"]}`,
		"steps.a.output.lost and steps.a.output['lost'] and steps.a.output.lost == 2": `{"values":{"steps.a.output.lost":null,"steps.a.output['lost']":null},
			"missing":["` + missing + `","steps.a.output['lost'], which step a did not return (it returned: v, list)"]}`,
		"steps.a.output.lost != null":   `{"values":{"steps.a.output.lost":null},"missing":[]}`,
		"steps.a.output.v == null":      `{"values":{"steps.a.output.v":1},"missing":[]}`,
		"steps.a.output.list[3] > 1":    `{"values":{"steps.a.output.list[3]":null},"missing":["steps.a.output.list[3], which step a did not return (it returned: {\"v\":1,\"list\":[7]})"]}`,
		"steps.a.output.v.x":            `{"values":{"steps.a.output.v.x":null},"missing":["steps.a.output.v.x, which step a did not return (it returned: {\"v\":1,\"list\":[7]})"]}`,
		"steps.none.output.x == 1":      `{"values":{"steps.none.output.x":null},"missing":["steps.none.output.x, which step none did not return (it returned: nothing)"]}`,
		"steps.text.output.x == 1":      `{"values":{"steps.text.output.x":null},"missing":["steps.text.output.x, which step text did not return (it returned: it's text)"]}`,
		"steps.empty.output.x == 1":     `{"values":{"steps.empty.output.x":null},"missing":["steps.empty.output.x, which step empty did not return (it returned: {})"]}`,
		"steps.skipped.output.x == 1":   `{"values":{"steps.skipped.output.x":null},"missing":[]}`,
		"not (steps.a.output.lost > 1)": `{"missing":["` + missing + `"]}`,
		"steps.a.output.lost != 1":      `{"missing":["` + missing + `"]}`,
		"steps.a.output.v != 2":         `{"missing":[]}`,
		"steps.a.output.lost == null":   `{"skipped":null}`,
		"params.n in [3]":               `{"skipped":null}`,
	} {
		t.Run(cond, func(t *testing.T) {
			r := run(t, head+"params: {n: {type: integer, default: 3}}\nsteps:\n"+step("a", `{"v":1,"list":[7]}`, "")+
				"- {name: none, job: {shell: 'true'}}\n"+step("text", `"it's text"`, "")+step("empty", `{}`, "")+
				step("skipped", `1`, ", when: params.n == 4")+step("b", `1`, `, when: "`+cond+`"`), `{}`)
			got, _ := r.output(t, "When b").(*value.Object)
			w, err := value.ParseObject([]byte(want))
			if err != nil {
				t.Fatal(err)
			}
			if w.Has("missing") {
				w.Set("condition", cond)
			}
			if !value.Equal(got, w) {
				t.Errorf("the condition left %s\nwant %s", value.Text(got), value.Text(w))
			}
		})
	}
}

package console_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/task"
)

// nightly is a definition with every type of state that contains others, a retry and a catcher.
var nightly = machine("prepare", object{
	"prepare": object{"Type": "Pass", "Next": "train"},
	"train":   work("both", object{"Retry": []any{object{"ErrorEquals": []any{"Flaky"}, "IntervalSeconds": 3600, "MaxAttempts": 2}}}),
	"both": object{"Type": "Parallel", "Next": "each", "Branches": []any{
		object{"StartAt": "left", "States": object{"left": work("")}},
		object{"StartAt": "right", "States": object{"right": work("", object{"Catch": []any{object{"ErrorEquals": []any{"States.ALL"}, "Next": "recovered"}}}), "recovered": object{"Type": "Pass", "End": true}}},
	}},
	"each": object{"Type": "Map", "ItemsPath": "$.items", "Next": "last", "ResultPath": nil,
		"ItemProcessor": object{"StartAt": "item", "States": object{"item": work("")}}},
	"last": work(""),
})

// states waits until the graph shows the states with these statuses and, after a comma, these words.
func (p *page) states(want map[string]string) {
	p.t.Helper()
	for name, shown := range want {
		status, words, _ := strings.Cut(shown, ", ")
		p.wait(fmt.Sprintf("(() => { const g = document.querySelector('g.box[data-state=' + JSON.stringify(%s) + ']'); return g.dataset.status === %s && g.textContent.includes(%s); })()", js(name), js(status), js(words)))
	}
}

// TestExecution watches an execution while it runs: the graph must show every status without a reload, and the attempts must be listed.
func TestExecution(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	train, left, right := s.gated("train"), s.gated("left"), s.gated("right")
	arn := s.start(s.machine("nightly", nightly), "one", `{"items":[1,2,3]}`)
	p := open(t, s.URL)
	p.to(execution(arn, ""))
	train.next()
	p.states(map[string]string{"prepare": "succeeded", "train": "running"})
	p.sees("h1", "one")
	p.sees(".status.big", "Running")
	p.sees(".link-state", "Live")
	p.sees(".state-panel h2", "train")
	p.wait(`document.querySelector(".state-panel a.button").href === "http://127.0.0.1:8265/#/jobs/sub-train-1"`)
	train.finish(task.Fail("Flaky", "try again"))
	p.states(map[string]string{"train": "retrying"}) // the interval is an hour of the engine's clock
	s.ahead.Store(int64(time.Hour))
	train.next()
	p.sees(".state-panel table", "Flaky")
	p.states(map[string]string{"train": "running, attempt 2"})
	train.finish(task.Result{Output: []byte(`{"items":["a","b","c"]}`)})
	left.next()
	right.next()
	p.states(map[string]string{"both": "running", "left": "running", "right": "running"})
	right.finish(task.Fail("Broken", "a cause"))
	p.states(map[string]string{"right": "caught", "recovered": "succeeded", "left": "running"})
	left.finish(task.Result{Output: []byte(`{}`)})
	p.states(map[string]string{"both": "succeeded", "left": "succeeded"})
	s.ended(arn) // the Map fails, because its input is an array without items
	p.sees(".status.big", "Failed")
	p.states(map[string]string{"each": "failed"})
}

// TestExecutionToItsEnd runs an execution with a Map, and checks all tabs of the page after its end.
func TestExecutionToItsEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	item, last := s.gated("item"), s.gated("last")
	arn := s.start(s.machine("mapped", machine("each", object{
		"each": object{"Type": "Map", "ItemsPath": "$.items", "Next": "last", "ItemProcessor": object{"StartAt": "item", "States": object{"item": work("")}}},
		"last": work(""),
	})), "two", `{"items":["a","b","c"],"big":12345678901234567890,"nested":{"deep":{"deeper":true}}}`)
	p := open(t, s.URL)
	p.to(execution(arn, ""))
	for range 3 {
		item.next()
	}
	p.states(map[string]string{"each": "running, 0 of 3 done", "item": "running, 3 times"})
	item.finish(task.Result{Output: []byte(`{"n":1}`)})
	p.states(map[string]string{"each": "running, 1 of 3 done"})
	item.finish(task.Result{Output: []byte(`{"n":2}`)})
	item.finish(task.Result{Output: []byte(`{"n":3}`)})
	last.next()
	last.finish(task.Result{Output: []byte(`{"result":"all good"}`)})
	p.sees(".status.big", "Succeeded")
	p.states(map[string]string{"each": "succeeded, 3 of 3 done", "item": "succeeded, 3 times", "last": "succeeded"})

	for _, bar := range []string{"each", "item[0]", "item[1]", "item[2]", "last"} {
		p.sees(".timeline-rows .row", bar)
	}
	p.button("Events")
	x := s.ended(arn)
	p.sees(".events .tools", fmt.Sprintf("%d events", x.LastEventID))
	p.fill("Filter events", "item[1]")
	p.sees(".events .tools", " of ")
	p.fill("Filter events", "MapStateEntered")
	p.wait(`document.querySelectorAll(".event-rows .row").length === 1`)
	p.do(`document.querySelector(".event-rows .row").click()`)
	p.sees(".event-detail", "nested")

	p.button("Input and output")
	p.sees(".data", "12345678901234567890") // without loss of precision
	p.sees(".data", `"all good"`)
	p.do(`[...document.querySelectorAll(".data details:not([open]) > summary")].forEach((n) => n.click())`)
	p.sees(".data", "deeper")

	p.button("Definition")
	p.sees(".definition-panel code", `"StartAt"`)
	p.wait(`document.querySelector(".definition-panel .j-key") !== null`)
	p.clickState("item")
	p.sees(".definition-panel .row.active", `"item"`)
	p.sees(".state-panel h2", "item[2]")
	p.fill("Entry of the state", "0")
	p.sees(".state-panel h2", "item[0]")
}

// TestSkippedAndTolerated checks that the page shows a skipped step with its condition, and a tolerated failure.
func TestSkippedAndTolerated(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.on("trial", func(context.Context, *task.Request) task.Result { return task.Fail("Broken", "for good") })
	comment := func(step string, role annotation.Role) string {
		return annotation.State{Step: step, Role: role}.Comment()
	}
	arn := s.start(s.machine("choosy", machine("condition", object{
		"condition": object{"Type": "Pass", "Result": object{"condition": "steps.eval.output.acc > 0.9", "values": object{"steps.eval.output.acc": 0.5},
			"missing": []any{"steps.eval.output.lost, which step eval did not return"}}, "Next": "promote?"},
		"promote?": object{"Type": "Choice", "Comment": comment("promote", annotation.Condition),
			"Choices": []any{object{"Variable": "$.never", "IsPresent": true, "Next": "promote"}}, "Default": "no promotion"},
		"no promotion": object{"Type": "Pass", "Comment": comment("promote", annotation.Skip), "Next": "around trial"},
		"promote":      work("around trial", object{"Comment": comment("promote", annotation.Run)}),
		"around trial": object{"Type": "Parallel", "Comment": comment("trial", annotation.Try), "Next": "gone wrong",
			"Branches": []any{object{"StartAt": "trial", "States": object{"trial": work("")}}},
			"Catch":    []any{object{"ErrorEquals": []any{"States.ALL"}, "Next": "gone wrong"}}},
		"gone wrong": object{"Type": "Pass", "Comment": comment("trial", annotation.Tolerated), "End": true},
	})), "one", `{}`)
	p := open(t, s.URL)
	p.to(execution(arn, ""))
	p.sees(".status.big", "Succeeded")
	p.states(map[string]string{"promote": "skipped", "trial": "failed, tolerated"})
	p.sees(".timeline-rows .row", "skipped")
	p.sees(".notice", "step promote was skipped: its condition refers to steps.eval.output.lost, which step eval did not return")
	p.clickState("promote")
	p.sees(".state-panel .status", "skipped")
	p.sees(".state-panel", "steps.eval.output.acc > 0.9 (steps.eval.output.acc is 0.5)")
	p.clickState("trial")
	p.sees(".state-panel .status", "failed (tolerated)")
	p.sees(".state-panel", "for good")
}

// TestLongInput checks that the page loads a long input or output, which the server leaves out, when a user opens it.
func TestLongInput(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	arn := s.start(s.machine("long", machine("a", object{"a": object{"Type": "Pass", "Next": "b"}, "b": object{"Type": "Pass", "Result": 1, "End": true}})), "one",
		text(object{"long": strings.Repeat("x", 5000), "end": "here it ends"}))
	p := open(t, s.URL)
	p.to(execution(arn, "?state=b"))
	p.sees(".state-panel h2", "b")
	p.sees(".state-panel .state-body section", "Output")
	p.button("Show input")
	p.sees(".state-panel", "here it ends")
	p.clickState("a")
	p.button("Show output")
	p.sees(".state-panel", "here it ends")
}

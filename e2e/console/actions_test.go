package console_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/task"
)

// withParams returns a definition with the parameters of a pipeline, for which the console shows a form.
func withParams(params object, start string, states object) string {
	return text(object{
		"Comment": text(object{"pipeline": "p", "description": "What it is for.", "params": object{"type": "object", "properties": params, "required": []string{"city"}}}),
		"StartAt": start, "States": states,
	})
}

// TestStartStopRedrive starts, stops and redrives an execution, each with a confirmation dialog.
func TestStartStopRedrive(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	g := s.gated("go")
	arn := s.machine("forms", withParams(object{
		"city":  object{"type": "string", "description": "Where."},
		"steps": object{"type": "integer", "default": 7, "minimum": 1},
		"rate":  object{"type": "number", "default": 0.5},
		"fast":  object{"type": "boolean", "default": false},
		"mode":  object{"type": "string", "enum": []string{"a", "b"}, "default": "a"},
		"tags":  object{"type": "array", "items": object{"type": "string"}, "default": []string{"x"}},
	}, "go", object{"go": work("")}))
	p := open(t, s.URL)
	p.to("#/machines")
	p.button("Start")
	p.sees("dialog", "What it is for.")
	p.fill("city", "Köln")
	p.fill("steps", "12")
	p.fill("mode", `"b"`)
	p.wait(`[...document.querySelectorAll("dialog label.field")].find((l) => l.textContent.startsWith("tags")).querySelector("input").value === '["x"]'`)
	p.fill("tags", `["x", "y"]`)
	p.do(`[...document.querySelectorAll("dialog label.field")].find((l) => l.textContent.startsWith("fast")).querySelector("input").click()`)
	p.button("JSON")
	p.wait(`document.querySelector("dialog textarea").value.includes("Köln")`)
	p.button("Form")
	p.fill("Name of the execution", "first")
	p.clickWhere("dialog button.primary", "Start")
	p.sees("h1", "first")
	req := g.next()
	started, err := s.eng.Describe(req.Execution)
	if want := `{"city":"Köln","fast":true,"mode":"b","rate":0.5,"steps":12,"tags":["x","y"]}`; err != nil || string(started.Input) != want {
		t.Errorf("the input is %s, want %s; %v", started.Input, want, err)
	}

	p.button("Stop")
	p.sees("dialog", "Stop first?")
	p.press("\x1b") // Escape closes the dialog without stopping the execution
	p.wait(`document.querySelector("dialog") === null`)
	p.button("Stop")
	p.fill("Cause", "enough <b>of it</b>")
	p.button("Stop the execution")
	p.sees(".status.big", "Aborted")
	p.sees(".problem.ended", "enough <b>of it</b>")
	p.states(map[string]string{"go": "cancelled"})
	p.button("Events") // the cleanup report follows the history, which ended before the work
	p.sees(".cleanup-report", "go: nothing is left <b>of it</b>")
	if x := s.ended(req.Execution); x.Status != "ABORTED" || !strings.Contains(x.Cause, "enough") {
		t.Errorf("status %s, cause %s, want ABORTED with the cause from the dialog", x.Status, x.Cause)
	}

	p.button("Redrive")
	p.sees("dialog", "Redrive first?")
	p.clickWhere("dialog button.primary", "Redrive")
	g.next()
	p.states(map[string]string{"go": "running"})
	p.sees(".facts", "Redriven")
	g.finish(task.Result{Output: []byte(`1`)})
	p.sees(".status.big", "Succeeded")
	p.wait(`![...document.querySelectorAll(".page-head button")].some((b) => b.textContent === "Redrive")`)

	// Starting again with the same name and a different input fails: the dialog shows the error, and stays open.
	p.allow("400")
	p.button("Start again")
	p.wait(`[...document.querySelectorAll("dialog input[type=number]")].some((n) => n.value === "12")`)
	p.fill("Name of the execution", "first")
	p.fill("steps", "13")
	p.clickWhere("dialog button.primary", "Start")
	p.sees("dialog .problem", "ExecutionAlreadyExists")
	p.button("JSON")
	p.fill("Input, JSON", `{"city": `)
	p.fill("Name of the execution", "third")
	p.clickWhere("dialog button.primary", "Start")
	p.sees("dialog .problem", "InvalidExecutionInput")
	p.button("Cancel")
	p.wait(`document.querySelector("dialog") === null`)
	_ = arn
}

// TestMissing checks that the pages of missing objects show the errors of the API, and that empty lists say so.
func TestMissing(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := open(t, s.URL)
	p.allow("400")
	p.to(execution("arn:aws:states:us-east-1:123456789012:execution:no:where", ""))
	p.sees(".problem", "ExecutionDoesNotExist")
	p.to("#/machine/arn:aws:states:us-east-1:123456789012:stateMachine:none")
	p.sees(".problem", "StateMachineDoesNotExist")
	p.to("#/nothing/at/all")
	p.sees(".problem", "This page does not exist")
	p.to("#/executions")
	p.sees(".empty", "No executions yet")
	p.to("#/machines")
	p.sees(".empty", "No state machines yet")
}

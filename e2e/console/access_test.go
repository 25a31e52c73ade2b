package console_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rayorch/rayorch/internal/task"
)

// places are all pages, with what shows that each has come.
func places(s *site, name string) map[string][2]string {
	bad := s.machine(name, asks(object{"city": object{"type": "string", "default": "x"}}, "a", object{
		"a": object{"Type": "Choice", "Choices": []any{object{"Variable": "$.x", "IsPresent": true, "Next": "b"}}, "Default": "c"},
		"b": work("c", object{"Catch": []any{object{"ErrorEquals": []any{"States.ALL"}, "Next": "c"}}}),
		"c": object{"Type": "Parallel", "End": true, "Branches": []any{object{"StartAt": "d", "States": object{"d": work("")}}, object{"StartAt": "e", "States": object{"e": work("")}}}},
	}))
	x := s.start(bad, "an-execution-with-a-name-that-is-as-long-as-names-get-in-practice", `{"x":{"y":[1,2,{"z":"some text that is rather long and goes on for a while"}]}}`)
	s.ended(x)
	arn := strings.ReplaceAll(bad, ":", "%3A")
	out := map[string][2]string{
		"executions": {"#/executions", ".row-name"},
		"machines":   {"#/machines", "tbody tr"},
		"machine":    {"#/machine/" + arn, "g.box"},
	}
	for _, tab := range []string{"timeline", "events", "logs", "metrics", "data", "definition"} {
		out["execution, "+tab] = [2]string{execution(x, "?state=b&tab="+tab), "g.box.failed"}
	}
	return out
}

// every goes through all pages; failing is one of them.
func every(s *site, p *page, name string, visit func(name string)) {
	s.on("b", func(_ context.Context, req *task.Request) task.Result {
		printLines(req.Log, 50, func(i int) string { return fmt.Sprintf("metric loss=%d accuracy=0.%d step=%d", 100-i, i, i) })
		return task.Fail("Odd", "it went wrong")
	})
	s.on("d", func(context.Context, *task.Request) task.Result {
		return task.Fail("Broken", strings.Repeat("a long cause ", 30))
	})
	for name, at := range places(s, "every-"+name) {
		p.to("#/none")
		p.sees(".problem", "This page does not exist")
		p.to(at[0])
		p.wait(fmt.Sprintf("document.querySelector(%s) !== null", js(at[1])))
		if strings.HasSuffix(name, "logs") {
			p.sees(".log .row", "metric")
		}
		visit(name)
	}
}

// TestAccessibility runs axe over every page and dialog, in both themes.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	axe := filepath.Join("..", "..", ".tools", "node", "node_modules", "axe-core", "axe.min.js")
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Skip("SKIPPED: axe-core is not here (make test-setup gets it)")
	}
	s := serve(t, nil)
	p := open(t, s.URL)
	check := func(what string) {
		t.Helper()
		if !eval[bool](p, `window.axe !== undefined`) { // a change of the fragment keeps it
			p.do(string(script))
		}
		found := eval[[]string](p, `(async () => (await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}))
			.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + v.help + ": " + n.html.slice(0, 200) + " | " + n.failureSummary)))()`)
		for _, violation := range found {
			t.Errorf("%s: %s", what, violation)
		}
	}
	for _, theme := range []string{"light", "dark"} {
		p.prefers(theme)
		every(s, p, theme, func(name string) { check(name + ", " + theme) })
		p.to("#/machines")
		p.button("Start")
		p.sees("dialog", "city")
		check("start, " + theme)
		p.to("#/none") // as the browser's Back does: a dialog goes with its page
		p.wait(`document.querySelector("dialog") === null`)
	}
}

// TestNarrow shows every page on a telephone: none is wider than it.
func TestNarrow(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := open(t, s.URL)
	p.size(375, 740)
	every(s, p, "narrow", func(name string) {
		if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > 375 {
			t.Errorf("%s is %d wide: %s", name, wide, eval[string](p, `[...document.querySelectorAll("main *")].filter((n) => n.getBoundingClientRect().right > 376 && !n.closest(".scroller, .graph-canvas, .tabs, .chips, .tree")).map((n) => n.tagName + "." + n.className).slice(0, 5).join(" ")`))
		}
	})
}

// TestKeyboard goes through the console without a pointer.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	arn := s.start(s.machine("keys", machine("first", object{"first": work("second"), "second": work("")})), "x", "{}")
	s.ended(arn)
	p := open(t, s.URL)
	p.to("#/executions")
	p.sees(".row-name", "x")
	p.press(kb.Tab)
	p.wait(`document.activeElement.id === "skip"`)
	p.press(kb.Enter)
	p.wait(`document.activeElement.id === "main"`)
	p.do(`document.querySelector(".list-panel .scroller").focus()`)
	p.press(kb.ArrowDown)
	p.wait(`document.getElementById(document.activeElement.getAttribute("aria-activedescendant"))?.textContent.includes("x")`)
	p.press(kb.Enter)
	p.sees("h1", "x")
	p.sees(".state-panel h2", "second")
	p.wait(`document.querySelector("g.box.succeeded") !== null`)
	p.do(`document.querySelector(".graph-canvas").focus()`)
	p.press(kb.ArrowUp)
	p.sees(".state-panel h2", "first")
	p.press(kb.ArrowDown)
	p.sees(".state-panel h2", "second")
	p.do(`document.getElementById("tab-timeline").focus()`)
	p.press(kb.ArrowRight)
	p.wait(`document.activeElement.id === "tab-events" && document.activeElement.getAttribute("aria-selected") === "true"`)
	p.do(`[...document.querySelectorAll(".page-head button")].find((b) => b.textContent === "Start again").focus()`)
	p.press(kb.Enter)
	p.wait(`document.querySelector("dialog").contains(document.activeElement)`)
	p.press(kb.Escape)
	p.wait(`document.querySelector("dialog") === null && document.activeElement.textContent === "Start again"`)
}

// TestThemes follows the system's theme until somebody chooses, and keeps the choice.
func TestThemes(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := open(t, s.URL)
	ground := func(want string) {
		t.Helper()
		p.wait(`getComputedStyle(document.body).backgroundColor === ` + js(want))
	}
	const light, dark = "rgb(245, 246, 248)", "rgb(15, 20, 26)"
	p.prefers("dark")
	p.to("#/executions")
	ground(dark)
	p.prefers("light")
	ground(light)
	p.do(`document.getElementById("theme").click()`)
	ground(dark)
	p.act("reload", chromedp.Reload())
	p.sees("h1", "Executions")
	ground(dark)
	p.do(`document.getElementById("theme").click()`)
	ground(light)
}

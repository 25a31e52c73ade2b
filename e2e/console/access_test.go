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

// pages returns the fragments of all pages, each with a selector that matches when the page is complete, by a name. It starts an execution
// with a long name, input and cause.
func pages(s *site, name string) map[string][2]string {
	bad := s.machine(name, withParams(object{"city": object{"type": "string", "default": "x"}}, "a", object{
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

// everyPage opens all pages one after another and calls visit for each. The execution on them fails.
func everyPage(s *site, p *page, name string, visit func(name string)) {
	s.on("b", func(_ context.Context, req *task.Request) task.Result {
		printLines(req.Log, 50, func(i int) string { return fmt.Sprintf("metric loss=%d accuracy=0.%d step=%d", 100-i, i, i) })
		return task.Fail("Odd", "it went wrong")
	})
	s.on("d", func(context.Context, *task.Request) task.Result {
		return task.Fail("Broken", strings.Repeat("a long cause ", 30))
	})
	for name, at := range pages(s, "every-"+name) {
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

// TestAccessibility checks every page and dialog with axe, in both themes.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	axe := filepath.Join("..", "..", ".tools", "node", "node_modules", "axe-core", "axe.min.js")
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Skip("SKIPPED: axe-core not found: run make test-setup")
	}
	s := serve(t, nil)
	p := open(t, s.URL)
	check := func(what string) {
		t.Helper()
		if !eval[bool](p, `window.axe !== undefined`) { // it stays loaded when only the fragment changes
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
		everyPage(s, p, theme, func(name string) { check(name + ", " + theme) })
		p.to("#/machines")
		p.button("Start")
		p.sees("dialog", "city")
		check("start, " + theme)
		p.to("#/none") // like the Back button of the browser: a dialog must close with its page
		p.wait(`document.querySelector("dialog") === null`)
	}
}

// TestNarrow checks that no page is wider than the screen of a phone.
func TestNarrow(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := open(t, s.URL)
	p.size(375, 740)
	everyPage(s, p, "narrow", func(name string) {
		if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > 375 {
			t.Errorf("%s is %d pixels wide, want at most 375; the widest elements: %s", name, wide, eval[string](p, `[...document.querySelectorAll("main *")].filter((n) => n.getBoundingClientRect().right > 376 && !n.closest(".scroller, .graph-canvas, .tabs, .chips, .tree")).map((n) => n.tagName + "." + n.className).slice(0, 5).join(" ")`))
		}
	})
}

// TestKeyboard uses the console with only the keyboard.
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

// TestThemes checks that the console follows the theme of the system until the user selects one, and then keeps the selected theme.
func TestThemes(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := open(t, s.URL)
	background := func(want string) {
		t.Helper()
		p.wait(`getComputedStyle(document.body).backgroundColor === ` + js(want))
	}
	const light, dark = "rgb(245, 246, 248)", "rgb(15, 20, 26)"
	p.prefers("dark")
	p.to("#/executions")
	background(dark)
	p.prefers("light")
	background(light)
	p.do(`document.getElementById("theme").click()`)
	background(dark)
	p.act("reload", chromedp.Reload())
	p.sees("h1", "Executions")
	background(dark)
	p.do(`document.getElementById("theme").click()`)
	background(light)
}

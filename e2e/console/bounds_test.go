package console_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

// maxNodes is the maximum number of elements of a page, independent of the amount of data: pages create elements only for visible rows.
const maxNodes = 2500

// bounded checks that the page has at most maxNodes elements.
func (p *page) bounded(what string) {
	p.t.Helper()
	if n := eval[int](p, `document.querySelectorAll("*").length`); n > maxNodes {
		p.t.Errorf("%s: the page has %d elements, want at most %d", what, n, maxNodes)
	}
}

// TestLongLog shows, searches and follows a log of more than 100,000 lines. The page must contain only the visible lines.
func TestLongLog(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	more, end := make(chan int), make(chan task.Result)
	s.on("talk", func(ctx context.Context, req *task.Request) task.Result {
		printed := 0
		for {
			select {
			case n := <-more:
				printLines(req.Log, n, func(i int) string {
					if (printed+i)%1000 == 0 {
						return fmt.Sprintf("metric loss=%d step=%d", 200_000-printed-i, printed+i)
					}
					return fmt.Sprintf("line %d \x1b[36mof the job\x1b[0m", printed+i)
				})
				printed += n
			case r := <-end:
				return r
			case <-ctx.Done():
				return task.Result{}
			}
		}
	})
	arn := s.start(s.machine("talker", machine("talk", object{"talk": work("")})), "long", "{}")
	p := open(t, s.URL)
	p.to(execution(arn, "?tab=logs"))
	p.sees(".logs .tools", "No output yet")
	give(s, "talk", more, 100_000)
	p.sees(".logs .tools", "100,000 lines")
	p.sees(".log .row", "line 99999 of the job") // the page follows the end of the log, and removes colors
	p.bounded("100,000 lines")
	give(s, "talk", more, 20_000)
	p.sees(".log .row", "line 119999 of the job")
	p.sees(".logs .tools", "older lines are not shown")
	p.bounded("120,000 lines")
	p.do(`document.querySelector(".log").scrollTop = 0`)
	p.wait(`document.querySelector(".toggle").getAttribute("aria-pressed") === "false"`)
	p.fill("Search the log", "LINE 119998")
	p.wait(`document.querySelectorAll(".log .row").length === 1`)
	p.sees(".log mark", "line 119998")
	give(s, "talk", more, 1)
	p.fill("Search the log", "")
	p.button("Follow")
	p.sees(".log .row", "metric loss=80000 step=120000")
	p.button("Metrics")
	p.sees(".chart-value", "80,000")
	p.wait(`document.querySelector(".chart svg").getAttribute("aria-label").startsWith("loss: ")`)
	p.bounded("metrics")
	give(s, "talk", end, task.Result{Output: []byte("1")})
	p.sees(".status.big", "Succeeded")
}

// TestLongHistory shows more than 5,000 events. Table, timeline and state panel must contain only visible rows.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	items := make([]int, 900)
	arn := s.start(s.machine("wide", machine("each", object{
		"each": object{"Type": "Map", "ItemsPath": "$.items", "End": true, "ItemProcessor": object{"StartAt": "item", "States": object{"item": work("")}}},
	})), "long", text(object{"items": items}))
	x := s.ended(arn)
	if x.LastEventID < 5000 {
		t.Fatalf("the execution has %d events, want at least 5000", x.LastEventID)
	}
	p := open(t, s.URL)
	p.to(execution(arn, "?tab=events"))
	p.sees(".events .tools", fmt.Sprintf("%d,%03d events", x.LastEventID/1000, x.LastEventID%1000))
	p.states(map[string]string{"each": "succeeded, 900 of 900 done"})
	p.bounded("events")
	p.scrollToEnd(".event-rows", "ExecutionSucceeded")
	p.bounded("the last events")
	p.button("Timeline")
	p.sees(".timeline-rows .row", "item[3]")
	p.bounded("timeline")
	p.clickState("item")
	p.sees(".state-panel", "Entered 900 times")
	p.bounded("state panel")
}

const markup = `<img src=x onerror="window.harmed=1"><script>window.harmed=1</script><b>bold</b>`

// TestMarkup puts markup into every text of an execution and opens all pages: they must show it as text and never interpret it.
func TestMarkup(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.on(markup, func(_ context.Context, req *task.Request) task.Result {
		_ = req.Submitted([]byte(`{"SubmissionId":"x","Address":"javascript:window.harmed=1"}`))
		_, _ = io.WriteString(req.Log, markup+"\n\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\nmetric <b>=1 "+markup+"=2 step=1\n")
		return task.Fail(markup, markup)
	})
	arn := s.machine("markup", text(object{
		"Comment": text(object{"description": markup, "params": object{"properties": object{markup: object{"type": "string", "description": markup, "default": markup}}}}),
		"StartAt": markup, "States": object{markup: work("", object{"Comment": markup})},
	}))
	x := s.start(arn, "markup", text(object{markup: markup, "list": []string{markup}}))
	s.ended(x)
	p := open(t, s.URL)
	safe := func(what string) {
		t.Helper()
		if eval[bool](p, `window.harmed !== undefined || document.querySelector("main img, main b, main script, dialog img, dialog b, [onerror]") !== null || [...document.querySelectorAll("a")].some((a) => a.href.startsWith("javascript:"))`) {
			t.Errorf("%s: the page interpreted markup of the execution", what)
		}
	}
	p.to(execution(x, ""))
	for _, tab := range []string{"Timeline", "Events", "Logs", "Metrics", "Input and output", "Definition"} {
		p.button(tab)
		switch tab {
		case "Events":
			p.sees(".event-rows .row", "TaskFailed")
			p.do(`document.querySelector(".event-rows .row:last-child").click()`)
			p.sees(".event-detail", "<b>bold</b>")
		case "Logs":
			p.sees(".log .row", markup)
			p.sees(".log .row", "link")
		default:
			p.sees("main", "<b>bold</b>")
		}
		safe(tab)
	}
	p.sees(".problem", markup)
	p.sees(".box-name", markup)
	p.button("Start again")
	p.sees("dialog", markup)
	safe("the form")
	p.button("JSON")
	safe("the JSON")
	p.to("#/machines")
	p.to("#/machine/" + strings.ReplaceAll(arn, ":", "%3A"))
	p.sees(".box-name", markup)
	safe("the state machine")
	p.to("#/executions?name=" + "%3Cb%3Ebold%3C%2Fb%3E")
	p.sees(".empty", "No matches")
	safe("a search")
	p.to("#/machine/%3Cimg%20src=x%20onerror=alert(1)%3E")
	p.allow("400")
	p.sees(".problem", "InvalidArn")
	safe("a name in the address")
}

// TestManyExecutions scrolls through many executions. The page must contain only the visible rows; search and counts must include all
// executions.
func TestManyExecutions(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	arn := s.machine("many", succeed)
	fill(t, s, arn, manyExecutions)
	p := open(t, s.URL)
	p.to("#/executions")
	p.sees(".chip[data-status=SUCCEEDED]", fmt.Sprintf("%d,000", manyExecutions/1000))
	p.wait(`performance.getEntriesByName("first-contentful-paint").length > 0`)
	paint := eval[float64](p, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	rows := eval[float64](p, `performance.now()`)
	t.Logf("first contentful paint with %d executions stored: %.0f ms; list and counts by %.0f ms", manyExecutions, paint, rows)
	p.bounded("the first page")
	for range 10 {
		had := eval[int](p, `document.querySelector(".list-panel .scroller").scrollHeight`)
		p.do(`const l = document.querySelector(".list-panel .scroller"); l.scrollTop = l.scrollHeight`)
		p.wait(fmt.Sprintf(`document.querySelector(".list-panel .scroller").scrollHeight > %d`, had))
	}
	p.bounded("after ten pages")
	p.fill("Search by name", "run-004242")
	p.wait(`document.querySelectorAll(".list-panel .scroller .row").length === 1`)
	p.sees(".row-name", "run-004242")
	p.sees(".chip[data-status=SUCCEEDED]", "1")
	p.sees(".summary", "Showing all")
}

// fill starts n executions, eight at a time.
func fill(t *testing.T, s *site, machine string, n int) {
	t.Helper()
	errs := make(chan error, 8)
	for w := range cap(errs) {
		go func() {
			for i := w; i < n; i += cap(errs) {
				_, err := s.eng.Start(t.Context(), engine.StartRequest{MachineARN: machine, MachineName: "many", Name: fmt.Sprintf("run-%06d", i), Definition: []byte(succeed), Input: []byte("{}")})
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

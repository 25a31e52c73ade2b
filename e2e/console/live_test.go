package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/task"
)

// TestReconnect interrupts the connection between a page and its server. The page must show this, reconnect, and show all missed events.
func TestReconnect(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	one, two := s.gated("one"), s.gated("two")
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	through := httputil.NewSingleHostReverseProxy(at)
	through.FlushInterval = -1
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			panic(http.ErrAbortHandler)
		}
		r.Host, r.Header = at.Host, r.Header.Clone()
		r.Header.Del("Origin")
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() }) // runs after the tab is closed, which streams events through it
	arn := s.start(s.machine("cut", machine("one", object{"one": work("two"), "two": work("")})), "x", "{}")
	p := open(t, front.URL)
	p.allow("ERR_", "Failed to load resource")
	p.to(execution(arn, ""))
	one.next()
	p.states(map[string]string{"one": "running"})
	p.sees(".link-state", "Live")
	away.Store(true)
	front.CloseClientConnections()
	p.sees(".link-state", "Connection lost")
	one.finish(task.Result{Output: []byte("1")})
	two.next()
	away.Store(false)
	p.states(map[string]string{"one": "succeeded", "two": "running"})
	p.sees(".link-state", "Live")
	two.finish(task.Result{Output: []byte("2")})
	p.sees(".status.big", "Succeeded")
}

// TestPending checks that the page shows the runner's reason why a task is pending, until it runs.
func TestPending(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	g := s.gated("train")
	arn := s.start(s.machine("pending", machine("train", object{"train": work("")})), "x", "{}")
	p := open(t, s.URL)
	p.to(execution(arn, ""))
	req := g.next()
	p.states(map[string]string{"train": "running"})
	req.Pending("no room for <b>it</b>", time.Now().Add(-time.Hour))
	p.states(map[string]string{"train": "pending"})
	p.sees(".state-panel", "Pending for")
	p.sees(".state-panel", "1 h 00 min")
	p.sees(".state-panel", "no room for <b>it</b>")
	req.Pending("", time.Time{})
	p.states(map[string]string{"train": "running"})
	p.sees(".state-panel", "Running for")
	g.finish(task.Result{Output: []byte("1")})
	p.sees(".status.big", "Succeeded")
}

// TestListIsLive checks that the list shows executions when they start and end, without a reload, and that its filters work.
func TestListIsLive(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	g := s.gated("go")
	arn := s.machine("listed", machine("go", object{"go": work("")}))
	other := s.machine("other", succeed)
	p := open(t, s.URL)
	p.to("#/executions")
	p.sees(".empty", "No executions yet")
	s.start(arn, "first", "{}")
	g.next()
	p.sees(".list-panel .row", "Running")
	p.sees(".chip[data-status=RUNNING]", "1")
	s.ended(s.start(other, "second", "{}"))
	p.sees(".row-name", "second")
	g.finish(task.Fail("No", ""))
	p.sees(".list-panel .row", "Failed")
	p.sees(".chip[data-status=FAILED]", "1")
	p.do(`document.querySelector(".chip[data-status=FAILED]").click()`)
	p.wait(`document.querySelectorAll(".list-panel .scroller .row").length === 1`)
	p.fill("Search by name", "nobody")
	p.sees(".empty", "No matches")
	p.fill("Search by name", "")
	p.do(`document.querySelector(".chip[data-status=ALL]").click()`)
	p.fill("State machine", other)
	p.wait(`document.querySelectorAll(".list-panel .scroller .row").length === 1`)
	p.sees(".row-name", "second")
	p.fill("Started", "custom")
	p.fill("Started before", "2001-01-01T00:00")
	p.sees(".empty", "No matches")
	if got := eval[string](p, "location.hash"); !strings.Contains(got, "span=custom") || !strings.Contains(got, "machine=") {
		t.Errorf("the address is %s, without the filter: a reload would lose it", got)
	}
	p.to("#/machines")
	p.sees("tbody", "listed")
	p.wait(`[...document.querySelectorAll("tbody tr")].find((r) => r.textContent.includes("listed")).querySelector(".status.failed").textContent === "1"`)
}

// TestNoMemoryLeak switches between pages many times, and counts the DOM nodes and listeners in the browser: those of closed pages must be
// released.
func TestNoMemoryLeak(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	arn := s.start(s.machine("again", machine("a", object{"a": work("b"), "b": work("")})), "x", "{}")
	s.ended(arn)
	p := open(t, s.URL)
	visit := func(times int) {
		for range times {
			p.do(`location.hash = ` + js(execution(arn, "?tab=logs")))
			p.sees("h1", "x")
			p.wait(`document.querySelector("g.box.succeeded") !== null`)
			p.do(`location.hash = "#/executions"`)
			p.sees(".row-name", "x")
		}
	}
	p.to("#/executions")
	visit(3)
	before := p.kept()
	visit(12)
	after := p.kept()
	// Timers and requests in progress still hold nodes until they end, so the check is repeated.
	for deadline := time.Now().Add(patience); after[0] > before[0]+before[0]/2 || after[1] > before[1]+before[1]/2; after = p.kept() {
		if time.Now().After(deadline) {
			t.Fatalf("nodes and listeners: %v before, %v after %s, want at most half more", before, after, patience)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("nodes and listeners: %v before, %v after", before, after)
}

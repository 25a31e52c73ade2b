// Package console_test tests the console with a real Chromium: its pages and actions with a real engine, a real Ray, and servers
// with access keys.
package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// chrome is the browser that all tests of this package share. Each test has its own profile.
var chrome struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := raytest.Run(m)
	if chrome.stop != nil {
		chrome.stop()
	}
	command.Clean()
	os.Exit(code)
}

// find returns the path of the browser, or "" if there is none: RAYORCH_TEST_CHROMIUM, or one of the usual names on PATH.
func find() string {
	for _, name := range []string{os.Getenv("RAYORCH_TEST_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// needsBrowser skips a test without a browser, before the test starts a server. make test installs a browser.
func needsBrowser(t *testing.T) {
	t.Helper()
	if testing.Short() || find() == "" {
		t.Skip("SKIPPED: needs a browser")
	}
}

// startChrome starts the browser. It does not set a directory for the profile, because chromedp kills all processes of the
// browser before it removes the directory that it created.
func startChrome(path string) error {
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		// By default, Chromium's processes wait only seconds for each other, which is too short on a busy machine.
		chromedp.Flag("disable-gpu-watchdog", true), chromedp.Flag("ipc-connection-timeout", fmt.Sprint(patience.Seconds())))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // Chromium's sandbox does not work as root
	}
	if fonts, err := filepath.Abs("testdata/fonts.conf"); err == nil {
		opts = append(opts, chromedp.Env("FONTCONFIG_FILE="+fonts))
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	chrome.ctx, chrome.stop = ctx, func() { cancel(); stop() }
	return attach(ctx, cancel)
}

// attach starts the browser or the tab of ctx. ctx must not have a deadline, because the browser or the tab would end with the context.
func attach(ctx context.Context, cancel func()) error {
	late := time.AfterFunc(patience, cancel)
	defer late.Stop()
	if err := chromedp.Do(ctx); err != nil {
		return fmt.Errorf("start the browser or a tab within %s: %w", patience, err)
	}
	return nil
}

// page is a tab with its own profile, for one server.
type page struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string // errors of the page
	allowed  []string // texts of errors that the test expects
}

// patience is the time that a test waits for a condition. Only a test that fails waits so long; on a busy machine, a browser can take
// minutes.
const patience = 5 * time.Minute

// open opens a tab. The test fails if the page has an error: an exception, a violation of the Content Security Policy, or a request to
// another server.
func open(t *testing.T, base string) *page {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a browser")
	}
	path := find()
	if path == "" {
		t.Skip("SKIPPED: Chromium not found: install it (apt-get install chromium)")
	}
	chrome.once.Do(func() { chrome.err = startChrome(path) })
	if chrome.err != nil {
		t.Fatal(chrome.err)
	}
	p := &page{t: t, base: base}
	ctx, cancel := chromedp.NewContext(chrome.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	t.Cleanup(cancel)
	p.ctx = ctx
	if err := attach(ctx, cancel); err != nil {
		t.Fatal(err)
	}
	call(p, log.Enable, cdp.Empty{})
	call(p, network.Enable, network.EnableParams{})
	call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}) // the tabs of other tests would take the focus
	p.size(1280, 900)
	t.Cleanup(p.checkProblems)
	return p
}

// call sends a command of the DevTools protocol.
func call[P, R any](p *page, cmd cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	out, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", cmd.Method, err, p.shown())
	}
	return out
}

// act runs actions on the page. what describes them in the failure message.
func (p *page) act(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v\n%s", what, err, p.shown())
	}
}

// hear records events that indicate an error of the page.
func (p *page) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.note("exception: " + e.ExceptionDetails.Text + " " + describe(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if string(e.Type) == "error" {
			p.note(fmt.Sprintf("console error: %+v", e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.note("log: " + e.Entry.Text + " " + e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u := e.Request.URL
		if p.base != "" && !strings.HasPrefix(u, p.base+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "about:") {
			p.note("request to another server: " + u)
		}
	}
}

func describe(d *runtime.ExceptionDetails) string {
	if d.Exception == nil {
		return ""
	}
	return d.Exception.Description
}

func (p *page) note(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

// allow adds texts of errors that a test expects. For example, a rejected request is an error in the browser's log.
func (p *page) allow(part ...string) { p.allowed = append(p.allowed, part...) }

// checkProblems fails the test for each error of the page that is not allowed.
func (p *page) checkProblems() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		expected := false
		for _, part := range p.allowed {
			expected = expected || strings.Contains(problem, part)
		}
		if !expected {
			p.t.Errorf("error of the page: %s", problem)
		}
	}
}

// to opens a page of the console by its fragment, such as "#/machines".
func (p *page) to(fragment string) {
	p.t.Helper()
	p.act("go to "+fragment, chromedp.Navigate(p.base+"/console/"+fragment))
}

// execution returns the fragment of an execution's page.
func execution(arn, query string) string { return "#/execution/" + url.PathEscape(arn) + query }

// eval runs JavaScript in the page and decodes the result.
func eval[T any](p *page, js string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%.300s: %v\n%s", js, err, p.shown())
	}
	return out
}

// do runs JavaScript without a result.
func (p *page) do(js string) { p.t.Helper(); eval[bool](p, "(async () => { "+js+"; return true; })()") }

// wait waits until a JavaScript expression is true.
func (p *page) wait(js string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	loop := `new Promise((done) => { const poll = () => { let ok = false; try { ok = ` + js + ` } catch {} if (ok) done(true); else setTimeout(poll, 20); }; poll(); })`
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](loop, chromedp.EvalAwaitPromise)); err != nil {
		p.t.Fatalf("timed out waiting for %s: %v\n%s", js, err, p.shown())
	}
}

// shown returns the text of the page, for failure messages.
func (p *page) shown() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), time.Minute)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.hash + "\n" + document.body.innerText.slice(0, 3000)`))
	if err != nil {
		return err.Error()
	}
	return text
}

// js encodes a value as JavaScript.
func js(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// sees waits until an element that matches the selector contains the text.
func (p *page) sees(selector, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("[...document.querySelectorAll(%s)].some((n) => n.textContent.includes(%s))", js(selector), js(text)))
}

// button clicks the button, tab or summary with the text when it is visible and enabled.
func (p *page) button(text string) {
	p.t.Helper()
	p.clickWhere("button, a.button, [role=tab], summary", text)
}

// clickWhere clicks the element that matches the selector and has exactly this text when it is visible and enabled. If a dialog is open, it
// searches only the dialog.
func (p *page) clickWhere(selector, text string) {
	p.t.Helper()
	// One expression finds and clicks the element, because the page could redraw it between two expressions.
	p.wait(fmt.Sprintf(`(() => { const found = [...(document.querySelector("dialog[open]") ?? document).querySelectorAll(%s)].find((n) => n.textContent.trim() === %s && !n.disabled && n.checkVisibility());
		found?.click(); return found !== undefined; })()`, js(selector), js(text)))
}

// clickState clicks a state in the graph.
func (p *page) clickState(name string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`document.querySelector("g.box[data-state=" + JSON.stringify(%s) + "]").dispatchEvent(new MouseEvent("click", {bubbles: true}))`, js(name)))
}

// scrollToEnd scrolls to the end of a list, which can still grow, until a row there contains a text.
func (p *page) scrollToEnd(list, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`(() => { const list = document.querySelector(%s); list.scrollTop = list.scrollHeight;
		return [...list.querySelectorAll(".row")].some((n) => n.textContent.includes(%s)); })()`, js(list), js(text)))
}

// fill sets a field of the page, or of the open dialog, by its label. It waits until the field accepts the value, because a select does not
// before the page has added its options.
func (p *page) fill(label, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`(() => { const root = document.querySelector("dialog[open]") ?? document;
		const wrapped = [...root.querySelectorAll("label.field")].find((l) => l.textContent.startsWith(%[1]s));
		const f = wrapped?.querySelector("input, select, textarea") ?? [...root.querySelectorAll("[aria-label]")].find((n) => n.getAttribute("aria-label") === %[1]s);
		f.focus(); f.value = %[2]s;
		if (f.value !== %[2]s) return false;
		f.dispatchEvent(new Event("input", {bubbles: true})); f.dispatchEvent(new Event("change", {bubbles: true}));
		return true; })()`, js(label), js(text)))
}

// press sends key events.
func (p *page) press(keys string) {
	p.t.Helper()
	p.act(fmt.Sprintf("press %q", keys), chromedp.KeyEvent(keys))
}

// size sets the size of the page in pixels.
func (p *page) size(width, height int64) {
	p.t.Helper()
	p.act("set the size", chromedp.EmulateViewport(width, height))
}

// prefers sets the theme of the system, and disables animations.
func (p *page) prefers(theme string) {
	p.t.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
}

// kept returns the number of DOM nodes and of event listeners in the page after a garbage collection.
func (p *page) kept() [2]float64 {
	p.t.Helper()
	call(p, heapprofiler.CollectGarbage, cdp.Empty{})
	now := call(p, memory.GetDOMCounters, cdp.Empty{})
	return [2]float64{float64(now.Nodes), float64(now.JsEventListeners)}
}

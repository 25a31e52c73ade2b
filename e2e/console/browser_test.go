// Package console_test drives a real Chromium through the console: its pages and actions against a real engine, a real
// Ray, and servers with keys.
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
	"github.com/rayorch/rayorch/internal/ray/raytest"
)

// chrome is the browser that all tests of this package share, each in a profile of its own.
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

// find is the browser's program: RAYORCH_TEST_CHROMIUM, or one of the usual names.
func find() string {
	for _, name := range []string{os.Getenv("RAYORCH_TEST_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func startChrome(path string) error {
	dir, err := os.MkdirTemp("", "rayorch-chromium-")
	if err != nil {
		return err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(dir),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // it wants another user for its sandbox
	}
	if fonts, err := filepath.Abs("testdata/fonts.conf"); err == nil {
		opts = append(opts, chromedp.Env("FONTCONFIG_FILE="+fonts))
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	chrome.ctx, chrome.stop = ctx, func() { cancel(); stop(); _ = os.RemoveAll(dir) }
	return chromedp.Do(ctx, chromedp.Navigate("about:blank"))
}

// page is a tab of a profile of its own, at one server.
type page struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string
	allowed  []string
}

// patience is how long a test waits for what must come: on a busy machine a browser is slow.
const patience = 60 * time.Second

// open makes a tab. Whatever the page itself complains of (an exception, the policy for its content, a request that
// leaves the server) fails the test.
func open(t *testing.T, base string) *page {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a browser")
	}
	path := find()
	if path == "" {
		t.Skip("SKIPPED: there is no Chromium here (apt-get install chromium)")
	}
	chrome.once.Do(func() { chrome.err = startChrome(path) })
	if chrome.err != nil {
		t.Fatal(chrome.err)
	}
	p := &page{t: t, base: base}
	ctx, cancel := chromedp.NewContext(chrome.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	t.Cleanup(cancel)
	p.ctx = ctx
	call(p, log.Enable, cdp.Empty{})
	call(p, network.Enable, network.EnableParams{})
	p.size(1280, 900)
	t.Cleanup(p.complain)
	return p
}

func call[P, R any](p *page, cmd cdp.Command[P, R], params P) R {
	p.t.Helper()
	out, err := chromedp.Call(p.ctx, cmd, params)
	if err != nil {
		p.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return out
}

// hear notes what a page must not do.
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
			p.note("request elsewhere: " + u)
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

// allow names what a test brings about on purpose: a refused request is an error in the browser's log.
func (p *page) allow(part ...string) { p.allowed = append(p.allowed, part...) }

func (p *page) complain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		expected := false
		for _, part := range p.allowed {
			expected = expected || strings.Contains(problem, part)
		}
		if !expected {
			p.t.Errorf("the page complained: %s", problem)
		}
	}
}

// to shows an address of the console, such as "#/machines".
func (p *page) to(fragment string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(p.base+"/console/"+fragment)); err != nil {
		p.t.Fatal(err)
	}
}

// execution is the address of an execution's page.
func execution(arn, query string) string { return "#/execution/" + url.PathEscape(arn) + query }

// eval runs JavaScript in the page and decodes what it gives.
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

// do runs JavaScript for what it does.
func (p *page) do(js string) { p.t.Helper(); eval[bool](p, "(async () => { "+js+"; return true; })()") }

// wait waits until a JavaScript expression is true.
func (p *page) wait(js string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	loop := `new Promise((done) => { const look = () => { let ok = false; try { ok = ` + js + ` } catch {} if (ok) done(true); else setTimeout(look, 20); }; look(); })`
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](loop, chromedp.EvalAwaitPromise)); err != nil {
		p.t.Fatalf("waited in vain for %s: %v\n%s", js, err, p.shown())
	}
}

// shown is the page's text, for messages.
func (p *page) shown() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.hash + "\n" + document.body.innerText.slice(0, 3000)`))
	if err != nil {
		return err.Error()
	}
	return text
}

// js is a value as JavaScript.
func js(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// sees waits until an element has a text in it.
func (p *page) sees(selector, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("[...document.querySelectorAll(%s)].some((n) => n.textContent.includes(%s))", js(selector), js(text)))
}

// button presses the button with a text; it must be there, visible and usable.
func (p *page) button(text string) {
	p.t.Helper()
	p.clickWhere("button, a.button, [role=tab], summary", text)
}

func (p *page) clickWhere(selector, text string) {
	p.t.Helper()
	found := fmt.Sprintf("[...(document.querySelector('dialog[open]') ?? document).querySelectorAll(%s)].find((n) => n.textContent.trim() === %s && !n.disabled && n.checkVisibility())", js(selector), js(text))
	p.wait(found + " !== undefined")
	p.do(found + ".click()")
}

// fill types into a field of the page or of the open dialog, by its label's text or its own label.
func (p *page) fill(label, text string) {
	p.t.Helper()
	find := fmt.Sprintf(`(() => { const root = document.querySelector("dialog[open]") ?? document;
		const wrapped = [...root.querySelectorAll("label.field")].find((l) => l.textContent.startsWith(%[1]s));
		return wrapped?.querySelector("input, select, textarea") ?? [...root.querySelectorAll("[aria-label]")].find((n) => n.getAttribute("aria-label") === %[1]s) ?? null; })()`, js(label))
	p.wait(find + " !== null")
	p.do(fmt.Sprintf(`const f = %s; f.focus(); f.value = %s; f.dispatchEvent(new Event("input", {bubbles: true})); f.dispatchEvent(new Event("change", {bubbles: true}))`, find, js(text)))
}

// press sends keys as a keyboard does.
func (p *page) press(keys string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.KeyEvent(keys)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *page) size(width, height int64) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height)); err != nil {
		p.t.Fatal(err)
	}
}

// prefers sets what the system's theme is.
func (p *page) prefers(theme string) {
	p.t.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
}

// kept is how many nodes and listeners the browser keeps of the page, after it was told to tidy up.
func (p *page) kept() [2]float64 {
	p.t.Helper()
	call(p, heapprofiler.CollectGarbage, cdp.Empty{})
	now := call(p, memory.GetDOMCounters, cdp.Empty{})
	return [2]float64{float64(now.Nodes), float64(now.JsEventListeners)}
}

package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/api/access"
)

// linkOf runs rayorch console, with the server that owns the state directory of the sandbox, and returns the fragment of the sign-in link.
func linkOf(t *testing.T, sandbox *command.Sandbox, site string) (fragment string) {
	t.Helper()
	res := sandbox.Run(t.Context(), t, "console")
	fragment, ok := strings.CutPrefix(strings.TrimSpace(res.Stdout), "the console is at "+site+"/console/")
	if res.Code != 0 || !ok {
		t.Fatalf("console: got %+v, want a link to %s", res, site)
	}
	return fragment
}

// TestLinkSignsIn opens the link that rayorch console prints while serve owns the state directory. The link must work only once.
func TestLinkSignsIn(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	sandbox := command.New(t, nil)
	sandbox.Write(t, "pipeline.yaml", "version: 1\nname: short\nsteps:\n  - {name: say, job: {shell: echo hello}}\n")
	server, site := begin(t, sandbox, `the console is at (http\S+)/console/`, "serve", "--listen", "127.0.0.1:0")
	if res := sandbox.Run(t.Context(), t, "run", "--name", "one"); res.Code != 0 {
		t.Fatalf("run: got %+v, want exit code 0", res)
	}
	fragment := linkOf(t, sandbox, site)

	p := open(t, site)
	p.to(fragment)
	p.sees(".row-name", "one")
	p.wait(`location.hash === "#/executions" || location.hash === "#/"`)
	token := strings.TrimPrefix(fragment, "#/login/")
	if kept := eval[string](p, `document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + location.href + JSON.stringify(history.state)`); strings.Contains(kept, token) {
		t.Errorf("the page stores the token: %s", kept)
	}
	cookies := call(p, network.GetCookies, network.GetCookiesParams{URLs: []string{site}}).Cookies
	if len(cookies) != 1 || !cookies[0].HTTPOnly || cookies[0].SameSite != network.CookieSameSiteStrict {
		t.Errorf("the cookies are %+v, want one with HttpOnly and SameSite=Strict", cookies)
	}

	// In another browser, the used link fails, and a new link works while the page is open.
	q := open(t, site)
	q.allow("401", "403")
	q.to(fragment)
	q.sees("h1", "Sign in")
	q.sees(".problem", "The link was already used")
	q.sees(".problem", "rayorch console")
	if status := eval[int](q, `fetch("/rayorch/v1/counts").then((r) => r.status)`); status != http.StatusUnauthorized {
		t.Errorf("counts without signing in: got status %d, want 401", status)
	}
	q.to(linkOf(t, sandbox, site))
	q.sees(".row-name", "one")
	if strings.Contains(server.printed(), token) {
		t.Errorf("the server's log contains the token:\n%s", server.printed())
	}
}

// TestReadKey signs in with a key of the role read. The page must not offer actions that the server would reject.
func TestReadKey(t *testing.T) {
	t.Parallel()
	keys := access.Keys{
		"READER": {Secret: "the-secret-of-the-reader", Role: access.Read},
		"ADMIN":  {Secret: "the-secret-of-the-admin", Role: access.Admin},
	}
	s := serve(t, keys)
	s.sfn = client(s.URL, access.Keys{"ADMIN": keys["ADMIN"]})
	g := s.gated("go")
	machineARN := s.machine("guarded", machine("go", object{"go": work("")}))
	arn := s.start(machineARN, "x", "{}")
	g.next()
	p := open(t, s.URL)
	p.allow("401", "403")
	p.to("#/machines")
	p.fill("Access key ID", "READER")
	p.fill("Secret", "the-secret-of-the-reader")
	p.button("Sign in")
	p.sees("#main", "guarded")
	p.to(execution(arn, ""))
	p.states(map[string]string{"go": "running"})
	if labels := eval[string](p, `[...document.querySelectorAll("button")].map((b) => b.textContent).join()`); strings.Contains(labels, "Stop") || strings.Contains(labels, "Start") {
		t.Errorf("the page offers the buttons %s, want neither Start nor Stop", labels)
	}
	stop := `fetch("/", {method: "POST", headers: {"X-Amz-Target": "AWSStepFunctions.StopExecution"}, body: JSON.stringify({executionArn: ` + js(arn) + `})}).then(async (r) => r.status + await r.text())`
	if got := eval[string](p, stop); !strings.HasPrefix(got, "403") || !strings.Contains(got, "READER") {
		t.Errorf("StopExecution: got %s, want 403 and the key READER", got)
	}
	p.button("Sign out")
	p.fill("Access key ID", "ADMIN")
	p.fill("Secret", "the-secret-of-the-admin")
	p.button("Sign in")
	p.button("Stop")
	p.button("Stop the execution")
	p.sees(".status.big", "Aborted")
}

package console_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"github.com/rayorch/rayorch/internal/api/access"
)

// TestLogin signs in to a server with access keys, uses it, and signs out.
func TestLogin(t *testing.T) {
	t.Parallel()
	s := serve(t, access.Keys{"AKIDEXAMPLE": {Secret: "the-right-secret", Role: access.Admin}})
	arn := s.start(s.machine("guarded", succeed), "x", "{}")
	s.ended(arn)
	p := open(t, s.URL)
	p.allow("401", "403")
	p.to(execution(arn, ""))
	p.sees("h1", "Sign in")
	p.wait(`document.getElementById("nav").hidden`)
	p.fill("Access key ID", "AKIDEXAMPLE")
	p.fill("Secret", "wrong")
	p.button("Sign in")
	p.sees(".problem", "the access key or its secret is wrong")
	p.fill("Secret", "the-right-secret")
	p.button("Sign in")
	p.sees("h1", "x") // the page that was requested before signing in
	p.sees(".status.big", "Succeeded")
	if kept := eval[string](p, `document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + location.href`); strings.Contains(kept, "rayorch-") || strings.Contains(kept, "secret") {
		t.Errorf("scripts can read the session or the secret: %s", kept)
	}
	cookies := call(p, network.GetCookies, network.GetCookiesParams{URLs: []string{s.URL}}).Cookies
	if len(cookies) != 1 || !cookies[0].HTTPOnly || cookies[0].SameSite != network.CookieSameSiteStrict {
		t.Fatalf("the cookies are %+v, want one with HttpOnly and SameSite=Strict", cookies)
	}
	p.to("#/executions")
	p.sees(".row-name", "x")

	// Requests with the cookie that do not come from a page of this server must be rejected.
	for _, headers := range []map[string]string{{}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "AWSStepFunctions.ListStateMachines")
		req.AddCookie(&http.Cookie{Name: cookies[0].Name, Value: cookies[0].Value})
		for k, v := range headers {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("with the headers %v: got %d %s, want 403", headers, resp.StatusCode, body)
		}
	}

	p.button("Sign out")
	p.sees("h1", "Sign in")
	p.to("#/machines")
	p.sees("h1", "Sign in")
	if status := eval[int](p, `fetch("/rayorch/v1/counts").then((r) => r.status)`); status != http.StatusUnauthorized {
		t.Errorf("counts after signing out: got status %d, want 401", status)
	}
}

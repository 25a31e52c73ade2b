package console_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/view/console"
)

// upstream is an API that notes what reached it.
func upstream(t *testing.T, extras bool) (console.Upstream, *http.Request, *string) {
	t.Helper()
	seen, body := &http.Request{}, new(string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		*seen, *body = *r, string(got)
		w.Header().Set("Set-Cookie", "theirs=1")
		w.Header().Set("Www-Authenticate", "Basic")
		_, _ = io.WriteString(w, "answer")
	}))
	t.Cleanup(srv.Close)
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return console.Upstream{URL: at, Extras: extras, Logger: slog.New(slog.DiscardHandler)}, seen, body
}

func let(*http.Request) error { return nil }

// TestFrontPassesOn holds what goes on to the API to what it needs: no cookie, no word of the browser's.
func TestFrontPassesOn(t *testing.T) {
	up, seen, body := upstream(t, true)
	up.Sign = func(r *http.Request, body []byte) error {
		r.Header.Set("Authorization", "signed "+string(body))
		return nil
	}
	site := console.New(console.Config{Open: true}).Front(let, up)
	w := ask(t, site, http.MethodPost, "/", `{"a":1}`, "X-Amz-Target", "AWSStepFunctions.ListStateMachines", "Content-Type", "application/x-amz-json-1.0",
		"Origin", "http://127.0.0.1:8080", "Sec-Fetch-Site", "same-origin", "Cookie", "mine=1", "User-Agent", "Mozilla/5.0", "Authorization", "mine", "X-Forwarded-For", "1.2.3.4")
	if w.Code != http.StatusOK || w.Body.String() != "answer" || *body != `{"a":1}` {
		t.Fatalf("%d %s, passed %s", w.Code, w.Body, *body)
	}
	if got := seen.Header.Get("Authorization"); got != `signed {"a":1}` {
		t.Errorf("it is signed %q", got)
	}
	for _, name := range []string{"Cookie", "Origin", "Sec-Fetch-Site", "X-Forwarded-For", "Referer"} {
		if v := seen.Header.Get(name); v != "" {
			t.Errorf("%s: %s went on", name, v)
		}
	}
	if strings.Contains(seen.Header.Get("User-Agent"), "Mozilla") || seen.Header.Get("X-Amz-Target") == "" || seen.Host != up.URL.Host {
		t.Errorf("went on: %s, %v", seen.Host, seen.Header)
	}
	if h := w.Header(); h.Get("Set-Cookie") != "" || h.Get("Www-Authenticate") != "" {
		t.Errorf("came back: %v", h)
	}
	if w := ask(t, site, http.MethodGet, "/rayorch/v1/info?x=1", ""); w.Body.String() != "answer" || seen.URL.RequestURI() != "/rayorch/v1/info?x=1" {
		t.Errorf("%d %s, asked for %s", w.Code, w.Body, seen.URL)
	}
}

func TestFrontRefuses(t *testing.T) {
	up, seen, _ := upstream(t, false)
	keys := access.Keys{"id": {Secret: "right", Role: access.Admin}}
	target := []string{"X-Amz-Target", "AWSStepFunctions.ListStateMachines", "Sec-Fetch-Site", "same-origin"}
	for _, c := range []struct {
		name, method, path string
		keys               access.Keys
		guard              func(*http.Request) error
		headers            []string
		want               int
	}{
		{"another site", http.MethodPost, "/", nil, func(*http.Request) error { return errors.New("no") }, target, http.StatusForbidden},
		{"not signed in", http.MethodPost, "/", keys, let, target, http.StatusUnauthorized},
		{"no browser's page", http.MethodPost, "/", nil, let, target[:2], http.StatusUnauthorized},
		{"an action that no page needs", http.MethodPost, "/", nil, let, []string{"X-Amz-Target", "AWSStepFunctions.DeleteStateMachine", "Sec-Fetch-Site", "same-origin"}, http.StatusBadRequest},
		{"extras of AWS", http.MethodGet, "/rayorch/v1/info", nil, let, nil, http.StatusNotFound},
		{"elsewhere", http.MethodGet, "/metrics", nil, let, nil, http.StatusNotFound},
	} {
		site := console.New(console.Config{Keys: c.keys, Open: c.keys == nil}).Front(c.guard, up)
		if w := ask(t, site, c.method, c.path, "{}", c.headers...); w.Code != c.want || seen.Method != "" {
			t.Errorf("%s: %d, went on: %s", c.name, w.Code, seen.Method)
		}
	}
	large := ask(t, console.New(console.Config{Open: true}).Front(let, up), http.MethodPost, "/", strings.Repeat("x", 7<<20), target...)
	if large.Code != http.StatusBadGateway || seen.Method != "" {
		t.Errorf("a large request: %d", large.Code)
	}
	if w := ask(t, console.New(console.Config{Open: true}).Front(let, up), http.MethodGet, "/", ""); w.Code != http.StatusFound || w.Header().Get("Location") != "/console/" {
		t.Errorf("the root: %d %v", w.Code, w.Header())
	}
}

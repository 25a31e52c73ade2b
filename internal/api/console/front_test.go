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
	"github.com/rayorch/rayorch/internal/api/console"
)

// upstream returns an API, and the last request and body that it received.
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

func allowAll(*http.Request) error { return nil }

// The API receives only the headers that it needs, and no cookies.
func TestFrontForwards(t *testing.T) {
	up, seen, body := upstream(t, true)
	up.Sign = func(r *http.Request, body []byte) error {
		r.Header.Set("Authorization", "signed "+string(body))
		return nil
	}
	site := console.New(console.Config{Open: true}).Front(allowAll, up)
	w := send(t, site, http.MethodPost, "/", `{"a":1}`, "X-Amz-Target", "AWSStepFunctions.ListStateMachines", "Content-Type", "application/x-amz-json-1.0",
		"Origin", "http://127.0.0.1:8080", "Sec-Fetch-Site", "same-origin", "Cookie", "mine=1", "User-Agent", "Mozilla/5.0", "Authorization", "mine", "X-Forwarded-For", "1.2.3.4")
	if w.Code != http.StatusOK || w.Body.String() != "answer" || *body != `{"a":1}` {
		t.Fatalf("%d %s, forwarded %s", w.Code, w.Body, *body)
	}
	if got := seen.Header.Get("Authorization"); got != `signed {"a":1}` {
		t.Errorf("signature: %q", got)
	}
	for _, name := range []string{"Cookie", "Origin", "Sec-Fetch-Site", "X-Forwarded-For", "Referer"} {
		if v := seen.Header.Get(name); v != "" {
			t.Errorf("the header %s: %s was forwarded", name, v)
		}
	}
	if strings.Contains(seen.Header.Get("User-Agent"), "Mozilla") || seen.Header.Get("X-Amz-Target") == "" || seen.Host != up.URL.Host {
		t.Errorf("forwarded: %s, %v", seen.Host, seen.Header)
	}
	if h := w.Header(); h.Get("Set-Cookie") != "" || h.Get("Www-Authenticate") != "" {
		t.Errorf("headers of the response: %v", h)
	}
	if w := send(t, site, http.MethodGet, "/rayorch/v1/info?x=1", ""); w.Body.String() != "answer" || seen.URL.RequestURI() != "/rayorch/v1/info?x=1" {
		t.Errorf("%d %s, forwarded to %s", w.Code, w.Body, seen.URL)
	}
}

// A console in front of an API responds to a request for an execution that does not exist, or for an invalid ARN, with an error of the
// client, not of the gateway.
func TestFrontClientErrors(t *testing.T) {
	for code, want := range map[string]int{
		"ExecutionDoesNotExist": http.StatusNotFound, "InvalidArn": http.StatusBadRequest, "ValidationException": http.StatusBadRequest,
		"StateMachineTypeNotSupported": http.StatusBadRequest, "AccessDeniedException": http.StatusBadGateway,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazonaws.states#`+code+`","message":"the reason"}`)
		}))
		at, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		site := console.New(console.Config{Open: true}).Front(allowAll, console.Upstream{URL: at})
		w := send(t, site, http.MethodGet, "/rayorch/v1/view?execution=x", "")
		if w.Code != want || !strings.Contains(w.Body.String(), code+": the reason") {
			t.Errorf("%s: got %d %s, want %d", code, w.Code, w.Body, want)
		}
		srv.Close()
	}
}

func TestFrontRejects(t *testing.T) {
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
		{"not signed in", http.MethodPost, "/", keys, allowAll, target, http.StatusUnauthorized},
		{"not from a page", http.MethodPost, "/", nil, allowAll, target[:2], http.StatusUnauthorized},
		{"action that no page uses", http.MethodPost, "/", nil, allowAll, []string{"X-Amz-Target", "AWSStepFunctions.DeleteStateMachine", "Sec-Fetch-Site", "same-origin"}, http.StatusBadRequest},
		{"endpoint of rayorch at AWS", http.MethodGet, "/rayorch/v1/info", nil, allowAll, nil, http.StatusNotFound},
		{"other path", http.MethodGet, "/metrics", nil, allowAll, nil, http.StatusNotFound},
	} {
		site := console.New(console.Config{Keys: c.keys, Open: c.keys == nil}).Front(c.guard, up)
		if w := send(t, site, c.method, c.path, "{}", c.headers...); w.Code != c.want || seen.Method != "" {
			t.Errorf("%s: got %d, want %d, forwarded: %q", c.name, w.Code, c.want, seen.Method)
		}
	}
	large := send(t, console.New(console.Config{Open: true}).Front(allowAll, up), http.MethodPost, "/", strings.Repeat("x", 7<<20), target...)
	if large.Code != http.StatusBadGateway || seen.Method != "" {
		t.Errorf("large request: %d", large.Code)
	}
	if w := send(t, console.New(console.Config{Open: true}).Front(allowAll, up), http.MethodGet, "/", ""); w.Code != http.StatusFound || w.Header().Get("Location") != "/console/" {
		t.Errorf("/: %d %v", w.Code, w.Header())
	}
}

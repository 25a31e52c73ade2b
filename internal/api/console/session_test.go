package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/console"
)

var own = []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"}

// signIn returns the cookie of a new session.
func signIn(t *testing.T, con *console.Console) *http.Cookie {
	t.Helper()
	w := send(t, con, http.MethodPost, "/console/login", `{"key":"id","secret":"right"}`, own...)
	if w.Code != http.StatusNoContent || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0]
}

func signedIn(con *console.Console, r *http.Request) bool {
	_, ok := con.Caller(r)
	return ok
}

func request(t *testing.T, method string, c *http.Cookie, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if c != nil {
		r.AddCookie(c)
	}
	return r
}

func TestSignIn(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	con := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: access.Admin}}, Now: func() time.Time { return now }})
	for _, body := range []string{`{"key":"id","secret":"wrong"}`, `{"key":"other","secret":"right"}`, `{"key":"other","secret":""}`, `{}`} {
		if w := send(t, con, http.MethodPost, "/console/login", body, own...); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
	for _, headers := range [][]string{
		{"Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin"},
		{"Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"},
		{"Content-Type", "application/json", "Origin", "http://evil.example"},
		{"Content-Type", "application/json"},
	} {
		if w := send(t, con, http.MethodPost, "/console/login", `{"key":"id","secret":"right"}`, headers...); w.Code != http.StatusBadRequest {
			t.Errorf("%v: %d", headers, w.Code)
		}
	}
	c := signIn(t, con)
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || len(c.Value) < 26 {
		t.Errorf("cookie: %+v", c)
	}
	if other := signIn(t, con); other.Value == c.Value {
		t.Error("two sessions have the same cookie")
	}
	if signedIn(con, request(t, http.MethodGet, nil)) || signedIn(con, request(t, http.MethodGet, &http.Cookie{Name: c.Name, Value: "made-up"})) {
		t.Error("a browser that did not sign in is accepted")
	}
	if !signedIn(con, request(t, http.MethodGet, c)) {
		t.Error("the browser that signed in is rejected")
	}
}

// Requests that a page of another site could make a browser send are rejected, although they have the cookie.
func TestCSRF(t *testing.T) {
	con := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: access.Admin}}})
	c := signIn(t, con)
	for _, r := range []struct {
		want    bool
		headers []string
	}{
		{true, []string{"Sec-Fetch-Site", "same-origin"}},
		{true, []string{"Origin", "http://127.0.0.1:8080"}},
		{false, nil},
		{false, []string{"Sec-Fetch-Site", "same-site"}},
		{false, []string{"Sec-Fetch-Site", "cross-site"}},
		{false, []string{"Sec-Fetch-Site", "none"}},
		{false, []string{"Origin", "http://127.0.0.1:9999"}},
		{false, []string{"Origin", "null"}},
	} {
		if got := signedIn(con, request(t, http.MethodPost, c, r.headers...)); got != r.want {
			t.Errorf("POST with %v: %v", r.headers, got)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	con := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: access.Admin}}, Now: func() time.Time { return now }})
	lazy, busy, leaver := signIn(t, con), signIn(t, con), signIn(t, con)
	if w := send(t, con, http.MethodPost, "/console/logout", "", append([]string{"Cookie", leaver.Name + "=" + leaver.Value}, own...)...); w.Code != http.StatusNoContent || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign out: %d %v", w.Code, w.Result().Cookies())
	}
	if signedIn(con, request(t, http.MethodGet, leaver)) {
		t.Error("a cookie is valid after sign-out")
	}
	for range 7 * 24 {
		if !signedIn(con, request(t, http.MethodGet, busy)) {
			t.Fatal("a session that is in use expired early")
		}
		now = now.Add(time.Hour)
	}
	if signedIn(con, request(t, http.MethodGet, lazy)) {
		t.Error("an unused session did not expire")
	}
	if now = now.Add(time.Minute); signedIn(con, request(t, http.MethodGet, busy)) {
		t.Error("a session did not expire after 7 days")
	}
}

// After several wrong secrets, the address must wait, but other addresses need not.
func TestGuessing(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	con := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: access.Admin}}, Now: func() time.Time { return now }})
	try := func(from, secret string) *httptest.ResponseRecorder {
		r := request(t, http.MethodPost, nil, own...)
		r.URL.Path, r.RemoteAddr = "/console/login", from
		r.Body = io.NopCloser(strings.NewReader(`{"key":"id","secret":"` + secret + `"}`))
		w := httptest.NewRecorder()
		con.ServeHTTP(w, r)
		return w
	}
	for range 30 {
		try("192.0.2.1:1", "guess")
	}
	if w := try("192.0.2.1:1", "right"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("after thirty guesses: %d %v", w.Code, w.Header())
	}
	if w := try("192.0.2.2:1", "right"); w.Code != http.StatusNoContent {
		t.Errorf("from another address: %d", w.Code)
	}
	now = now.Add(time.Second)
	if w := try("192.0.2.1:1", "right"); w.Code != http.StatusNoContent {
		t.Errorf("after the wait: %d", w.Code)
	}
}

// The number of sessions is limited: the least recently used one is removed.
func TestManySessions(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	con := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: access.Admin}}, Now: func() time.Time { return now }})
	first := signIn(t, con)
	for range 1000 {
		now = now.Add(time.Millisecond)
		signIn(t, con)
	}
	if signedIn(con, request(t, http.MethodGet, first)) {
		t.Error("the least recently used of 1,001 sessions still exists")
	}
}

func TestStart(t *testing.T) {
	open := console.New(console.Config{Open: true, Version: "1.2.3", Where: "AWS eu-central-1"})
	if w := send(t, open, http.MethodGet, "/console/start", ""); !strings.Contains(w.Body.String(), `"keys":false,"login":false,"role":"admin","signedIn":true,"version":"1.2.3","where":"AWS eu-central-1"`) {
		t.Errorf("%s", w.Body)
	}
	closed := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: access.Admin}}})
	if w := send(t, closed, http.MethodGet, "/console/start", ""); !strings.Contains(w.Body.String(), `"keys":true,"login":true,"role":"none","signedIn":false`) {
		t.Errorf("%s", w.Body)
	}
}

package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
)

// Guessing is limited for each authentication method, and locks out only the address of the guesser.
func TestGuesses(t *testing.T) {
	const guesses = 3000
	now := time.Now().Truncate(time.Second)
	newHandler := func(t *testing.T) http.Handler {
		return newAPI(t, "state", vfs.NewMem(), "", func(c *api.Config) {
			c.Keys, c.Now = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}}, func() time.Time { return now }
		})
	}
	do := func(h http.Handler, from string, r *http.Request) int {
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	basic := func(t *testing.T, secret string) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/metrics", nil)
		r.SetBasicAuth("AKID", secret)
		return r
	}
	list := func(t *testing.T, secret string) *http.Request {
		return signed(t, "http://h", "ListStateMachines", "{}", signing{secret: secret, at: now})
	}
	for name, guess := range map[string]func(t *testing.T) *http.Request{
		"Basic":     func(t *testing.T) *http.Request { return basic(t, "guess") },
		"signature": func(t *testing.T) *http.Request { return list(t, "guess") },
		"unknown key": func(t *testing.T) *http.Request {
			r := list(t, "guess")
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKID", "NOBODY", 1))
			return r
		},
		"another path": func(t *testing.T) *http.Request {
			r := basic(t, "guess")
			r.URL.Path = "/rayorch/v1/info"
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(t)
			counts := map[int]int{}
			for range guesses {
				counts[do(h, "192.0.2.1:1", guess(t))]++
			}
			if counts[http.StatusTooManyRequests] != guesses-5 || counts[http.StatusUnauthorized]+counts[http.StatusForbidden] != 5 {
				t.Errorf("responses to the guesses, by status: %v", counts)
			}
			for _, r := range []*http.Request{basic(t, "secret"), list(t, "secret")} {
				if status := do(h, "192.0.2.1:2", r); status != http.StatusTooManyRequests {
					t.Errorf("%s during the wait: got %d, want 429", r.URL, status)
				}
			}
			for _, r := range []*http.Request{basic(t, "secret"), list(t, "secret")} {
				if status := do(h, "192.0.2.2:1", r); status != http.StatusOK {
					t.Errorf("%s from another address: %d", r.URL, status)
				}
			}
			// A local attacker does not lock out the owner's SDK.
			for range 20 {
				do(h, "127.0.0.1:1", guess(t))
			}
			if status := do(h, "127.0.0.1:2", list(t, "secret")); status != http.StatusOK {
				t.Errorf("signed request while a local attacker guesses: %d", status)
			}
			if status := do(h, "127.0.0.1:1", guess(t)); status != http.StatusTooManyRequests {
				t.Errorf("local attacker: %d", status)
			}
			r := basic(t, "secret")
			r.RemoteAddr = "192.0.2.2:1"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if method := map[bool]string{true: "signature", false: "password"}[name == "signature" || name == "unknown key"]; !strings.Contains(w.Body.String(), `rayorch_failed_attempts_total{method="`+method+`"} 30`) {
				t.Errorf("not counted: %s", w.Body)
			}
		})
	}
}

// A request without credentials, such as that of a probe or of a browser before sign-in, does not count as a failed attempt.
func TestNoCredentialIsNoGuess(t *testing.T) {
	url := signedServer(t)
	for range 20 {
		if status, body := get(t, url+"/metrics", nil); status != http.StatusUnauthorized {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, _ := get(t, url+"/metrics", func(r *http.Request) { r.SetBasicAuth("AKID", "secret") }); status != http.StatusOK {
		t.Errorf("after that, with the secret: %d", status)
	}
}

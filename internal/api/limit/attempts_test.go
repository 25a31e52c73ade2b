package limit_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/api/limit"
)

// clock is a clock that a test sets.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func from(address string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = address
	return r
}

// attempt returns the result of an attempt, and whether the credential was checked.
func attempt(a *limit.Attempts, address string, method limit.Method, right bool) (result string, checked bool) {
	err := a.Check(from(address), method, "id", func() bool { checked = true; return right })
	var wait *limit.WaitError
	switch {
	case err == nil:
		return "ok", checked
	case errors.As(err, &wait):
		return wait.Wait.String(), checked
	case errors.Is(err, limit.ErrWrong):
		return "wrong", checked
	}
	return err.Error(), checked
}

// The wait doubles with each failed attempt, and attempts during the wait are not checked.
func TestBackoff(t *testing.T) {
	at := &clock{time.Unix(1_700_000_000, 0)}
	a := limit.New(limit.Config{Now: at.now, Logger: slog.New(slog.DiscardHandler)}).Attempts
	const guesser = "192.0.2.1:5000"
	for _, method := range []limit.Method{limit.Password, limit.Form, limit.Signature, limit.Password, limit.Form} { // counted together
		if got, _ := attempt(a, guesser, method, false); got != "wrong" {
			t.Fatalf("one of the first five attempts: got %s, want wrong", got)
		}
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		want := time.Duration(seconds) * time.Second
		for range 3 { // attempts during the wait do not extend it
			if got, checked := attempt(a, guesser, limit.Password, true); got != want.String() || checked {
				t.Fatalf("got %s, checked: %v, want a wait of %s without a check", got, checked, want)
			}
		}
		if err := a.Waits(from("192.0.2.1:6000"), limit.Signature); err == nil {
			t.Error("a signature from an address that has never authenticated is checked during the wait")
		}
		at.Time = at.Add(want)
		if got, checked := attempt(a, guesser, limit.Password, false); got != "wrong" || !checked {
			t.Fatalf("after the wait: got %s, checked: %v, want wrong, checked", got, checked)
		}
	}
	at.Time = at.Add(2 * time.Hour)
	for range 4 {
		attempt(a, guesser, limit.Password, false)
	}
	if got, _ := attempt(a, guesser, limit.Password, true); got != "ok" {
		t.Errorf("four failures after two hours without one: got %s, want ok", got)
	}
}

// fail makes enough failed attempts that the address must wait.
func fail(a *limit.Attempts, address string) {
	for range 8 {
		attempt(a, address, limit.Password, false)
	}
}

// Guesses from one address do not lock out callers at others.
func TestNoLockoutForOthers(t *testing.T) {
	a := limit.New(limit.Config{Logger: slog.New(slog.DiscardHandler)}).Attempts
	attempt(a, "198.51.100.7:1", limit.Signature, true) // a shared address: its owner has authenticated
	for _, guesser := range []string{"127.0.0.1:1", "198.51.100.7:1", "192.0.2.1:1", "[2001:db8:1:2::1]:1"} {
		fail(a, guesser)
	}
	for _, c := range []struct {
		address string
		method  limit.Method
		want    bool
	}{
		{"192.0.2.2:1", limit.Password, true},
		{"192.0.2.1:2", limit.Signature, false},
		{"[::ffff:192.0.2.1]:2", limit.Signature, false},
		{"[2001:db8:1:3::1]:1", limit.Password, true},
		{"[2001:db8:1:2:ffff::2]:1", limit.Password, false}, // the same /64
		{"127.0.0.1:2", limit.Signature, true},              // the owner's SDK
		{"[::1]:2", limit.Signature, true},
		{"127.0.0.1:2", limit.Link, true},
		{"127.0.0.1:2", limit.Password, false},
		{"127.7.7.7:2", limit.Form, false}, // loopback has 16 million addresses
		{"198.51.100.7:2", limit.Signature, true},
		{"198.51.100.7:2", limit.Form, false},
	} {
		if got, _ := attempt(a, c.address, c.method, true); (got == "ok") != c.want {
			t.Errorf("correct %s from %s: got %s", c.method, c.address, got)
		}
		if err := a.Waits(from(c.address), c.method); (err == nil) != c.want {
			t.Errorf("Waits for %s from %s: %v", c.method, c.address, err)
		}
	}
	if got, checked := attempt(a, "127.0.0.1:1", limit.Signature, false); got == "wrong" || !checked {
		t.Errorf("wrong signature from loopback: got %s, checked: %v, want a wait, checked", got, checked)
	}
}

// The table of addresses has a maximum size, and evicts the least recently seen address.
func TestAddressesAreBounded(t *testing.T) {
	at := &clock{time.Unix(1_700_000_000, 0)}
	a := limit.New(limit.Config{Now: at.now, Logger: slog.New(slog.DiscardHandler)}).Attempts
	fail(a, "192.0.2.1:1")
	fail(a, "192.0.2.2:1")
	for i := range 10_050 {
		attempt(a, fmt.Sprintf("[2001:db8:%x::1]:1", i), limit.Password, false)
		if i%1000 == 0 {
			attempt(a, "192.0.2.2:1", limit.Password, false)
		}
	}
	if got, _ := attempt(a, "192.0.2.1:1", limit.Password, true); got != "ok" {
		t.Errorf("the least recently seen address was not evicted: %s", got)
	}
	if got, checked := attempt(a, "192.0.2.2:1", limit.Password, true); checked {
		t.Errorf("an address that continues to guess was evicted: %s", got)
	}
}

// Failed attempts are logged with the address, method and key, but cannot fill the log.
func TestFailedAttemptsAreLogged(t *testing.T) {
	var text bytes.Buffer
	at := &clock{time.Unix(1_700_000_000, 0)}
	a := limit.New(limit.Config{Now: at.now, Logger: slog.New(slog.NewTextHandler(&text, nil))}).Attempts
	for range 3000 {
		_ = a.Check(from("192.0.2.1:1"), limit.Form, "root\nlevel=ERROR "+strings.Repeat("x", 5000), func() bool { return false })
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 20 || len(text.String()) > 10_000 {
		t.Errorf("3,000 attempts logged %d lines, %d bytes", len(lines), text.Len())
	}
	for _, want := range []string{"address=192.0.2.1", "method=form", `key="root\nlevel=ERROR x`, "failures=1 "} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("%s is missing in %s", want, lines[0])
		}
	}
	text.Reset()
	at.Time = at.Add(time.Minute)
	attempt(a, "192.0.2.1:1", limit.Form, false)
	if !strings.Contains(text.String(), "unlogged=2980") {
		t.Errorf("a minute later: %s", text.String())
	}
	if got := a.Failed()[limit.Form]; got != 3001 {
		t.Errorf("counted %d failures, want 3001", got)
	}
}

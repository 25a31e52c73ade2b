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

// clock is one that a test sets.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func from(address string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = address
	return r
}

// attempt is what becomes of a credential, and whether it was looked at.
func attempt(a *limit.Attempts, address string, way limit.Way, right bool) (result string, looked bool) {
	err := a.Check(from(address), way, "id", func() bool { looked = true; return right })
	var wait *limit.WaitError
	switch {
	case err == nil:
		return "ok", looked
	case errors.As(err, &wait):
		return wait.Wait.String(), looked
	case errors.Is(err, limit.ErrWrong):
		return "wrong", looked
	}
	return err.Error(), looked
}

// An address that guesses on waits twice as long after each failed attempt, and its attempts are not looked at meanwhile.
func TestBackoff(t *testing.T) {
	at := &clock{time.Unix(1_700_000_000, 0)}
	a := limit.New(limit.Config{Now: at.now, Logger: slog.New(slog.DiscardHandler)}).Attempts
	const guesser = "192.0.2.1:5000"
	for _, way := range []limit.Way{limit.Password, limit.Form, limit.Signature, limit.Password, limit.Form} { // they count together
		if got, _ := attempt(a, guesser, way, false); got != "wrong" {
			t.Fatalf("one of the first five: %s", got)
		}
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		want := time.Duration(seconds) * time.Second
		for range 3 { // attempts while it waits do not make it wait longer
			if got, looked := attempt(a, guesser, limit.Password, true); got != want.String() || looked {
				t.Fatalf("got %s, looked at: %v, want a wait of %s", got, looked, want)
			}
		}
		if err := a.Waits(from("192.0.2.1:6000"), limit.Signature); err == nil {
			t.Error("a signature from an address that never proved anything is looked at")
		}
		at.Time = at.Add(want)
		if got, looked := attempt(a, guesser, limit.Password, false); got != "wrong" || !looked {
			t.Fatalf("after the wait: %s, looked at: %v", got, looked)
		}
	}
	at.Time = at.Add(2 * time.Hour)
	for range 4 {
		attempt(a, guesser, limit.Password, false)
	}
	if got, _ := attempt(a, guesser, limit.Password, true); got != "ok" {
		t.Errorf("after two quiet hours four failed attempts make it wait: %s", got)
	}
}

// fail makes an address wait.
func fail(a *limit.Attempts, address string) {
	for range 8 {
		attempt(a, address, limit.Password, false)
	}
}

// Guesses from one address do not lock out callers at others.
func TestNoLockoutForOthers(t *testing.T) {
	a := limit.New(limit.Config{Logger: slog.New(slog.DiscardHandler)}).Attempts
	attempt(a, "198.51.100.7:1", limit.Signature, true) // one that is shared
	for _, guesser := range []string{"127.0.0.1:1", "198.51.100.7:1", "192.0.2.1:1", "[2001:db8:1:2::1]:1"} {
		fail(a, guesser)
	}
	for _, c := range []struct {
		address string
		way     limit.Way
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
		if got, _ := attempt(a, c.address, c.way, true); (got == "ok") != c.want {
			t.Errorf("the right %s from %s: %s", c.way, c.address, got)
		}
		if err := a.Waits(from(c.address), c.way); (err == nil) != c.want {
			t.Errorf("%s from %s: before it is looked at: %v", c.way, c.address, err)
		}
	}
	if got, looked := attempt(a, "127.0.0.1:1", limit.Signature, false); got == "wrong" || !looked {
		t.Errorf("a wrong signature of loopback: %s, looked at: %v", got, looked)
	}
}

// The table of addresses does not grow with the number of attackers' addresses, and one that is used stays.
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
		t.Errorf("the address that was quiet longest is kept: %s", got)
	}
	if got, looked := attempt(a, "192.0.2.2:1", limit.Password, true); looked {
		t.Errorf("an address that guesses on is forgotten: %s", got)
	}
}

// Failed attempts are logged with what an operator needs, and cannot fill the log.
func TestFailedAttemptsAreLogged(t *testing.T) {
	var text bytes.Buffer
	at := &clock{time.Unix(1_700_000_000, 0)}
	a := limit.New(limit.Config{Now: at.now, Logger: slog.New(slog.NewTextHandler(&text, nil))}).Attempts
	for range 3000 {
		_ = a.Check(from("192.0.2.1:1"), limit.Form, "root\nlevel=ERROR "+strings.Repeat("x", 5000), func() bool { return false })
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 20 || len(text.String()) > 10_000 {
		t.Errorf("%d lines of %d bytes for 3,000 attempts", len(lines), text.Len())
	}
	for _, want := range []string{"address=192.0.2.1", "way=form", `key="root\nlevel=ERROR x`, "failures=1 "} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("no %s in %s", want, lines[0])
		}
	}
	text.Reset()
	at.Time = at.Add(time.Minute)
	attempt(a, "192.0.2.1:1", limit.Form, false)
	if !strings.Contains(text.String(), "unlogged=2980") {
		t.Errorf("a minute later: %s", text.String())
	}
	if got := a.Failed()[limit.Form]; got != 3001 {
		t.Errorf("%d are counted", got)
	}
}

package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/console"
)

// token returns the token of a new link.
func token(t *testing.T, con *console.Console) string {
	t.Helper()
	text, ok := strings.CutPrefix(con.Link(""), "#/login/")
	if !ok || len(text) < 26 {
		t.Fatalf("link: %s", con.Link(""))
	}
	return text
}

func TestLink(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	con := console.New(console.Config{Now: func() time.Time { return now }})
	exchange := func(token string, headers ...string) (int, []*http.Cookie) {
		if headers == nil {
			headers = own
		}
		w := send(t, con, http.MethodPost, "/console/link", `{"token":"`+token+`"}`, headers...)
		if w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), "rayorch console") {
			t.Errorf("the error does not contain the command for a new link: %s", w.Body)
		}
		return w.Code, w.Result().Cookies()
	}
	if link := con.Link("execution/arn%3Ax"); !strings.HasSuffix(link, "/execution/arn%3Ax") {
		t.Errorf("link to a page: %s", link)
	}
	if first, second := token(t, con), token(t, con); first == second {
		t.Error("two links have the same token")
	}
	for _, wrong := range []string{"", "made-up", token(t, con) + "x"} {
		if status, cookies := exchange(wrong); status != http.StatusForbidden || len(cookies) > 0 {
			t.Errorf("%q: %d", wrong, status)
		}
	}
	// A page of another site can neither sign in nor use up a link.
	good := token(t, con)
	for _, headers := range [][]string{
		{"Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin"},
		{"Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"},
		{"Content-Type", "application/json", "Origin", "http://evil.example"},
		{"Content-Type", "application/json"},
	} {
		if status, cookies := exchange(good, headers...); status != http.StatusBadRequest || len(cookies) > 0 {
			t.Errorf("%v: %d", headers, status)
		}
	}
	if w := send(t, con, http.MethodGet, "/console/link", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
	now = now.Add(5 * time.Minute)
	status, cookies := exchange(good)
	if status != http.StatusNoContent || len(cookies) != 1 || !cookies[0].HttpOnly {
		t.Fatalf("%d %v", status, cookies)
	}
	if caller, ok := con.Caller(request(t, http.MethodGet, cookies[0])); !ok || caller.Role != access.Admin {
		t.Errorf("caller: %+v, %v", caller, ok)
	}
	if status, cookies := exchange(good); status != http.StatusForbidden || len(cookies) > 0 {
		t.Errorf("second use: %d", status)
	}
	late := token(t, con)
	now = now.Add(5*time.Minute + time.Second)
	if status, cookies := exchange(late); status != http.StatusForbidden || len(cookies) > 0 {
		t.Errorf("after five minutes: %d", status)
	}
}

// A console without keys rejects everyone who has no link.
func TestClosedByDefault(t *testing.T) {
	con := console.New(console.Config{})
	if signedIn(con, request(t, http.MethodGet, nil)) {
		t.Error("a request without a session is accepted")
	}
	if w := send(t, con, http.MethodPost, "/console/login", `{"key":"","secret":""}`, own...); w.Code != http.StatusForbidden {
		t.Errorf("empty key: %d", w.Code)
	}
	if w := send(t, con, http.MethodPost, "/console/layout", "{}"); w.Code != http.StatusUnauthorized {
		t.Errorf("layout: %d", w.Code)
	}
}

// A console in front of an API, which has the credentials of its own user, enforces the role of the key with which a browser signed in.
func TestRolesOfFront(t *testing.T) {
	up, seen, _ := upstream(t, true)
	for _, c := range []struct {
		role   access.Role
		action string
		want   int
	}{
		{access.Read, "ListExecutions", http.StatusOK},
		{access.Read, "StartExecution", http.StatusForbidden},
		{access.Read, "StopExecution", http.StatusForbidden},
		{access.Run, "StartExecution", http.StatusOK},
		{access.Run, "DeleteStateMachine", http.StatusBadRequest},
	} {
		con := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: c.role}}})
		cookie := signIn(t, con)
		*seen = http.Request{}
		w := send(t, con.Front(allowAll, up), http.MethodPost, "/", "{}", "X-Amz-Target", "AWSStepFunctions."+c.action,
			"Sec-Fetch-Site", "same-origin", "Cookie", cookie.Name+"="+cookie.Value)
		if w.Code != c.want || (seen.Method != "") != (c.want == http.StatusOK) {
			t.Errorf("%s by a key with the role %s: %d %s, forwarded: %q", c.action, c.role, w.Code, w.Body, seen.Method)
		}
	}
	con := console.New(console.Config{Keys: access.Keys{"id": {Secret: "right", Role: access.Read}}})
	cookie := signIn(t, con)
	for path, want := range map[string]int{"/rayorch/v1/counts": http.StatusOK, "/rayorch/v1/secrets": http.StatusForbidden} {
		if w := send(t, con.Front(allowAll, up), http.MethodGet, path, "", "Cookie", cookie.Name+"="+cookie.Value); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

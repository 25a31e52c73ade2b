package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
)

// fetch requests an endpoint, and returns the status and the body.
func fetch(t testing.TB, url string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// machineWith creates a state machine and starts executions, which succeed immediately.
func machineWith(t testing.TB, base, name string, executions ...string) string {
	t.Helper()
	_, body := post(t, base, "CreateStateMachine", fmt.Sprintf(`{"name":%q,"roleArn":"arn:aws:iam::123456789012:role/r","definition":"{\"StartAt\":\"a\",\"States\":{\"a\":{\"Type\":\"Succeed\"}}}"}`, name), nil)
	var made struct{ StateMachineArn string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || made.StateMachineArn == "" {
		t.Fatal(err, body)
	}
	for _, x := range executions {
		_, body := post(t, base, "StartExecution", fmt.Sprintf(`{"stateMachineArn":%q,"name":%q}`, made.StateMachineArn, x), nil)
		var started struct{ ExecutionArn string }
		if err := json.Unmarshal([]byte(body), &started); err != nil {
			t.Fatal(err, body)
		}
		untilEnded(t, base, started.ExecutionArn)
	}
	return made.StateMachineArn
}

// untilEnded waits until an execution has ended. It needs several requests, because each waits for a limited time.
func untilEnded(t testing.TB, base, execution string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; {
		_, body := fetch(t, base+"/rayorch/v1/watch?after=1000&execution="+url.QueryEscape(execution))
		if strings.Contains(body, `"closed":true`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not end: %s", execution, body)
		}
	}
}

func TestSearchAndCounts(t *testing.T) {
	base := serve(t, "")
	one := machineWith(t, base, "one", "apple", "pear", "Apple-pie")
	machineWith(t, base, "two", "plum")
	machineWith(t, base, "one-cleanup", "hidden-apple")
	for _, c := range []struct{ query, want string }{
		{"", "plum Apple-pie pear apple"},
		{"name=APPLE", "Apple-pie apple"},
		{"name=apple&all=true", "hidden-apple Apple-pie apple"},
		{"machine=" + url.QueryEscape(one), "Apple-pie pear apple"},
		{"machine=" + url.QueryEscape(one+":3"), "Apple-pie pear apple"},
		{"status=FAILED", ""},
		{"before=2001-01-01T00:00:00Z", ""},
		{"after=1000000000&limit=2", "plum Apple-pie"},
	} {
		status, body := fetch(t, base+"/rayorch/v1/executions?"+c.query)
		var page struct {
			Executions []struct{ Name, Status, ExecutionArn string }
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK {
			t.Fatal(status, err, body)
		}
		var got []string
		for _, x := range page.Executions {
			got = append(got, x.Name)
			if x.Status != "SUCCEEDED" || !strings.HasPrefix(x.ExecutionArn, "arn:") {
				t.Errorf("%s: %+v", c.query, x)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.query, got, c.want)
		}
	}
	if _, body := fetch(t, base+"/rayorch/v1/counts"); !strings.Contains(body, `"counts":{"SUCCEEDED":4}`) || !strings.Contains(body, `:two":{"SUCCEEDED":1}`) || !strings.Contains(body, `"whole":true`) {
		t.Errorf("counts: %s", body)
	}
	for _, bad := range []string{"executions?limit=x", "executions?after=yesterday", "executions?status=DONE", "executions?next=%21", "counts?before=-1"} {
		if status, body := fetch(t, base+"/rayorch/v1/"+bad); status != http.StatusBadRequest || body == "" {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
}

// The stream of changes has an event when executions start, and ends when the server closes.
func TestChanges(t *testing.T) {
	closing := make(chan struct{})
	base := newServer(t, "", func(c *api.Config) { c.Closing = closing }).URL
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/rayorch/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != `data: {"open":0}` {
		t.Fatalf("first event: %q, %v", lines.Text(), lines.Err())
	}
	machineWith(t, base, "m", "x")
	lines.Scan() // the empty line that ends an event
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "data: ") {
		t.Fatalf("after a start: %q, %v", lines.Text(), lines.Err())
	}
	close(closing)
	for lines.Scan() { // until the stream ends
	}
}

// The only request from another site that is allowed is following a link to the console.
func TestGuardAndVisits(t *testing.T) {
	base := newServer(t, "", func(c *api.Config) {
		c.Console = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	}).URL
	visit := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for _, c := range []struct {
		path    string
		headers []string
		want    int
	}{
		{"/console/", visit, http.StatusOK},
		{"/", visit, http.StatusOK}, // redirects to the console
		{"/console/", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, http.StatusOK},
		{"/console/", nil, http.StatusOK},
		{"/console/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, http.StatusForbidden},
		{"/console/main.js", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, http.StatusForbidden},
		{"/rayorch/v1/info", visit, http.StatusForbidden},
		{"/metrics", visit, http.StatusForbidden},
	} {
		if status, body := fetch(t, base+c.path, c.headers...); status != c.want {
			t.Errorf("%s with %v: %d %s", c.path, c.headers, status, body)
		}
	}
}

// A browser that is signed in needs no key.
func TestSession(t *testing.T) {
	base := newServer(t, "", func(c *api.Config) {
		c.Keys = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}}
		c.Session = func(r *http.Request) (access.Caller, bool) {
			return access.Caller{Key: "AKID", Role: access.Read}, r.Header.Get("Cookie") == "in=1"
		}
	}).URL
	if status, _ := fetch(t, base+"/rayorch/v1/info", "Cookie", "in=1"); status != http.StatusOK {
		t.Errorf("endpoint, with a session: %d", status)
	}
	if status, _ := fetch(t, base+"/rayorch/v1/info"); status != http.StatusUnauthorized {
		t.Errorf("endpoint, without a session: %d", status)
	}
	if resp, body := post(t, base, "ListStateMachines", "{}", map[string]string{"Cookie": "in=1"}); resp.StatusCode != http.StatusOK {
		t.Errorf("action, with a session: %d %s", resp.StatusCode, body)
	}
	if resp, _ := post(t, base, "ListStateMachines", "{}", nil); resp.StatusCode != http.StatusForbidden {
		t.Errorf("action, without a session: %d", resp.StatusCode)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/console"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// browser signs in to a console, and starts executions through it.
type browser struct {
	http.Client
	url string
}

func newBrowser(t *testing.T, site *consoleSite) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{http.Client{Jar: jar}, strings.TrimSuffix(site.url, "/console/")}
}

func (b *browser) post(t *testing.T, path, action string, v any) string {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", b.url)
	if action != "" {
		r.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set(access.OriginHeader, "") // claims to be the owner: the console must ignore it
	}
	resp, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %d %s, %v", path, action, resp.StatusCode, text, err)
	}
	return string(text)
}

// TestConsoleKeysAreNotTheOwner: rayorch console sends requests as the owner of the state directory. A user who signs in with a key is not
// the owner; a user who signs in with the owner's link is.
func TestConsoleKeysAreNotTheOwner(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	s := &session{app: testApp(d.dir, io.Discard), dir: d.dir}
	s.joinOwner(d.own.addr)
	up, _, err := s.upstream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := access.Keys{"RUNNER": {Secret: "secret-of-the-runner", Role: access.Run}}
	site, err := serveConsole(t.Context(), "127.0.0.1:0", console.Config{Keys: keys}, up)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.close() })
	arn := register(t, d.socket, "computes", machine(eksCall, `"{% $states.input %}"`))
	start := func(b *browser) engine.Execution {
		var x struct{ ExecutionArn string }
		text := b.post(t, "/", "StartExecution", map[string]string{
			"stateMachineArn": arn, "input": `{"ClusterName": "other", "Method": "GET", "Path": "/"}`})
		if err := json.Unmarshal([]byte(text), &x); err != nil {
			t.Fatal(err)
		}
		return d.wait(t, x.ExecutionArn)
	}
	byKey, byLink := newBrowser(t, site), newBrowser(t, site)
	byKey.post(t, "/console/login", "", map[string]string{"key": "RUNNER", "secret": "secret-of-the-runner"})
	d.refuses(t, start(byKey), "--allow-context other")
	byLink.post(t, "/console/link", "", map[string]string{"token": strings.TrimPrefix(site.con.Link(""), "#/login/")})
	if x := start(byLink); x.Error != "EKS.404" {
		t.Errorf("with the owner's link: %s %s", x.Error, x.Cause)
	}
}

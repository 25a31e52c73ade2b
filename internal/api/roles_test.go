package api_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
)

var roleKeys = access.Keys{
	"READER": {Secret: "secret-of-the-reader", Role: access.Read},
	"RUNNER": {Secret: "secret-of-the-runner", Role: access.Run},
	"ADMIN":  {Secret: "secret-of-the-admin", Role: access.Admin},
}

// asKey sends a request that is signed with a key in roleKeys. what is an action, or METHOD PATH.
func asKey(t *testing.T, base, id, what, body string) (int, string) {
	t.Helper()
	method, path, isPath := strings.Cut(what, " ")
	if !isPath {
		method, path = http.MethodPost, "/"
	}
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	if !isPath {
		r.Header.Set("X-Amz-Target", "AWSStepFunctions."+what)
	}
	sum := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: id, SecretAccessKey: roleKeys[id].Secret}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "states", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("amz-sdk-invocation-id", rand.Text()) // as SDKs do: calls in the same second have the same signature
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Each action is denied to exactly those keys whose role is lower than the action's.
func TestRolesOfActions(t *testing.T) {
	base := newServer(t, "", func(c *api.Config) { c.Keys = roleKeys }).URL
	denied := map[string]bool{} // by key and action
	for _, action := range api.Actions() {
		need, named := access.Need(action)
		if !named {
			t.Errorf("the table of roles does not contain %s", action)
		}
		for id, key := range roleKeys {
			status, body := asKey(t, base, id, action, "{}")
			refused := status == http.StatusForbidden && strings.Contains(body, `"__type":"AccessDeniedException"`) &&
				strings.Contains(body, id) && strings.Contains(body, key.Role.String()) && strings.Contains(body, "states:"+action)
			if refused != (key.Role < need) || status == http.StatusForbidden && !refused {
				t.Errorf("%s by %s: %d %s", action, id, status, body)
			}
			denied[id+" "+action] = refused
		}
	}
	for call, want := range map[string]bool{
		"READER ListExecutions": false, "READER GetExecutionHistory": false, "READER DescribeStateMachine": false,
		"READER StartExecution": true, "READER StopExecution": true, "READER RedriveExecution": true, "READER TestState": true,
		"RUNNER StartExecution": false, "RUNNER StartSyncExecution": false, "RUNNER StopExecution": false, "RUNNER RedriveExecution": false,
		"RUNNER CreateStateMachine": true, "RUNNER UpdateStateMachine": true, "RUNNER UpdateStateMachineAlias": true, "RUNNER TestState": true,
		"RUNNER DeleteStateMachine": true, "RUNNER GetActivityTask": true, "ADMIN TestState": false, "ADMIN CreateStateMachine": false,
	} {
		if got, called := denied[call]; got != want || !called {
			t.Errorf("%s: denied: %v, called: %v", call, got, called)
		}
	}
}

// Each endpoint is denied to exactly those keys whose role is lower than the endpoint's.
func TestRolesOfEndpoints(t *testing.T) {
	base := newServer(t, "", func(c *api.Config) { c.Keys, c.Pprof = roleKeys, true }).URL
	for _, e := range api.Endpoints() {
		endpoint := e.Pattern
		if e.Open {
			continue
		}
		need, named := access.Need(endpoint)
		if !named {
			t.Errorf("the table of roles does not contain %s", endpoint)
		}
		if strings.HasSuffix(endpoint, "/changes") || strings.HasSuffix(endpoint, "/profile") || strings.HasSuffix(endpoint, "/trace") {
			continue // their responses do not end soon
		}
		for id, key := range roleKeys {
			status, body := asKey(t, base, id, endpoint, "")
			allowed := key.Role >= need
			missing := status == http.StatusNotFound || status == http.StatusMethodNotAllowed // this server does not have all endpoints
			if !missing && (status == http.StatusForbidden) == allowed {
				t.Errorf("%s by %s: %d %s", endpoint, id, status, body)
			}
		}
	}
	for _, c := range []struct {
		id, endpoint string
		want         int
	}{
		{"READER", "GET /metrics", http.StatusOK},
		{"READER", "GET /rayorch/v1/counts", http.StatusOK},
		{"READER", "GET /debug/pprof/", http.StatusForbidden},
		{"READER", "GET /debug/pprof/heap", http.StatusForbidden},
		{"READER", "POST /rayorch/v1/resume", http.StatusForbidden},
		{"RUNNER", "GET /debug/pprof/", http.StatusForbidden},
		{"RUNNER", "POST /rayorch/v1/resume", http.StatusNoContent},
		{"ADMIN", "GET /debug/pprof/", http.StatusOK},
		{"READER", "GET /nowhere", http.StatusNotFound},
	} {
		if status, body := asKey(t, base, c.id, c.endpoint, ""); status != c.want {
			t.Errorf("%s by %s: %d %s", c.endpoint, c.id, status, body)
		}
	}
}

// Roles also apply to Basic authentication.
func TestRolesByPassword(t *testing.T) {
	base := newServer(t, "", func(c *api.Config) { c.Keys, c.Pprof = roleKeys, true }).URL
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/debug/pprof/": http.StatusForbidden} {
		status, body := get(t, base+path, func(r *http.Request) { r.SetBasicAuth("READER", roleKeys["READER"].Secret) })
		if status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// Only the server on the socket has the endpoint for links to the console.
func TestConsoleLink(t *testing.T) {
	link, ok := "", false
	base := newServer(t, "", func(c *api.Config) { c.ConsoleLink = func() (string, bool) { return link, ok } }).URL
	if resp, err := http.Post(base+"/rayorch/v1/console", "", nil); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("without a console: %v %v", resp, err)
	}
	link, ok = "http://127.0.0.1:1/console/#/login/TOKEN", true
	resp, err := http.Post(base+"/rayorch/v1/console", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	if string(text) != `{"link":"`+link+"\"}\n" {
		t.Errorf("%s", text)
	}
	if resp, err := http.Post(serve(t, "")+"/rayorch/v1/console", "", nil); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("server without Config.ConsoleLink: %v %v", resp, err)
	}
}

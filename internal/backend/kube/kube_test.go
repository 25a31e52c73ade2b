package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// kubeconfig writes a kubeconfig with two contexts.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	text := `{"apiVersion": "v1", "kind": "Config", "current-context": "one",
"clusters": [{"name": "c", "cluster": {"server": "` + server + `"}}],
"users": [{"name": "u", "user": {"token": "secret-token"}}],
"contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
             {"name": "two", "context": {"cluster": "c", "user": "u"}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	path := kubeconfig(t, "https://127.0.0.1:1")
	c, err := kube.Open(kube.Config{Kubeconfig: path})
	if err != nil || c.Context() != "one" || c.Namespace() != "team" || c.Server() != "https://127.0.0.1:1" {
		t.Errorf("%v: %+v", err, c)
	}
	if c, err = kube.Open(kube.Config{Kubeconfig: path, Context: "two"}); err != nil || c.Namespace() != "default" {
		t.Errorf("%v: %+v", err, c)
	}
	names, current, err := kube.Contexts(path)
	if err != nil || cmp.Diff([]string{"one", "two"}, names) != "" || current != "one" {
		t.Errorf("%v %v %v", names, current, err)
	}
}

func TestOpenFails(t *testing.T) {
	path := kubeconfig(t, "https://127.0.0.1:1")
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  kube.Config
		want string
	}{
		{"no such file", kube.Config{Kubeconfig: "/no/such"}, "kubeconfig /no/such not found"},
		{"broken file", kube.Config{Kubeconfig: broken}, "kubeconfig: "},
		{"no such context", kube.Config{Kubeconfig: path, Context: "three"}, `no context "three": choose one of one, two`},
		{"authority", kube.Config{Endpoint: "https://127.0.0.1:1", CertificateAuthority: "%"}, "must be PEM in base64"},
		{"endpoint", kube.Config{Endpoint: "::"}, "not a URL such as https://HOST:6443"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := kube.Open(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("none at all", func(t *testing.T) {
		t.Setenv("KUBECONFIG", "/no/such")
		t.Setenv("KUBERNETES_SERVICE_HOST", "")
		if _, err := kube.Open(kube.Config{}); !errors.Is(err, kube.ErrNoConfig) {
			t.Errorf("got %v", err)
		}
	})
}

// serve returns a client of a test server.
func serve(t *testing.T, handler http.HandlerFunc) *kube.Client {
	t.Helper()
	return serveFor(t, 5*time.Minute, handler)
}

// serveFor returns a client of a test server with the given timeout.
func serveFor(t *testing.T, timeout time.Duration, handler http.HandlerFunc) *kube.Client {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	token := func(context.Context) (string, error) { return "secret-token", nil } // client-go does not send a kubeconfig's token over plain HTTP
	c, err := kube.Open(kube.Config{Endpoint: srv.URL + "/behind/a/gateway", Token: token, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDo verifies the request that the server gets, and that paths to other servers or objects are rejected.
func TestDo(t *testing.T) {
	var got *http.Request
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = w.Write([]byte(`{}`))
	})
	_, err := c.Do(t.Context(), kube.Request{Path: "/api/v1?limit=1", Query: map[string][]string{"watch": {"false"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got.URL.String() != "/behind/a/gateway/api/v1?limit=1&watch=false" {
		t.Errorf("got %s", got.URL)
	}
	if got.Header.Get("Authorization") != "Bearer secret-token" || got.Header.Get("User-Agent") != "rayorch" {
		t.Errorf("got %v", got.Header)
	}
	for _, path := range []string{"//elsewhere/api", "https://elsewhere/api", "api", ""} {
		if _, err := c.Do(t.Context(), kube.Request{Path: path}); err == nil || !strings.Contains(err.Error(), "not contain a host") {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, path := range []string{"/api/../x", "/api/%2e%2e/x", "/api/%2E./x", "/./x", "/x/..",
		kube.ObjectPath("v1", "n", "services", "..") + "/proxy/", kube.ObjectPath("v1", "..", "services", "a")} {
		if _, err := c.Do(t.Context(), kube.Request{Path: path}); err == nil || !strings.Contains(err.Error(), "must not contain . or ..") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestNoRedirects verifies that the client does not follow redirects, which would send the credentials to another server.
func TestNoRedirects(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(elsewhere.Close)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	_, err := c.Do(t.Context(), kube.Request{Path: "/api"})
	if kube.Code(err) != http.StatusFound || reached {
		t.Errorf("reached %v: %v", reached, err)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name      string
		code      int
		body      string
		want      string
		temporary bool
	}{
		{"unauthorized", 401, `{"kind":"Status","message":"Unauthorized"}`, "log in to the cluster again", false},
		{"forbidden", 403, `{"kind":"Status","message":"jobs.batch is forbidden: User \"a\" cannot create resource \"jobs\""}`,
			`cannot create resource "jobs": grant the permission with a Role`, false},
		{"no status", 502, "<html>bad</html>", "502 <html>bad</html>", true},
		{"nothing", 503, "", "503 Service Unavailable", true},
		{"busy", 429, "", "429 Too Many Requests", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.code)
				_, _ = w.Write([]byte(test.body))
			})
			res, err := c.Do(t.Context(), kube.Request{Path: "/api"})
			if err == nil || !strings.Contains(err.Error(), test.want) || kube.Temporary(err) != test.temporary {
				t.Errorf("got %v", err)
			}
			if res.Status != test.code || string(res.Body) != test.body {
				t.Errorf("got %+v", res)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	c, err := kube.Open(kube.Config{Kubeconfig: kubeconfig(t, "http://127.0.0.1:1")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), kube.Request{Path: "/api"})
	if !kube.Temporary(err) || !strings.Contains(err.Error(), "http://127.0.0.1:1") || !strings.Contains(err.Error(), "is running") {
		t.Errorf("got %v", err)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	if c, err = kube.Open(kube.Config{Kubeconfig: kubeconfig(t, secure.URL)}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), kube.Request{Path: "/api"})
	if kube.Temporary(err) || err == nil || !strings.Contains(err.Error(), "certificate authority") {
		t.Errorf("got %v", err)
	}
	refuse := func(context.Context) (string, error) { return "", errors.New("no credentials here") }
	if c, err = kube.Open(kube.Config{Endpoint: "http://127.0.0.1:1", Token: refuse}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), kube.Request{Path: "/api"})
	if kube.Temporary(err) || err == nil || !strings.Contains(err.Error(), "no credentials here") {
		t.Errorf("got %v", err)
	}
}

// TestHangingServer verifies that a request times out.
func TestHangingServer(t *testing.T) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	c := serveFor(t, 100*time.Millisecond, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	_, err := c.Do(t.Context(), kube.Request{Path: "/api"})
	if !kube.Temporary(err) || !strings.Contains(err.Error(), "no response within 100ms") {
		t.Errorf("got %v", err)
	}
}

// timedOut is a timeout error of a transport, such as that of net/http for a TLS handshake.
type timedOut struct{ error }

func (timedOut) Timeout() bool   { return true }
func (timedOut) Temporary() bool { return true }

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// TestSlowHandshake verifies that the client only retries if a connection was not established in time: only then it is certain that
// the request had no effect.
func TestSlowHandshake(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		tries int
	}{
		{"handshake", timedOut{errors.New("net/http: TLS handshake timeout")}, 3},
		{"connection", &net.OpError{Op: "dial", Err: timedOut{errors.New("i/o timeout")}}, 3},
		{"answer", &net.OpError{Op: "read", Err: timedOut{errors.New("connection timed out")}}, 1},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, func(http.ResponseWriter, *http.Request) {})
			tries := 0
			kube.Through(c, transport(func(r *http.Request) (*http.Response, error) {
				if tries++; tries < 3 {
					return nil, test.err
				}
				if text, err := io.ReadAll(r.Body); err != nil || string(text) != "{}" {
					t.Errorf("sent %q, %v", text, err)
				}
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}))
			_, err := c.Do(t.Context(), kube.Request{Method: http.MethodPost, Path: "/api", Body: []byte("{}")})
			if tries != test.tries || (err == nil) != (tries == 3) {
				t.Errorf("%d tries: %v", tries, err)
			}
		})
	}
}

// TestFollow follows an object through all kinds of interruptions of a watch.
func TestFollow(t *testing.T) {
	const job = `{"kind":"Job","metadata":{"name":"j","uid":"1","resourceVersion":"5"}}`
	event := func(kind, object string) string { return `{"type":"` + kind + `","object":` + object + "}\n" }
	gone := event("ERROR", `{"kind":"Status","code":410}`)
	state := func(s string) string { return `{"metadata":{"name":"j","uid":"1","annotations":{"s":"` + s + `"}}}` }
	watches := []string{
		gone, // the version is too old
		event("BOOKMARK", `{}`) + event("MODIFIED", state("1")), // then the connection is closed
		event("ERROR", `{"kind":"Status","code":500}`),
		`{"type":"MODIF`,
		event("DELETED", job),
	}
	reads := []any{job, job, 503, job, job, job, 404}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			if got := r.URL.Query().Get("resourceVersion"); got != "5" {
				t.Errorf("the watch starts at version %q", got)
			}
			next := watches[0]
			watches = watches[1:]
			_, _ = w.Write([]byte(next))
			return
		}
		next := reads[0]
		reads = reads[1:]
		if code, ok := next.(int); ok {
			w.WriteHeader(code)
			return
		}
		_, _ = w.Write([]byte(next.(string)))
	})
	var seen []string
	err := c.WatchJob(t.Context(), "ns", "j", func(j kube.Job, missing bool) bool {
		seen = append(seen, j.Metadata.UID+j.Metadata.Annotations["s"])
		return missing
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", "1", "11", "1", "1", "1", ""}, seen); diff != "" {
		t.Error(diff)
	}
}

// TestFollowPolls verifies that Follow polls if the client is not allowed to watch.
func TestFollowPolls(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"metadata":{"uid":"1"}}`))
	})
	n := 0
	err := c.WatchJob(t.Context(), "ns", "j", func(kube.Job, bool) bool { n++; return n == 3 })
	if err != nil || n != 3 {
		t.Errorf("see was called %d times: %v", n, err)
	}
}

const setSecurityContext = "set securityContext of the step's job or of the target's pods"

// TestExplain verifies the reasons for states that are hard to produce in a real cluster.
func TestExplain(t *testing.T) {
	pod := func(status string) string { return `{"metadata":{"name":"p","uid":"u"},"status":` + status + `}` }
	waiting := func(reason, message string) string {
		return pod(`{"phase":"Pending","containerStatuses":[{"name":"main","image":"i:1","state":{"waiting":{"reason":"` + reason +
			`","message":"` + message + `"}}}]}`)
	}
	tests := []struct {
		name   string
		job    string
		pod    string
		events string
		want   string
		ran    bool
	}{
		{"nothing wrong", `{}`, pod(`{"phase":"Running","containerStatuses":[{"state":{"running":{}}}]}`), "", "", true},
		{"suspended", `{"spec":{"suspend":true}}`, "", "", "the job is suspended: its queue has not admitted it yet", false},
		{"evicted", `{}`, pod(`{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory."}`), "",
			"the pod p was evicted: The node was low on resource: memory.", false},
		{"preempted", `{}`, pod(`{"phase":"Failed","conditions":[{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler","message":"preempting"}]}`),
			"", "the pod p was terminated by the cluster: preempting", false},
		{"crash loop", `{}`, pod(`{"containerStatuses":[{"name":"main","state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":2}}}]}`),
			"", "the pod p failed: container main ended with exit code 2", true},
		{"signal", `{}`, pod(`{"containerStatuses":[{"name":"main","state":{"terminated":{"exitCode":139,"signal":11}}}]}`),
			"", "the pod p failed: container main was terminated by signal 11", true},
		{"bad image name", `{}`, waiting("InvalidImageName", "couldn't parse"), "",
			"the pod p cannot start: the image i:1 cannot be pulled: couldn't parse: check its name and the pull secret", false},
		{"secret", `{}`, waiting("CreateContainerConfigError", "secret 's' not found"), "",
			"the pod p cannot start: container main: CreateContainerConfigError: secret 's' not found: create the Secret", false},
		{"root", `{}`, waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), "",
			"the pod p cannot start: container main: CreateContainerConfigError: container has runAsNonRoot and image will run as root: " + setSecurityContext, false},
		{"user without a number", `{}`, waiting("CreateContainerConfigError", "container has runAsNonRoot and image has non-numeric user (ray), cannot verify user is non-root"), "",
			"the pod p cannot start: container main: CreateContainerConfigError: container has runAsNonRoot and image has non-numeric user (ray), " +
				"cannot verify user is non-root: " + setSecurityContext, false},
		{"root by name", `{}`, waiting("CreateContainerConfigError", "container's runAsUser breaks non-root policy"), "",
			"the pod p cannot start: container main: CreateContainerConfigError: container's runAsUser breaks non-root policy: " + setSecurityContext, false},
		{"pod security", `{}`, "", `{"involvedObject":{"kind":"Job"},"reason":"FailedCreate","message":"Error creating: pods \"p\" is forbidden: ` +
			`violates PodSecurity \"restricted:latest\": runAsNonRoot != true, restricted volume types (volume \"x\" uses type \"secret\")"}`,
			`its pods cannot be created: Error creating: pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true, ` +
				`restricted volume types (volume "x" uses type "secret"): ` + setSecurityContext, false},
		{"sandbox", `{}`, pod(`{"phase":"Pending"}`), `{"involvedObject":{"kind":"Pod","uid":"u"},"reason":"FailedCreatePodSandBox","message":"no network"}`,
			"the pod p cannot start: no network", false},
		{"mount, repeated while the pod is deleted", `{}`, pod(`{"phase":"Pending"}`), `{"involvedObject":{"kind":"Pod","uid":"u"},"reason":"FailedMount",
			"message":"MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found"},{"involvedObject":{"kind":"Pod","uid":"u"},"reason":"FailedMount",
			"message":"MountVolume.SetUp failed for volume \"v\" : object \"n\"/\"c\" not registered"}`, "the pod p cannot start: a volume cannot be mounted: " +
			"MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found: create the ConfigMap: run rayorch apply", false},
		{"another pod's", `{}`, pod(`{"phase":"Pending"}`), `{"involvedObject":{"kind":"Pod","uid":"x"},"reason":"FailedMount","message":"m"}`, "", false},
		{"deleted", `{"status":{"conditions":[{"type":"Failed","status":"True","reason":"BackoffLimitExceeded"}]}}`,
			`{"metadata":{"name":"p","deletionTimestamp":"2026-11-23T18:00:00Z"},"status":{"containerStatuses":[{"state":{"terminated":{"exitCode":137}}}]}}`,
			"", "the pod p was deleted while it was running, directly or with its namespace", true},
		{"pods deleted", `{"status":{"conditions":[{"type":"Failed","status":"True","reason":"BackoffLimitExceeded","message":"m"}]}}`, "", "",
			"its pods were deleted, directly or with their namespace", false},
		{"pods deleted after a temporary problem", `{"metadata":{"name":"j"},"status":{"conditions":[{"type":"Failed","status":"True","reason":"BackoffLimitExceeded"}]}}`, "",
			`{"involvedObject":{"kind":"Pod","name":"j-1","uid":"u"},"reason":"FailedMount","message":"failed to sync configmap cache: timed out"}`,
			"its pods were deleted, directly or with their namespace", false},
		{"policy", `{"status":{"conditions":[{"type":"Failed","status":"True","reason":"PodFailurePolicy","message":"rule"}]}}`, "", "",
			"the job failed: PodFailurePolicy: rule", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j, err := kube.DecodeJob([]byte(test.job))
			if err != nil {
				t.Fatal(err)
			}
			var pods []kube.Pod
			var events []kube.EventRecord
			parse(t, "["+test.pod+"]", &pods)
			parse(t, "["+test.events+"]", &events)
			if got := kube.Explain(j, pods, events); got.String() != test.want || got.Ran != test.ran {
				t.Errorf("got %q, ran %v", got, got.Ran)
			}
		})
	}
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// TestActionText checks that people do not see the names of actions that only JSON output contains.
func TestActionText(t *testing.T) {
	for action, want := range map[string]string{kube.Created: "created", kube.Absent: "not found", kube.Foreign: "not managed by rayorch"} {
		if got := kube.ActionText(action); got != want {
			t.Errorf("%q: got %q, want %q", action, got, want)
		}
	}
}

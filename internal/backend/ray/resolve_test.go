package ray_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// found returns the dashboard of a fake Ray, as if it were running on this machine.
func found(fake *raytest.Fake, t *testing.T, gcs string) ray.Dashboard {
	t.Helper()
	version, err := fake.Client(t).Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ray.Dashboard{Address: fake.URL, GCS: gcs, Session: version.SessionName}
}

func TestResolve(t *testing.T) {
	here, other := raytest.NewFake(""), raytest.NewFake("")
	defer here.Close()
	defer other.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>"))
	}))
	defer page.Close()
	running := []ray.Dashboard{found(here, t, "192.0.2.7:6379")}
	stale := found(other, t, "192.0.2.7:1")
	stale.Session = "session_of_another_ray"
	closed := raytest.RefusingAddress(t)
	_, fakePort, err := net.SplitHostPort(strings.TrimPrefix(here.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name       string
		flag       string
		env        map[string]string
		dashboards []ray.Dashboard
		want       string // the address
		source     string
		fails      string
	}{
		{"the flag takes precedence", other.URL, map[string]string{"RAY_ADDRESS": "nonsense"}, running, other.URL, "--ray-address", ""},
		{"then RAY_API_SERVER_ADDRESS", "", map[string]string{"RAY_API_SERVER_ADDRESS": other.URL, "RAY_ADDRESS": "nonsense"}, running, other.URL, "RAY_API_SERVER_ADDRESS", ""},
		{"then RAY_ADDRESS", "", map[string]string{"RAY_ADDRESS": other.URL + "/"}, running, other.URL, "RAY_ADDRESS", ""},
		{"auto", "", map[string]string{"RAY_ADDRESS": "auto"}, running, here.URL, "RAY_ADDRESS auto, a Ray running on this machine", ""},
		{"auto without a Ray", "auto", nil, nil, "", "", "no Ray is running on this machine"},
		{"a Ray on this machine", "", nil, running, here.URL, "a Ray running on this machine", ""},
		{"a dashboard whose session differs is not used", "", nil, []ray.Dashboard{stale}, "", "", "no Ray is running on this machine"},
		{"no Ray", "", nil, nil, "", "", "rayorch ray start"},
		{"the GCS of a Ray on this machine", "192.0.2.7:6379", nil, running, here.URL, "whose dashboard runs on this machine", ""},
		{"the GCS with a loopback address", "localhost:6379", nil, running, here.URL, "whose dashboard runs on this machine", ""},
		{"a dashboard without http://", "127.0.0.1:" + fakePort, nil, nil, "http://127.0.0.1:" + fakePort, "with its dashboard", ""},
		{"a GCS with an unknown dashboard", closed, nil, nil, "", "", "http://127.0.0.1:8265"},
		{"a Ray client server", "ray://127.0.0.1:1", nil, nil, "", "", "http://127.0.0.1:8265"},
		{"a port on which nobody listens", "http://" + closed, nil, nil, "", "", "cannot be reached"},
		{"a web page", page.URL, nil, nil, "", "", "is not a Ray dashboard"},
		{"not an address", "what is this", nil, nil, "", "", "HOST:6379"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := ray.Resolver{
				Flag: test.flag, Getenv: func(name string) string { return test.env[name] },
				Dashboards: func() ([]ray.Dashboard, error) { return test.dashboards, nil },
			}
			got, err := r.Resolve(t.Context())
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err == nil && (got.Address != test.want || !strings.Contains(got.Source, test.source)) {
				t.Errorf("got %s from %q, want %s from %q", got.Address, got.Source, test.want, test.source)
			}
		})
	}
}

func TestResolveUsesTheToken(t *testing.T) {
	fake := raytest.NewFake("the-token")
	defer fake.Close()
	home := t.TempDir()
	r := ray.Resolver{Flag: fake.URL, Home: home}
	if _, err := r.Resolve(t.Context()); ray.KindOf(err) != ray.Unauthorized {
		t.Errorf("without a token: %v", err)
	}
	write(t, home, ".ray/auth_token", "the-token")
	got, err := r.Resolve(t.Context())
	if err != nil || got.TokenSource != filepath.Join(home, ".ray", "auth_token") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestForeignRaysAreNotUsed: Rays on this machine that require another token or belong to another state directory are not used. The error
// contains the reason if there is no other Ray.
func TestForeignRaysAreNotUsed(t *testing.T) {
	foreign, mine, anybody := raytest.NewFake("another-token"), raytest.NewFake(""), raytest.NewFake("")
	defer foreign.Close()
	defer anybody.Close()
	defer mine.Close()
	dir := t.TempDir()
	r := ray.Resolver{
		Own: &ray.Head{Dir: dir},
		Dashboards: func() ([]ray.Dashboard, error) {
			open := found(anybody, t, "")
			open.TempDir = "/tmp/rayorch-ray-4711"
			return []ray.Dashboard{open, {Address: foreign.URL, Session: "theirs"}}, nil
		},
	}
	if _, err := r.Resolve(t.Context()); !errors.Is(err, ray.ErrNoRay) || !strings.Contains(err.Error(), foreign.URL) {
		t.Errorf("without our own Ray: %v", err)
	}
	r.Flag = foreign.URL
	if _, err := r.Resolve(t.Context()); ray.KindOf(err) != ray.Unauthorized {
		t.Errorf("with its address: %v", err)
	}
	r.Flag = ""
	self, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	state, err := json.Marshal(ray.State{Address: mine.URL, SessionName: "ours", Leader: self})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "head.json", string(state))
	if got, err := r.Resolve(t.Context()); err != nil || got.Address != mine.URL || !got.Own {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestKeepsUsingTheDiscoveredRay: a discovered Ray is used while it runs. After it is lost, only our own Ray replaces it, not another
// Ray on this machine.
func TestKeepsUsingTheDiscoveredRay(t *testing.T) {
	first, other, mine := raytest.NewFake(""), raytest.NewFake(""), raytest.NewFake("")
	defer first.Close()
	defer other.Close()
	defer mine.Close()
	dir := t.TempDir()
	running := []ray.Dashboard{found(first, t, "")}
	r := ray.Resolver{
		Own: &ray.Head{Dir: dir}, Start: true, UsedFile: filepath.Join(dir, "used.json"),
		Dashboards: func() ([]ray.Dashboard, error) { return running, nil },
	}
	want := func(what, address string) {
		t.Helper()
		if got, err := r.Resolve(t.Context()); err != nil || got.Address != address || !got.Discovered {
			t.Errorf("%s: got %+v, %v, want %s", what, got, err, address)
		}
	}
	newer := found(other, t, "")
	newer.Session = "session_z" + newer.Session
	want("one Ray", first.URL)
	running = []ray.Dashboard{newer, running[0]}
	want("with a second Ray", first.URL)
	self, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	state, err := json.Marshal(ray.State{Address: mine.URL, SessionName: "ours", Leader: self})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "head.json", string(state))
	want("with our own Ray", first.URL)
	running = []ray.Dashboard{found(other, t, "")}
	want("the first Ray is lost", mine.URL)
	running = append(running, found(first, t, ""))
	want("the first Ray is back", mine.URL)
	if err := os.Remove(filepath.Join(dir, "head.json")); err != nil {
		t.Fatal(err)
	}
	r.Start = false
	if got, err := r.Resolve(t.Context()); !errors.Is(err, ray.ErrNoRay) {
		t.Errorf("our own Ray is lost: got %+v, %v", got, err)
	}
	if err := r.ForgetLost(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Resolve(t.Context()); err != nil || got.Address != first.URL && got.Address != other.URL {
		t.Errorf("after ForgetLost: got %+v, %v", got, err)
	}
}

// TestTokenIsSentOnlyOverEncryptedConnections connects to servers on loopback and on another address of this machine, which record the
// tokens that they receive.
func TestTokenIsSentOnlyOverEncryptedConnections(t *testing.T) {
	var got []string
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization")+r.Header.Get("X-Ray-Authorization"))
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
	}))
	defer here.Close()
	away := httptest.NewUnstartedServer(here.Config.Handler)
	l, err := net.Listen("tcp", net.JoinHostPort(localAddress(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	_ = away.Listener.Close()
	away.Listener = l
	away.Start()
	defer away.Close()
	env := func(name string) string { return map[string]string{"RAY_AUTH_TOKEN": "the-token"}[name] }

	r := ray.Resolver{Flag: away.URL, Getenv: env}
	_, err = r.Resolve(t.Context())
	if ray.KindOf(err) != ray.Unauthorized || !strings.Contains(err.Error(), "--ray-token-over-http") {
		t.Errorf("got %v", err)
	}
	if len(got) != 1 || got[0] != "" {
		t.Errorf("got tokens %q, want none", got)
	}
	got = nil
	r.TokenOverHTTP = true
	_, _ = r.Resolve(t.Context())
	r.TokenOverHTTP, r.Flag = false, here.URL
	if _, err = r.Resolve(t.Context()); err == nil || strings.Contains(err.Error(), "--ray-token-over-http") {
		t.Errorf("got %v", err)
	}
	if len(got) != 2 || !strings.Contains(got[0], "the-token") || !strings.Contains(got[1], "the-token") {
		t.Errorf("with the flag, and over loopback: got tokens %q", got)
	}
}

// localAddress returns an IPv4 address of this machine that is not loopback.
func localAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	t.Skip("SKIPPED: this machine has only loopback addresses")
	return ""
}

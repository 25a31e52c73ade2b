package ray_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/ray"
	"github.com/rayorch/rayorch/internal/ray/raytest"
)

func TestParseAddress(t *testing.T) {
	tests := []struct {
		in   string
		form ray.Form
		base string
		want string // in the error
	}{
		{"http://h:8265", ray.FormHTTP, "http://h:8265", ""},
		{"https://h/ray/", ray.FormHTTP, "https://h/ray", ""},
		{"http://[::1]:8265/", ray.FormHTTP, "http://[::1]:8265", ""},
		{" auto ", ray.FormAuto, "", ""},
		{"h:6379", ray.FormGCS, "h:6379", ""},
		{"[::1]:6379", ray.FormGCS, "[::1]:6379", ""},
		{"ray://h:10001", ray.FormClient, "h:10001", ""},
		{"ray://h", ray.FormClient, "h:10001", ""},
		{"local", 0, "", "http://HOST:8265"},
		{"", 0, "", "http://HOST:8265"},
		{"h", 0, "", "HOST:6379"},
		{"ftp://h:21", 0, "", "http://HOST:8265"},
		{"http://", 0, "", "http://HOST:8265"},
		{"http://user:pw@h:8265", 0, "", "neither a user"},
		{"http://h:8265?a=b", 0, "", "neither a user"},
		{"h:port", 0, "", "HOST:6379"},
		{"ray://h:10001/x", 0, "", "HOST:6379"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			form, base, err := ray.ParseAddress(test.in)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
			if err == nil && (form != test.form || base != test.base) {
				t.Errorf("got %d %q", form, base)
			}
			if err != nil && strings.Contains(err.Error(), "pw") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("http://h:8265/x")
	f.Add("ray://[::1]:10001")
	f.Fuzz(func(t *testing.T, in string) {
		form, base, err := ray.ParseAddress(in)
		if err != nil || form == ray.FormAuto {
			return
		}
		if again, same, err := ray.ParseAddress(base); err != nil || same != base || (form == ray.FormHTTP) != (again == ray.FormHTTP) {
			t.Errorf("%q gives %q, which gives %d %q %v", in, base, again, same, err)
		}
		if _, err := ray.New(ray.Config{Address: base}); form == ray.FormHTTP && err != nil {
			t.Error(err)
		}
	})
}

// found stands for one of the Rays that run here.
func found(fake *raytest.Fake, t *testing.T, gcs string) ray.Dashboard {
	t.Helper()
	c, err := ray.New(ray.Config{Address: fake.URL})
	if err != nil {
		t.Fatal(err)
	}
	version, err := c.Version(t.Context())
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
	stale.Session = "session_of_a_process_in_another_place"
	closed := closedPort(t)
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
		{"the flag comes first", other.URL, map[string]string{"RAY_ADDRESS": "nonsense"}, running, other.URL, "--ray-address", ""},
		{"then the API server", "", map[string]string{"RAY_API_SERVER_ADDRESS": other.URL, "RAY_ADDRESS": "nonsense"}, running, other.URL, "RAY_API_SERVER_ADDRESS", ""},
		{"then RAY_ADDRESS", "", map[string]string{"RAY_ADDRESS": other.URL + "/"}, running, other.URL, "RAY_ADDRESS", ""},
		{"auto", "", map[string]string{"RAY_ADDRESS": "auto"}, running, here.URL, "RAY_ADDRESS auto, a ray running here", ""},
		{"auto without one", "auto", nil, nil, "", "", "none runs here"},
		{"one running here", "", nil, running, here.URL, "a ray running here", ""},
		{"one of another place is not taken", "", nil, []ray.Dashboard{stale}, "", "", "none runs here"},
		{"none", "", nil, nil, "", "", "rayorch ray start"},
		{"the GCS of one running here", "192.0.2.7:6379", nil, running, here.URL, "whose dashboard runs here", ""},
		{"the GCS by loopback", "localhost:6379", nil, running, here.URL, "whose dashboard runs here", ""},
		{"a dashboard without http://", "127.0.0.1:" + fakePort, nil, nil, "http://127.0.0.1:" + fakePort, "by its dashboard", ""},
		{"a GCS whose dashboard is not known", closed, nil, nil, "", "", "http://127.0.0.1:8265"},
		{"a Ray client", "ray://127.0.0.1:1", nil, nil, "", "", "http://127.0.0.1:8265"},
		{"nobody there", "http://" + closed, nil, nil, "", "", "cannot be reached"},
		{"a web page", page.URL, nil, nil, "", "", "not as a ray dashboard"},
		{"no address", "what is this", nil, nil, "", "", "HOST:6379"},
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
				t.Errorf("got %s by %q", got.Address, got.Source)
			}
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestResolveTakesTheToken(t *testing.T) {
	fake := raytest.NewFake("the-token")
	defer fake.Close()
	home := t.TempDir()
	r := ray.Resolver{Flag: fake.URL, Home: home}
	if _, err := r.Resolve(t.Context()); ray.KindOf(err) != ray.Unauthorized {
		t.Errorf("without one: %v", err)
	}
	write(t, home, ".ray/auth_token", "the-token")
	got, err := r.Resolve(t.Context())
	if err != nil || got.TokenSource != filepath.Join(home, ".ray", "auth_token") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestHead starts a Ray of our own beside another one, finds both, and ends just the one.
func TestHead(t *testing.T) {
	if testing.Short() {
		t.Skip("the real Ray is left out with -short")
	}
	other := raytest.Real(t, false)
	head := &ray.Head{Dir: t.TempDir(), Python: raytest.Python(t), CPUs: 1, ObjectStoreBytes: 100 << 20}
	t.Cleanup(func() { _ = head.Stop(t.Context()) })
	state, err := head.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := head.Start(t.Context())
	if err != nil || again.Leader != state.Leader {
		t.Errorf("started again: %+v, %v", again, err)
	}
	dashboards, err := ray.LocalDashboards()
	if err != nil || !listed(dashboards, state.SessionName) || !listed(dashboards, other.Version.SessionName) {
		t.Errorf("the dashboards here are %+v, %v", dashboards, err)
	}
	mine := func() ([]ray.Dashboard, error) { return pick(dashboards, state.SessionName), nil }
	got, err := ray.Resolver{Own: head, Dashboards: mine}.Resolve(t.Context())
	if err != nil || !got.Own || got.Address != state.Address {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = ray.Resolver{Flag: state.GCS, Own: head, Dashboards: mine}.Resolve(t.Context())
	if err != nil || got.Address != state.Address {
		t.Errorf("by its GCS: %+v, %v", got, err)
	}
	c, err := got.Client()
	if err != nil {
		t.Fatal(err)
	}
	submit(t, c, "setsid sleep 302")
	if err := errors.Join(head.Stop(t.Context()), head.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := c.Version(t.Context()); ray.KindOf(err) != ray.Unreachable {
		t.Errorf("it answers after its stop: %v", err)
	}
	if state, err := head.Status(t.Context()); err != nil || state.Running {
		t.Errorf("got %+v, %v", state, err)
	}
	if c, err := other.Client(); err != nil {
		t.Error(err)
	} else if version, err := c.Version(t.Context()); err != nil || version.SessionName != other.Version.SessionName {
		t.Errorf("the other one was disturbed: %+v, %v", version, err)
	}
}

func listed(all []ray.Dashboard, session string) bool { return len(pick(all, session)) == 1 }

func pick(all []ray.Dashboard, session string) []ray.Dashboard {
	var picked []ray.Dashboard
	for _, d := range all {
		if d.Session == session {
			picked = append(picked, d)
		}
	}
	return picked
}

func TestHeadWithoutPython(t *testing.T) {
	empty := func(string) string { return "" }
	wrong := func(name string) string { return map[string]string{"RAYORCH_PYTHON": "/bin/false"}[name] }
	for name, test := range map[string]struct {
		getenv func(string) string
		want   string
	}{"none": {empty, "RAYORCH_PYTHON"}, "one without ray": {wrong, "pip install"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			head := &ray.Head{Dir: filepath.Join(dir, "ray"), Python: ray.PythonFinder{Getenv: test.getenv, Dir: dir, Venv: filepath.Join(dir, "venv")}}
			if _, err := head.Start(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			if state, err := head.Status(t.Context()); err != nil || state.Mark != "" {
				t.Errorf("left behind: %+v, %v", state, err)
			}
		})
	}
}

package submitter_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/ray"
	"github.com/rayorch/rayorch/internal/ray/raytest"
)

func TestMain(m *testing.M) { raytest.Main(m) }

const mark = "::rayorch-output::"

// attempt is one run of the submitter.
type attempt struct {
	ID, Entrypoint    string
	Env               map[string]string
	Pending, Timeout  float64
	Package           string
	Secrets           []string
	CPUs              float64
	Former            string // how many pods came before, as Kubernetes says it
	dir, said, logged string
	code              int
}

func (a *attempt) request(t *testing.T) string {
	t.Helper()
	submission := map[string]any{"submission_id": a.ID, "entrypoint": a.Entrypoint, "metadata": map[string]string{"rayorch.step": "one"},
		"runtime_env": map[string]any{"env_vars": map[string]string{"GREETING": "hello"}}}
	if a.CPUs > 0 {
		submission["entrypoint_num_cpus"] = a.CPUs
	}
	if a.Pending == 0 {
		a.Pending = 60
	}
	request := map[string]any{"submission": submission, "since": time.Now().UnixMilli(), "pending": a.Pending}
	if a.Timeout > 0 {
		request["timeout"] = a.Timeout
	}
	if a.Package != "" {
		request["package"] = a.Package
	}
	if a.Secrets != nil {
		request["secrets"] = a.Secrets
	}
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// command is the submitter as its pod runs it: the script beside the packages, in a directory of its own.
func (a *attempt) command(t *testing.T, r raytest.Ray, args ...string) *exec.Cmd {
	t.Helper()
	if a.dir == "" {
		a.dir = t.TempDir()
	}
	script, err := os.ReadFile("submit.py")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(a.dir, "submit.py"), script)
	cmd := exec.Command("python3", append([]string{filepath.Join(a.dir, "submit.py")}, args...)...)
	cmd.Env = append(os.Environ(), "RAYORCH_RAY="+strings.TrimPrefix(r.Found.Address, "http://"), "RAY_AUTH_TOKEN="+r.Found.Token,
		"RAYORCH_TERMINATION="+filepath.Join(a.dir, "termination"), "RAYORCH_GRACE=3", "RAYORCH_FAILED_PODS="+a.Former)
	for name, value := range a.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func (a *attempt) submit(t *testing.T, r raytest.Ray) *exec.Cmd {
	t.Helper()
	text := a.request(t)
	half := len(text) / 2
	return a.command(t, r, "submit", text[:half], text[half:])
}

// run runs it to its end.
func (a *attempt) run(t *testing.T, r raytest.Ray) {
	t.Helper()
	cmd := a.submit(t, r)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	a.end(t, err, out.String())
}

func (a *attempt) end(t *testing.T, err error, out string) {
	t.Helper()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		a.code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	said, _ := os.ReadFile(filepath.Join(a.dir, "termination"))
	a.said, a.logged = string(said), out
}

// want fails the test unless the submitter ended with this code, said why, and printed this.
func (a *attempt) want(t *testing.T, code int, said, logged string) {
	t.Helper()
	if a.code != code || !strings.Contains(a.said, said) || !strings.Contains(a.logged, logged) {
		t.Fatalf("exit code %d, want %d\ntermination message %q, want %q\nlog %s\nwant %q", a.code, code, a.said, said, a.logged, logged)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// unique keeps the ids of tests on a shared Ray apart.
func unique(t *testing.T, name string) string {
	t.Helper()
	return name + "-" + time.Now().Format("150405.000000")[7:] + strings.ToLower(filepath.Base(t.TempDir()))
}

// onReal are the ends that a real Ray is asked for, too: it takes seconds for each.
var onReal = map[string]bool{"output": true, "failure": true, "too long": true, "pending": true}

func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		attempt
		code         int
		said, logged string
	}{
		"success":      {attempt{Entrypoint: "echo $GREETING there"}, 0, "", "hello there\n"},
		"output":       {attempt{Entrypoint: `echo a; printf '\n` + mark + `{"a": 1}\n'`}, 0, "", mark + `{"a": 1}` + "\n"},
		"bad output":   {attempt{Entrypoint: `echo '` + mark + `{"a"'`}, 41, "is not JSON", ""},
		"failure":      {attempt{Entrypoint: "echo the reason; exit 3"}, 41, "the reason", "the reason"},
		"too long":     {attempt{Entrypoint: "echo on; sleep 600", Timeout: 2}, 48, "longer than 2 s", "on\n"},
		"pending":      {attempt{Entrypoint: "echo never", CPUs: 1000, Pending: 3}, 45, "did not start the job within 3 s", ""},
		"secret":       {attempt{Entrypoint: `echo "got $TOKEN"; exit 1`, Secrets: []string{"TOKEN"}, Env: map[string]string{"RAYORCH_SECRET_TOKEN": "hush-hush"}}, 41, "got ***", "got ***"},
		"many lines":   {attempt{Entrypoint: "seq 1 3000"}, 0, "", "\n2999\n3000\n"},
		"lost, second": {attempt{Entrypoint: "echo never", Former: "1"}, 43, "may have sent", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raytest.Each(t, func(t *testing.T, r raytest.Ray) {
				if r.Fake == nil && !onReal[name] {
					return
				}
				a := c.attempt
				a.ID = unique(t, "ends")
				a.run(t, r)
				a.want(t, c.code, c.said, c.logged)
				if strings.Contains(a.logged, "Running entrypoint") || strings.Contains(a.logged, "hush-hush") {
					t.Errorf("the log shows what it should not: %s", a.logged)
				}
				if name == "many lines" && strings.Count(a.logged, "\n") != 3001 {
					t.Errorf("the log has %d lines", strings.Count(a.logged, "\n"))
				}
			})
		})
	}
}

func TestWorkingDir(t *testing.T) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	f, err := z.Create("sub/data.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte("from the package\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		a := attempt{ID: unique(t, "dir"), Entrypoint: "cat sub/data.txt", Package: "0123456789abcdef.zip", dir: t.TempDir()}
		write(t, filepath.Join(a.dir, a.Package), archive.Bytes())
		a.run(t, r)
		a.want(t, 0, "", "from the package\n")
		there := filepath.Join(a.dir, "there")
		for range 2 {
			place := a.command(t, r, "place", filepath.Join(a.dir, a.Package), there)
			if out, err := place.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		if data, err := os.ReadFile(filepath.Join(there, "sub", "data.txt")); string(data) != "from the package\n" {
			t.Errorf("it was not placed: %v", err)
		}
	})
}

// TestGoesOn ends a submitter as Kubernetes does when it drains a node: the job goes on, and the next one follows it.
func TestGoesOn(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		for name, signal := range map[string]syscall.Signal{"term": syscall.SIGTERM, "kill": syscall.SIGKILL} {
			dir := t.TempDir()
			a := attempt{ID: unique(t, "on"+name), dir: dir,
				Entrypoint: "echo once >>" + dir + "/ran; while [ ! -e " + dir + "/go ]; do sleep 0.1; done; echo '" + mark + "7'"}
			first := a.submit(t, r)
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			raytest.Eventually(t, "the job runs", func() bool { _, err := os.Stat(dir + "/ran"); return err == nil })
			_ = first.Process.Signal(signal)
			_ = first.Wait()
			if job, err := r.Client(t).Get(t.Context(), a.ID); err != nil || job.Status != ray.Running {
				t.Fatalf("the job is %s (%v)", job.Status, err)
			}
			write(t, dir+"/go", nil)
			a.Former = "1"
			a.run(t, r)
			a.want(t, 0, "", mark+"7\n")
			if ran, _ := os.ReadFile(dir + "/ran"); string(ran) != "once\n" {
				t.Errorf("the job ran so: %q", ran)
			}
		}
	})
}

func TestStop(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		a := attempt{ID: unique(t, "stop"), Entrypoint: "sleep 600"}
		first := a.submit(t, r)
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		running := func() bool {
			job, err := r.Client(t).Get(t.Context(), a.ID)
			return err == nil && job.Status == ray.Running
		}
		raytest.Eventually(t, "the job runs", running)
		for _, args := range [][]string{{"stop-all", a.ID[:len(a.ID)-1]}, {"stop", a.ID}, {"stop", "nobody"}} {
			if out, err := a.command(t, r, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", args, err, out)
			}
		}
		a.end(t, first.Wait(), "")
		a.want(t, 42, "", "")
	})
}

func TestFaults(t *testing.T) {
	t.Run("unreachable", func(t *testing.T) {
		a := attempt{ID: "x", Entrypoint: "echo"}
		a.run(t, raytest.Ray{Found: ray.Found{Address: "http://127.0.0.1:1"}})
		a.want(t, 46, "does not answer", "")
	})
	fake := raytest.NewFake("secret-token")
	defer fake.Close()
	t.Run("wrong token", func(t *testing.T) {
		a := attempt{ID: "x", Entrypoint: "echo"}
		a.run(t, raytest.Ray{Found: ray.Found{Address: fake.URL, Token: "wrong-token"}})
		a.want(t, 47, "token", "")
	})
	r := raytest.Ray{Found: ray.Found{Address: fake.URL, Token: "secret-token"}, Fake: fake}
	t.Run("head replaced", func(t *testing.T) {
		a := attempt{ID: "lost", Entrypoint: "sleep 600"}
		cmd := a.submit(t, r)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		raytest.Eventually(t, "the job is there", func() bool { return fake.Jobs() == 1 })
		fake.NewSession()
		a.end(t, cmd.Wait(), "")
		a.want(t, 43, "its head was replaced", "")
	})
	t.Run("another's job", func(t *testing.T) {
		first := attempt{ID: "same", Entrypoint: "echo mine"}
		first.run(t, r)
		second := attempt{ID: "same", Entrypoint: "echo other"}
		second.run(t, r)
		second.want(t, 44, "another job of the id", "")
	})
	t.Run("busy", func(t *testing.T) {
		n := 0
		fake.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if n++; n%3 != 0 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
			}
			return n%3 != 0
		}
		defer func() { fake.Intercept = nil }()
		a := attempt{ID: "busy", Entrypoint: "echo through"}
		a.run(t, r)
		a.want(t, 0, "", "through\n")
	})
}

package submitter_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

func TestMain(m *testing.M) { raytest.Main(m) }

const mark = "::rayorch-output::"

// attempt is a run of the submitter.
type attempt struct {
	ID, Entrypoint    string
	Env               map[string]string
	Pending, Timeout  float64
	Package           string
	Secrets, Hidden   []string
	RuntimeEnv        map[string]any
	Modules           map[string]string
	Params            map[string]any
	CPUs              float64
	Previous          string // number of previous pods, as Kubernetes passes it
	Grace             time.Duration
	dir, said, logged string
	code              int
}

func (a *attempt) request(t *testing.T) string {
	t.Helper()
	env := map[string]any{"env_vars": map[string]string{"GREETING": "hello"}}
	maps.Copy(env, a.RuntimeEnv)
	submission := map[string]any{"submission_id": a.ID, "entrypoint": a.Entrypoint, "metadata": map[string]string{"rayorch.step": "one"},
		"runtime_env": env}
	if a.CPUs > 0 {
		submission["entrypoint_num_cpus"] = a.CPUs
	}
	if a.Pending == 0 {
		a.Pending = raytest.Timeout.Seconds()
	}
	request := map[string]any{"submission": submission, "since": time.Now().UnixMilli(), "pending": a.Pending}
	if a.Timeout > 0 {
		request["timeout"] = a.Timeout
	}
	if a.Package != "" {
		request["package"] = a.Package
	}
	if a.Modules != nil {
		request["modules"] = a.Modules
	}
	if a.Params != nil {
		request["params"] = a.Params
	}
	if a.Secrets != nil {
		request["secrets"] = a.Secrets
	}
	if a.Hidden != nil {
		request["hidden"] = a.Hidden
	}
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// command returns the command of the submitter's pod: the script is in the same directory as the packages.
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
	if a.Grace == 0 {
		a.Grace = raytest.Timeout
	}
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{filepath.Join(a.dir, "submit.py")}, args...)...)
	cmd.Env = append(os.Environ(), "RAYORCH_RAY="+strings.TrimPrefix(r.Found.Address, "http://"), "RAY_AUTH_TOKEN="+r.Found.Token,
		"RAYORCH_TERMINATION="+filepath.Join(a.dir, "termination"), "RAYORCH_GRACE="+fmt.Sprint(a.Grace.Seconds()), "RAYORCH_FAILED_PODS="+a.Previous)
	for name, value := range a.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func (a *attempt) submit(t *testing.T, r raytest.Ray) *exec.Cmd {
	t.Helper()
	args := []string{"submit"}
	for chunk := range slices.Chunk([]rune(a.request(t)), 30_000) {
		args = append(args, string(chunk))
	}
	return a.command(t, r, args...)
}

// run runs the submitter to its end.
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

// want fails the test unless the submitter exited with this code, and its termination message and log contain these texts.
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

// unique returns an id that no other test on the same Ray uses.
func unique(name string) string { return name + "-" + strings.ToLower(rand.Text()) }

// onReal are the cases of TestEnds that also run on a real Ray, where each takes seconds.
var onReal = map[string]bool{"output": true, "failure": true, "pending": true, "no environment": true}

func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		attempt
		code         int
		said, logged string
	}{
		"success":        {attempt{Entrypoint: "echo $GREETING there"}, 0, "", "hello there\n"},
		"output":         {attempt{Entrypoint: `echo a; printf '\n` + mark + `{"a": 1}\n'`}, 0, "", mark + `{"a": 1}` + "\n"},
		"bad output":     {attempt{Entrypoint: `echo '` + mark + `{"a"'`}, 41, `is not valid JSON: it is "{\"a\""`, ""},
		"not finite":     {attempt{Entrypoint: `echo '` + mark + `{"a": {"b": [1, NaN]}, "loss": -Infinity, "big": 1e400}'`}, 41, "is not valid JSON: a.b[1] is NaN, loss is -Infinity", ""},
		"failure":        {attempt{Entrypoint: "echo the reason; exit 3"}, 41, "the reason", "the reason"},
		"pending":        {attempt{Entrypoint: "echo never", CPUs: 1000, Pending: 3}, 45, "did not start the job within 3 s", ""},
		"no environment": {attempt{Entrypoint: "true", RuntimeEnv: map[string]any{"working_dir": "gcs://_ray_pkg_" + unique("missing") + ".zip"}}, 49, "runtime_env setup failed", ""},
		"secret":         {attempt{Entrypoint: `echo "got $TOKEN"; exit 1`, Secrets: []string{"TOKEN"}, Env: map[string]string{"RAYORCH_SECRET_TOKEN": "hush-hush"}}, 41, "got ***", "got ***"},
		"another's": {attempt{Entrypoint: `echo "got ${TOKEN-none} hush-hush $(printf 'me:hush-hush' | base64) it%27s%2B"; exit 1`, Hidden: []string{"TOKEN", "URL", "NONE"},
			Env: map[string]string{"RAYORCH_SECRET_TOKEN": "hush-hush", "RAYORCH_SECRET_URL": "it's+"}}, 41, "got none *** bWU6***", " ***"},
		"many lines":   {attempt{Entrypoint: "seq 1 3000"}, 0, "", "\n2999\n3000\n"},
		"lost, second": {attempt{Entrypoint: "echo never", Previous: "1"}, 43, "may have submitted", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raytest.Each(t, func(t *testing.T, r raytest.Ray) {
				if r.Fake == nil && !onReal[name] {
					return
				}
				a := c.attempt
				a.ID = unique("ends")
				a.run(t, r)
				a.want(t, c.code, c.said, c.logged)
				if strings.Contains(a.logged, "Running entrypoint") || strings.Contains(a.logged, "hush-hush") {
					t.Errorf("the log contains the entrypoint or a secret: %s", a.logged)
				}
				if name == "many lines" && strings.Count(a.logged, "\n") != 3001 {
					t.Errorf("the log has %d lines", strings.Count(a.logged, "\n"))
				}
			})
		})
	}
}

// TestTooLong runs a job that never ends, with increasing timeouts until the job has printed its first line.
func TestTooLong(t *testing.T) {
	t.Parallel()
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		for seconds := 2.0; ; seconds *= 3 {
			a := attempt{ID: unique("long"), Entrypoint: "echo on; sleep 3600", Timeout: seconds}
			a.run(t, r)
			a.want(t, 48, fmt.Sprintf("s (limit %.0f s)", seconds), "")
			if strings.Contains(a.logged, "on\n") {
				return
			}
			if seconds > raytest.Timeout.Seconds() {
				t.Fatalf("the log does not contain the output of the job: %s", a.logged)
			}
		}
	})
}

// archived returns a zip archive of one file.
func archived(t *testing.T, name, text string) []byte {
	t.Helper()
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	f, err := z.Create(name)
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func TestWorkingDir(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		a := attempt{ID: unique("dir"), Entrypoint: "cat sub/data.txt; python3 -c 'import mod'", Package: "0123456789abcdef.zip", dir: t.TempDir(),
			Modules: map[string]string{"_ray_pkg_ab.zip": "ab.zip"}, RuntimeEnv: map[string]any{"py_modules": []string{"gcs://_ray_pkg_ab.zip"}}}
		write(t, filepath.Join(a.dir, a.Package), archived(t, "sub/data.txt", "from the package\n"))
		write(t, filepath.Join(a.dir, "ab.zip"), archived(t, "mod/__init__.py", "print('from the module')"))
		a.run(t, r)
		a.want(t, 0, "", "from the package\nfrom the module\n")
		there := filepath.Join(a.dir, "there")
		for range 2 {
			place := a.command(t, r, "place", filepath.Join(a.dir, a.Package), there)
			if out, err := place.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		if data, err := os.ReadFile(filepath.Join(there, "sub", "data.txt")); string(data) != "from the package\n" {
			t.Errorf("the directory was not unpacked: %v", err)
		}
	})
}

// TestNextPodContinues stops a submitter as Kubernetes does when it drains a node: the job continues, and the next submitter follows it.
func TestNextPodContinues(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		for name, signal := range map[string]syscall.Signal{"term": syscall.SIGTERM, "kill": syscall.SIGKILL} {
			dir := t.TempDir()
			a := attempt{ID: unique("on" + name), dir: dir,
				Entrypoint: "echo once >>" + dir + "/ran; while [ -d " + dir + " ] && [ ! -e " + dir + "/go ]; do sleep 0.1; done; echo '" + mark + "7'"}
			first := a.submit(t, r)
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			raytest.Eventually(t, "the job runs", raytest.Exists(dir+"/ran"))
			_ = first.Process.Signal(signal)
			_ = first.Wait()
			if job, err := r.Client(t).Get(t.Context(), a.ID); err != nil || job.Status != ray.Running {
				t.Fatalf("the job is %s (%v)", job.Status, err)
			}
			write(t, dir+"/go", nil)
			a.Previous = "1"
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
		a := attempt{ID: unique("stop"), Entrypoint: "sleep 3600"}
		first := a.submit(t, r)
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		raytest.Eventually(t, "the job runs", func() error {
			job, err := r.Client(t).Get(t.Context(), a.ID)
			if err == nil && job.Status != ray.Running {
				err = fmt.Errorf("the job is %s: %s", job.Status, job.Message)
			}
			return err
		})
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
		a := attempt{ID: "x", Entrypoint: "echo", Grace: 3 * time.Second}
		a.run(t, raytest.Ray{Found: ray.Found{Address: "http://127.0.0.1:1"}})
		a.want(t, 46, "does not respond", "")
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
		a := attempt{ID: "lost", Entrypoint: "sleep 3600"}
		cmd := a.submit(t, r)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		raytest.Eventually(t, "Ray has the job", func() error {
			if n := fake.Jobs(); n != 1 {
				return fmt.Errorf("Ray has %d jobs", n)
			}
			return nil
		})
		fake.NewSession()
		a.end(t, cmd.Wait(), "")
		a.want(t, 43, "the head was replaced", "")
	})
	t.Run("another's job", func(t *testing.T) {
		first := attempt{ID: "same", Entrypoint: "echo mine"}
		first.run(t, r)
		second := attempt{ID: "same", Entrypoint: "echo other"}
		second.run(t, r)
		second.want(t, 44, "another Ray job has the id", "")
	})
	t.Run("busy", func(t *testing.T) {
		fake := raytest.NewFake("")
		defer fake.Close()
		var n atomic.Int32
		fake.Intercept = func(w http.ResponseWriter, _ *http.Request) bool {
			if n.Add(1)%3 == 0 {
				return false
			}
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return true
		}
		a := attempt{ID: "busy", Entrypoint: "echo through"}
		a.run(t, raytest.Ray{Found: ray.Found{Address: fake.URL}, Fake: fake})
		a.want(t, 0, "", "through\n")
	})
}

// TestLargeValues passes values to jobs that are larger than Linux allows for a variable or an argument.
func TestLargeValues(t *testing.T) {
	size := func(name string) string { return `echo "` + name + ` $(printf %s "$` + name + `" | wc -c)"; ` }
	text := func(n int, what string) string { return strings.Repeat(what, n) }
	for name, c := range map[string]struct {
		attempt
		code         int
		said, logged string
	}{
		"parameters": {attempt{Entrypoint: size("RAYORCH_PARAM_A") + size("RAYORCH_PARAMS") + size("RAYORCH_PARAM_N"), Params: map[string]any{"a": text(34_000, `"`), "b": text(20_000, "é"), "n": 1.5}}, 0, "",
			"RAYORCH_PARAM_A 34000\nRAYORCH_PARAMS 108023\nRAYORCH_PARAM_N 3\n"},
		"long parameter": {attempt{Entrypoint: size("RAYORCH_PARAM_A") + `wc -c <"$RAYORCH_PARAMS_FILE"; wc -c <"$RAYORCH_PARAM_A_FILE"; echo "$GREETING"`, Params: map[string]any{"a": text(200_000, "x")}}, 0, "",
			"RAYORCH_PARAM_A 0\n200008\n200000\nhello\n"},
		"entrypoint":    {attempt{Entrypoint: text(20_000, ": 0000000\n") + "echo the end"}, 0, "", "the end\n"},
		"long variable": {attempt{Entrypoint: "true", RuntimeEnv: map[string]any{"env_vars": map[string]string{"MINE": text(131_072, "x")}}}, 44, "the environment variable MINE must have at most 131072 bytes with its name, got 131078", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raytest.Each(t, func(t *testing.T, r raytest.Ray) {
				if r.Fake == nil && r.Found.Token != "" {
					return // the same
				}
				a := c.attempt
				a.ID = unique("much")
				a.run(t, r)
				a.want(t, c.code, c.said, c.logged)
				if strings.Contains(a.logged, "rayorch_dir") {
					t.Errorf("the log shows the entrypoint: %.500s", a.logged)
				}
			})
		})
	}
}

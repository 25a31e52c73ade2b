package ray_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// TestHead starts a Head while another Ray runs, finds both, and stops only the Head.
func TestHead(t *testing.T) {
	if testing.Short() {
		t.Skip("-short skips tests with a real Ray")
	}
	other := raytest.Real(t, false)
	head := &ray.Head{Dir: t.TempDir(), Python: raytest.Python(t), CPUs: 1, ObjectStoreBytes: 100 << 20, Wait: 2 * raytest.Timeout}
	t.Cleanup(func() {
		if t.Failed() {
			output, err := os.ReadFile(head.OutputPath())
			t.Logf("output of the head (%v):\n%s", err, output)
		}
		_ = head.Stop(context.WithoutCancel(t.Context()))
	})
	state, err := head.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := head.Start(t.Context())
	if err != nil || again.Leader != state.Leader {
		t.Errorf("second start: got %+v, %v, want the same head", again, err)
	}
	dashboards, err := ray.LocalDashboards()
	if err != nil || !listed(dashboards, state.SessionName) || !listed(dashboards, other.Version.SessionName) {
		t.Errorf("got dashboards %+v, %v, want those of both Rays", dashboards, err)
	}
	mine := func() ([]ray.Dashboard, error) { return pick(dashboards, state.SessionName), nil }
	got, err := ray.Resolver{Own: head, Dashboards: mine}.Resolve(t.Context())
	if err != nil || !got.Own || got.Address != state.Address {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = ray.Resolver{Flag: state.GCS, Own: head, Dashboards: mine}.Resolve(t.Context())
	if err != nil || got.Address != state.Address {
		t.Errorf("by the address of its GCS: got %+v, %v", got, err)
	}
	c, id := raytest.Ray{Found: got}.Client(t), newID()
	err = ray.Retry(t.Context(), raytest.Timeout, func(ctx context.Context) error { // the agent of a new head may not have registered yet
		_, _, err := c.Submit(ctx, ray.Submission{SubmissionID: id, Entrypoint: actorJob})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, c, id, ray.Job.Started)
	untilLogged(t, c, id, "actor up")
	checkLoopback(t, state)
	checkPrivate(t, state)
	if err := errors.Join(head.Stop(t.Context()), head.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if version, err := c.Version(t.Context()); err == nil && version.SessionName == state.SessionName {
		t.Error("the head responds after Stop")
	}
	if state, err := head.Status(t.Context()); err != nil || state.Running {
		t.Errorf("got %+v, %v", state, err)
	}
	c = raytest.Ray{Found: other}.Client(t)
	if version, err := c.Version(t.Context()); err != nil || version.SessionName != other.Version.SessionName {
		t.Errorf("the other Ray: got %+v, %v", version, err)
	}
}

// actorJob starts a process that is not a child of its driver, and an actor, whose worker listens on a port as the driver does.
const actorJob = `setsid sleep 302 & exec python -c '
import ray, time
@ray.remote(num_cpus=0)
class Actor:
    def up(self):
        return "actor up"
ray.init()
actor = Actor.remote()
print(ray.get(actor.up.remote()), flush=True)
time.sleep(302)
'`

// untilLogged waits until the log of a job contains a text.
func untilLogged(t *testing.T, c *ray.Client, id, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), raytest.Timeout)
	defer cancel()
	for {
		log, err := c.Logs(ctx, id)
		if err == nil && strings.Contains(log, want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the log of job %s does not contain %q: %q, %v", id, want, log, err)
		case <-time.After(100 * time.Millisecond):
		}
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
				t.Errorf("the state was not deleted: %+v, %v", state, err)
			}
		})
	}
}

// TestHeadEnvironment checks the environment of a Ray, which its jobs inherit.
func TestHeadEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "in-the-shell")
	t.Setenv("RAY_ADDRESS", "other:6379")
	t.Setenv("RAY_memory_usage_threshold", "0.97")
	t.Setenv("LC_TEST", "C")
	dir := t.TempDir()
	write(t, dir, "python", "#!/bin/sh\ncase \"$*\" in *importlib*) echo 2.60.0;; *) env >"+dir+"/got; exit 1;; esac\n")
	python := filepath.Join(dir, "python")
	if err := os.Chmod(python, 0o755); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"RAYORCH_PYTHON": python}[name] }
	head := &ray.Head{Dir: filepath.Join(dir, "ray"), Python: ray.PythonFinder{Getenv: getenv, Dir: dir}, Env: []string{"MINE=1"}}
	if _, err := head.Start(t.Context()); err == nil {
		t.Fatal("Start succeeded with a program that is not Ray")
	}
	text, err := os.ReadFile(filepath.Join(dir, "got"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(string(text), "\n")
	for _, want := range []string{"RAY_memory_usage_threshold=0.97", "LC_TEST=C", "MINE=1", "HOME=" + os.Getenv("HOME"), "RAY_AUTH_MODE=token"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if i := slices.IndexFunc(got, func(entry string) bool { return strings.HasPrefix(entry, "PATH="+dir+":") }); i < 0 {
		t.Error("the directory of Python is not the first in PATH")
	}
	if s := string(text); strings.Contains(s, "in-the-shell") || strings.Contains(s, "RAY_ADDRESS") {
		t.Errorf("got environment:\n%s", s)
	}
}

// TestHeadThatExits starts a program that exits: the start is retried, and all files are deleted in the end.
func TestHeadThatExits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "python", "#!/bin/sh\ncase \"$*\" in *importlib*) echo 2.60.0;; *) echo started >> "+dir+"/starts; echo the port is taken; exit 1;; esac\n")
	python := filepath.Join(dir, "python")
	if err := os.Chmod(python, 0o755); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"RAYORCH_PYTHON": python}[name] }
	head := &ray.Head{Dir: filepath.Join(dir, "ray"), Python: ray.PythonFinder{Getenv: getenv}}
	if _, err := head.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("got %v", err)
	}
	if starts, err := os.ReadFile(filepath.Join(dir, "starts")); err != nil || strings.Count(string(starts), "started") != 3 {
		t.Errorf("got starts %q, %v, want 3", starts, err)
	}
	if state, err := head.Status(t.Context()); err != nil || state.Mark != "" {
		t.Errorf("the state was not deleted: %+v, %v", state, err)
	}
}

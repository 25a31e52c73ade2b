package kubernetes_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// kills kills rayorch at random points of runs and resumes the runs: no Job and no Ray job may be created twice, and each step must run
// once. RAYORCH_KILLS is the number of runs (default: 5). RAYORCH_KILL_SEED repeats the points of an earlier test.
func (w *world) kills(t *testing.T) {
	kills, _ := strconv.Atoi(os.Getenv("RAYORCH_KILLS"))
	if kills == 0 {
		kills = 5
	}
	seed, err := strconv.ParseUint(os.Getenv("RAYORCH_KILL_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 0))
	dir := w.pipeline(t, "kills", work("first")+work("second"))
	t.Logf("RAYORCH_KILL_SEED=%d", seed)
	normal := map[string]time.Duration{} // the duration of a run without a kill, by mode
	for n := range kills {
		mode := modes[n%len(modes)]
		if normal[mode] == 0 {
			begin := time.Now()
			w.checkRanOnce(t, w.run(t, "normal-"+mode, dir, "--submit", mode), mode)
			normal[mode] = time.Since(begin)
		}
		t.Run(strconv.Itoa(n)+" "+mode, func(t *testing.T) {
			w.killed(t, "run"+strconv.Itoa(n), mode, func() time.Duration { return time.Duration(random.Float64() * float64(normal[mode])) }, dir)
		})
	}
}

// work returns a step that appends a line to a file each time that it runs.
func work(name string) string {
	return "  - name: " + name + "\n    ray: {entrypoint: 'sleep 0.5; echo " + name + " >> \"$RAYORCH_STORAGE/effects\"; echo 1 > \"$RAYORCH_OUTPUT\"'}\n"
}

// killed kills the command that runs the pipeline at a random point, and then the command that resumes the run. Then it resumes the run
// without a kill.
func (w *world) killed(t *testing.T, name, mode string, point func() time.Duration, dir string) {
	interrupt := func(args ...string) {
		cmd, wait := w.Start(t, args...)
		after := point()
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		res := wait()
		t.Logf("%s after %s: exit code %d", args[0], after.Round(time.Millisecond), res.Code)
	}
	interrupt("run", dir, "-t", "kubernetes", "--name", name, "--submit", mode)
	x := w.describe(t, name)
	if x.Status == "" {
		t.Log("killed before the run was accepted")
		return
	}
	if x.Status == "RUNNING" {
		interrupt("resume", name)
	}
	if x = w.describe(t, name); x.Status == "RUNNING" {
		w.must(t, "resume", name)
		x = w.describe(t, name)
	}
	w.checkRanOnce(t, x, mode)
}

// checkRanOnce checks that each step ran once, with one Job or RayJob and one Ray job.
func (w *world) checkRanOnce(t *testing.T, x execution, mode string) {
	t.Helper()
	if x.Status != "SUCCEEDED" || string(x.Output["first"]) != "1" || string(x.Output["second"]) != "1" {
		t.Fatalf("status %s, error %s, cause %s, output %s; want SUCCEEDED and the output 1 of both steps", x.Status, x.Error, x.Cause, x.Output)
	}
	for _, s := range x.Steps {
		if s.Attempts != 1 {
			t.Errorf("%s took %d attempts, want 1", s.Name, s.Attempts)
		}
	}
	prefix := x.Steps[0].SubmissionID[:13]
	if ids := w.rayJobIDs(t, prefix); len(ids) != 2 {
		t.Errorf("got the Ray jobs %v, want one for each of the two steps", ids)
	}
	if mode == "job" {
		var jobs struct{ Items []kube.Job }
		w.list(t, kube.JobsPath(w.namespace), "rayorch.dev/execution="+prefix, &jobs)
		if len(jobs.Items) != 2 {
			t.Errorf("got %d Jobs, want one for each of the two steps", len(jobs.Items))
		}
	}
	if w.c.Local {
		effects, err := os.ReadFile(filepath.Join(w.claim.Dir, "kills", x.Name, "effects"))
		if string(effects) != "first\nsecond\n" {
			t.Errorf("the steps wrote %q, want each line once: %v", effects, err)
		}
	}
	w.nothingRuns(t)
}

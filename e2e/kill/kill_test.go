// Package kill_test kills rayorch with SIGKILL at random points of runs on a real Ray, and resumes the runs. The records of Ray and the
// files that the jobs write must show that each job ran exactly once. RAYORCH_KILLS is the number of runs (default: 5).
// RAYORCH_KILL_SEED repeats the points of an earlier test.
package kill_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/e2e/command"
)

const pipeline = `version: 1
name: kills
steps:
  - name: first
    ray: {entrypoint: 'sleep 0.5; echo first >> "$RAYORCH_STORAGE/effects"; echo "{\"n\":1}" > "$RAYORCH_OUTPUT"'}
  - name: second
    ray: {entrypoint: 'sleep 0.5; echo second >> "$RAYORCH_STORAGE/effects"; echo ${{ steps.first.output }} > "$RAYORCH_OUTPUT"'}
`

func TestMain(m *testing.M) { m.Run(); command.Clean() }

// TestKill measures a run without a kill, and then kills rayorch at random points of other runs.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Ray, which -short leaves out")
	}
	if _, err := exec.LookPath("ray"); err != nil {
		t.Skip("SKIPPED: ray is not on PATH, so kill -9 is not tested: run make setup-ray and put .venv/bin on PATH")
	}
	w := newWorld(t)
	seed, random := w.random(t)
	kills, _ := strconv.Atoi(os.Getenv("RAYORCH_KILLS"))
	if kills == 0 {
		kills = 5
	}
	normal := w.runNormally(t)
	t.Logf("a run takes %v; RAYORCH_KILL_SEED=%d", normal.Round(time.Millisecond), seed)
	for n := range kills {
		t.Run(strconv.Itoa(n), func(t *testing.T) { w.killed(t, fmt.Sprintf("run%d", n), normal, random) })
	}
}

// world is a state directory with its own Ray.
type world struct {
	bin, state, storage, pipeline, address string
}

// newWorld writes the pipeline file and starts a Ray with rayorch ray start.
func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	// A short path, because it contains sockets.
	state, err := os.MkdirTemp("", "ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	w := &world{
		bin: command.Build(t), state: state, storage: filepath.Join(dir, "storage"),
		pipeline: filepath.Join(dir, "pipeline.yaml"),
	}
	targets := fmt.Sprintf("targets: {local: {kind: local, storage: %q}}\n", w.storage)
	if err := os.WriteFile(w.pipeline, []byte(pipeline+targets), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.must(t, "ray", "stop") })
	var started struct{ State struct{ Address string } }
	w.decode(t, &started, "ray", "start", "--no-token", "--cpus", "2")
	w.address = strings.TrimSuffix(started.State.Address, "/")
	return w
}

// random returns the seed and a generator for the points at which rayorch is killed.
func (w *world) random(t *testing.T) (uint64, *rand.Rand) {
	seed, err := strconv.ParseUint(os.Getenv("RAYORCH_KILL_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	return seed, rand.New(rand.NewPCG(seed, 0))
}

func (w *world) command(args ...string) *exec.Cmd {
	return exec.Command(w.bin, append([]string{"--state-dir", w.state, "--output", "json"}, args...)...)
}

// must runs a command that must succeed, and returns its output.
func (w *world) must(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := w.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rayorch %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return out
}

func (w *world) decode(t *testing.T, into any, args ...string) {
	t.Helper()
	if out := w.must(t, args...); json.Unmarshal(out, into) != nil {
		t.Fatalf("rayorch %s printed invalid JSON: %s", strings.Join(args, " "), out)
	}
}

func (w *world) runArgs(name string) []string {
	return []string{"run", w.pipeline, "--name", name, "--ray-address", w.address}
}

// runNormally runs the pipeline without a kill and returns the duration.
func (w *world) runNormally(t *testing.T) time.Duration {
	before, start := w.jobs(t), time.Now()
	w.must(t, w.runArgs("normal")...)
	took := time.Since(start)
	w.check(t, "normal", before)
	return took
}

// killed kills the command that runs the pipeline at a random point within the normal duration, and often also the commands that resume
// the run. Then it resumes the run without a kill and checks the jobs.
func (w *world) killed(t *testing.T, name string, normal time.Duration, random *rand.Rand) {
	before := w.jobs(t)
	point := func() time.Duration { return time.Duration(random.Float64() * float64(normal)) }
	started := w.interrupt(t, name, point(), w.runArgs(name)...)
	for started && random.Float64() < 0.4 {
		w.interrupt(t, name, point(), "resume", name, "--ray-address", w.address)
	}
	if !started {
		t.Log("killed before the run was accepted")
		if diff := cmp.Diff(before, w.jobs(t)); diff != "" {
			t.Errorf("the run does not exist, but Ray got a job (-want +got):\n%s", diff)
		}
		return
	}
	if w.status(t, name) == "RUNNING" {
		w.must(t, "resume", name, "--ray-address", w.address)
	}
	w.check(t, name, before)
}

// interrupt runs a command and kills it after a time. It reports whether the run exists afterwards.
func (w *world) interrupt(t *testing.T, name string, after time.Duration, args ...string) bool {
	t.Helper()
	cmd := w.command(args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Exited()) {
		t.Fatalf("rayorch %s ended by itself: %v\n%s", args[0], err, out.String())
	}
	t.Logf("%s: killed after %v: %v", args[0], after.Round(time.Millisecond), err != nil)
	return w.status(t, name) != ""
}

// status returns the status of a run, or "" if it does not exist.
func (w *world) status(t *testing.T, name string) string {
	t.Helper()
	var runs []struct{ Name, Status string }
	w.decode(t, &runs, "list", "--limit", "0")
	for _, r := range runs {
		if r.Name == name {
			return r.Status
		}
	}
	return ""
}

// check checks that the run succeeded, that Ray has exactly its two jobs in addition to those before, and that each step ran once.
func (w *world) check(t *testing.T, name string, before map[string]string) {
	t.Helper()
	var run struct {
		Status string
		Output json.RawMessage
		Steps  []struct{ Name, SubmissionID string }
	}
	w.decode(t, &run, "describe", name)
	var output any
	_ = json.Unmarshal(run.Output, &output)
	want := map[string]any{"first": map[string]any{"n": 1.0}, "second": map[string]any{"n": 1.0}}
	if diff := cmp.Diff(want, output); run.Status != "SUCCEEDED" || diff != "" {
		t.Errorf("status %s, want SUCCEEDED; output (-want +got):\n%s", run.Status, diff)
	}
	wantJobs := map[string]string{}
	for _, s := range run.Steps {
		wantJobs[s.SubmissionID] = "SUCCEEDED"
	}
	if len(wantJobs) != 2 {
		t.Errorf("steps %v: want two, each with its own Ray job", run.Steps)
	}
	got := w.jobs(t)
	for id := range before {
		delete(got, id)
	}
	if diff := cmp.Diff(wantJobs, got); diff != "" {
		t.Errorf("jobs that Ray recorded (-want +got):\n%s", diff)
	}
	w.checkEffects(t, name)
	w.checkHistory(t, name)
}

func (w *world) checkEffects(t *testing.T, name string) {
	t.Helper()
	effects, err := os.ReadFile(filepath.Join(w.storage, "kills", name, "effects"))
	if err != nil || string(effects) != "first\nsecond\n" {
		t.Errorf("the jobs wrote %q (%v), want each step's line once", effects, err)
	}
}

// checkHistory checks that the events are numbered without gaps, and that start, end and tasks occur once.
func (w *world) checkHistory(t *testing.T, name string) {
	t.Helper()
	types := map[string]int{}
	last := ""
	lines := strings.Split(strings.TrimSpace(string(w.must(t, "history", name))), "\n")
	for n, line := range lines {
		var e struct {
			ID   int64 `json:"id"`
			Type string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID != int64(n+1) {
			t.Fatalf("event %d of the history is %s (%v), want the id %d", n+1, line, err, n+1)
		}
		types[e.Type]++
		last = e.Type
	}
	if last != "ExecutionSucceeded" || types["ExecutionStarted"] != 1 || types["TaskScheduled"] != 2 || types["TaskSucceeded"] != 2 {
		t.Errorf("the history ends with %s and has %v, want ExecutionSucceeded, one start and two tasks", last, types)
	}
}

// jobs returns the status of all jobs that Ray knows, by submission id.
func (w *world) jobs(t *testing.T) map[string]string {
	t.Helper()
	answer, err := http.Get(w.address + "/api/jobs/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list []struct {
		SubmissionID *string `json:"submission_id"`
		Status       string  `json:"status"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	jobs := map[string]string{}
	for _, j := range list {
		if j.SubmissionID != nil {
			jobs[*j.SubmissionID] = j.Status
		}
	}
	return jobs
}

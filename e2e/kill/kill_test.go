// Package kill_test kills rayorch with SIGKILL at random points of runs on a real Ray and resumes them. What Ray itself
// recorded, and what the jobs themselves wrote, must show no job twice and none lost. RAYORCH_KILLS says how many runs
// (5), RAYORCH_KILL_SEED repeats the points of an earlier test.
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

func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Ray: not with -short")
	}
	if _, err := exec.LookPath("ray"); err != nil {
		t.Skip("SKIPPED: no ray on the PATH, so that kill -9 was not tried: make test installs one")
	}
	w := newWorld(t)
	seed, random := w.random(t)
	kills, _ := strconv.Atoi(os.Getenv("RAYORCH_KILLS"))
	if kills == 0 {
		kills = 5
	}
	whole := w.undisturbed(t)
	t.Logf("a run takes %v; RAYORCH_KILL_SEED=%d", whole.Round(time.Millisecond), seed)
	for n := range kills {
		t.Run(strconv.Itoa(n), func(t *testing.T) { w.killed(t, fmt.Sprintf("run%d", n), whole, random) })
	}
}

// world is a state directory and a Ray for it alone.
type world struct {
	bin, state, storage, pipeline, address string
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	// Short, as it holds sockets.
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
		t.Fatalf("rayorch %s printed no JSON: %s", strings.Join(args, " "), out)
	}
}

func (w *world) runArgs(name string) []string {
	return []string{"run", w.pipeline, "--name", name, "--ray-address", w.address}
}

func (w *world) undisturbed(t *testing.T) time.Duration {
	before, start := w.jobs(t), time.Now()
	w.must(t, w.runArgs("whole")...)
	took := time.Since(start)
	w.check(t, "whole", before)
	return took
}

// killed kills a run, and often its resumption too, then lets a last one end and counts.
func (w *world) killed(t *testing.T, name string, whole time.Duration, random *rand.Rand) {
	before := w.jobs(t)
	point := func() time.Duration { return time.Duration(random.Float64() * float64(whole)) }
	started := w.interrupt(t, name, point(), w.runArgs(name)...)
	for started && random.Float64() < 0.4 {
		w.interrupt(t, name, point(), "resume", name, "--ray-address", w.address)
	}
	if !started {
		t.Log("killed before the run was accepted")
		if diff := cmp.Diff(before, w.jobs(t)); diff != "" {
			t.Errorf("no run, yet Ray got a job:\n%s", diff)
		}
		return
	}
	if w.status(t, name) == "RUNNING" {
		w.must(t, "resume", name, "--ray-address", w.address)
	}
	w.check(t, name, before)
}

// interrupt runs a command and kills it after a time; it tells whether the run exists then.
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

// status is the run's, or empty when there is none.
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

// check counts: the run ended well, Ray has its two jobs and no more, and each did its work once.
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
		t.Errorf("%s, output (-want +got):\n%s", run.Status, diff)
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

// checkHistory wants events numbered without a gap, from the start to one end.
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
			t.Fatalf("event %d of the history is %s (%v)", n+1, line, err)
		}
		types[e.Type]++
		last = e.Type
	}
	if last != "ExecutionSucceeded" || types["ExecutionStarted"] != 1 || types["TaskScheduled"] != 2 || types["TaskSucceeded"] != 2 {
		t.Errorf("history ends with %s and has %v", last, types)
	}
}

// jobs are all that Ray knows, by submission id with their status.
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

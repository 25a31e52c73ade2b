package raytask_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/raytask"
	"github.com/rayorch/rayorch/internal/task/snapshot"
	"github.com/rayorch/rayorch/internal/task/tasktest"
)

func TestMain(m *testing.M) { raytest.Main(m) }

// bench is a Runner on one Ray. It acts as the engine for one attempt: it stores records and the log, which a second run of the
// attempt gets.
type bench struct {
	t         *testing.T
	ray       raytest.Ray
	client    *ray.Client
	runner    *raytask.Runner
	getenv    map[string]string
	grace     time.Duration             // of the runner; default: raytest.Timeout
	ownRay    atomic.Pointer[ray.Found] // the engine's own Ray, if it is not ray
	engine    context.Context           // parent of the attempts; default: the test's
	mu        sync.Mutex
	records   map[string][]byte
	submitted [][]byte
	log       tasktest.Log
	code      string // the state directory, with snapshots and files with secrets
	here      func(context.Context, ray.Found) bool
	labels    map[string]string // of the execution
}

func newBench(t *testing.T, r raytest.Ray) *bench {
	b := &bench{t: t, ray: r, client: r.Client(t), records: map[string][]byte{}, getenv: map[string]string{}, grace: raytest.Timeout, code: t.TempDir()}
	b.start()
	return b
}

func (b *bench) envDir() string { return filepath.Join(b.code, "ray", "env") }

// start creates a Runner, as a new rayorch process does.
func (b *bench) start() {
	b.runner = raytask.New(raytask.Config{
		Code: snapshot.Open(b.code),
		Resolve: func(ctx context.Context, address string) (ray.Found, error) {
			found := b.ray.Found
			if now := b.ownRay.Load(); now != nil && address == "" {
				found = *now
			}
			client, err := found.Client()
			if err == nil {
				_, err = client.Version(ctx)
			}
			return found, err
		},
		Secret:   task.Environment(func(name string) string { return b.getenv[name] }),
		EnvDir:   b.envDir(),
		RunsHere: b.here,
		Grace:    b.grace,
		StopWait: raytest.Timeout,
	})
	b.t.Cleanup(b.runner.Close)
}

func (b *bench) request(resource string, args map[string]any) *task.Request {
	input, err := json.Marshal(args)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	records := map[string][]byte{}
	for k, v := range b.records {
		records[k] = v
	}
	return &task.Request{
		Resource: resource, Input: input, Resumed: len(records) > 0, Records: records, Log: &b.log, Labels: b.labels,
		Keep: func(key string, record []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.records[key] = bytes.Clone(record)
			return nil
		},
		Submitted: func(output []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.submitted = append(b.submitted, bytes.Clone(output))
			return nil
		},
	}
}

func (b *bench) submit(ctx context.Context, args map[string]any) task.Result {
	return b.runner.Run(ctx, b.request(stepfn.RaySubmitJob, args))
}

// runAndKill runs an attempt, ends it after a number of its records, as a kill would, and starts a new runner.
func (b *bench) runAndKill(args map[string]any, records int) {
	ctx, cancel := context.WithCancelCause(b.t.Context())
	defer cancel(nil)
	req := b.request(stepfn.RaySubmitJob, args)
	keep, kept := req.Keep, 0
	req.Keep = func(key string, record []byte) error {
		if kept++; kept > records {
			return errors.New("the process is dead")
		}
		err := keep(key, record)
		if kept == records {
			cancel(task.ErrAbandon)
		}
		return err
	}
	b.runner.Run(ctx, req)
	b.start()
}

// background runs an attempt in the background. The test can end its context with cancel.
func (b *bench) background(args map[string]any) (cancel context.CancelCauseFunc, result <-chan task.Result) {
	ctx, cancel := context.WithCancelCause(cmp.Or(b.engine, b.t.Context()))
	done := make(chan task.Result, 1)
	req := b.request(stepfn.RaySubmitJob, args)
	go func() { done <- b.runner.Run(ctx, req) }()
	b.t.Cleanup(func() { cancel(task.ErrAbandon) })
	return cancel, done
}

func newID() string { return "t-" + strings.ToLower(rand.Text()) }

// await polls Ray until the status of a job is one of want.
func (b *bench) await(id string, want ...ray.Status) (job ray.Job) {
	b.t.Helper()
	raytest.Eventually(b.t, fmt.Sprintf("job %s is %s", id, want), func() (err error) {
		if job, err = b.client.Get(b.t.Context(), id); err == nil && !slices.Contains(want, job.Status) {
			err = fmt.Errorf("it is %s: %s", job.Status, job.Message)
		}
		return err
	})
	return job
}

// wantError fails the test unless the result has this error name, and its cause contains the texts.
func wantError(t *testing.T, got task.Result, name string, inCause ...string) {
	t.Helper()
	if got.Error != name {
		t.Fatalf("got %+v (output %s), want error %s", got, got.Output, name)
	}
	for _, text := range inCause {
		if !strings.Contains(got.Cause, text) {
			t.Errorf("got cause %q, want one that contains %q", got.Cause, text)
		}
	}
}

func TestSucceeds(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id := newID()
		got := b.submit(t.Context(), map[string]any{
			"SubmissionId": id,
			"Entrypoint":   "echo hello $WHO\necho two\necho '::rayorch-output::{\"loss\": 1.5}'",
			"RuntimeEnv":   map[string]any{"env_vars": map[string]string{"WHO": "world"}},
			"Metadata":     map[string]string{"run": id},
		})
		if got.Error != "" {
			t.Fatalf("got %+v", got)
		}
		var out raytask.Output
		if err := json.Unmarshal(got.Output, &out); err != nil {
			t.Fatal(err)
		}
		if out.SubmissionID != id || out.Status != ray.Succeeded || string(out.Output) != `{"loss":1.5}` ||
			out.StartTime == 0 || out.EndTime < out.StartTime || out.Address != b.client.Address() || out.SessionName == "" || out.RayVersion == "" {
			t.Errorf("got %s", got.Output)
		}
		if log := b.log.String(); log != "hello world\ntwo\n" {
			t.Errorf("got log %q", log)
		}
		if len(b.submitted) != 1 || !strings.Contains(string(b.submitted[0]), id) {
			t.Errorf("Submitted was called with %q, want one call with %s", b.submitted, id)
		}
		if job := b.await(id, ray.Succeeded); job.Metadata["run"] != id {
			t.Errorf("got metadata %v, want run %s", job.Metadata, id)
		}
	})
}

func TestFails(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		got := b.submit(t.Context(), map[string]any{
			"SubmissionId": newID(), "Entrypoint": "echo before; echo the reason >&2; exit 3",
		})
		wantError(t, got, stepfn.RayJobFailed, "exit code 3", "before", "the reason")
	})
}

func TestStopIsConfirmed(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id := newID()
		cancel, done := b.background(map[string]any{"SubmissionId": id, "Entrypoint": "sleep 3600"})
		b.await(id, ray.Running)
		cancel(task.ErrStop)
		<-done
		if job, err := b.client.Get(t.Context(), id); err != nil || job.Status != ray.Stopped {
			t.Errorf("after Run returned: status %s, error %v, want %s", job.Status, err, ray.Stopped)
		}
	})
}

// TestCloseDuringStop closes the engine while a job handles SIGTERM: Run returns immediately instead of waiting for StopWait, and does not
// report the job as stopped.
func TestCloseDuringStop(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		engine, end := context.WithCancelCause(t.Context())
		b.engine = task.WithEngine(engine)
		id, dir := newID(), t.TempDir()
		ready, terminated, leave := filepath.Join(dir, "ready"), filepath.Join(dir, "terminated"), filepath.Join(dir, "leave")
		cancel, done := b.background(map[string]any{"SubmissionId": id, "RuntimeEnv": map[string]any{"env_vars": map[string]string{"RAY_JOB_STOP_WAIT_TIME_S": "3600"}},
			"Entrypoint": fmt.Sprintf(`trap 'touch %s; while [ ! -e %s ]; do sleep 0.1; done; exit 1' TERM; touch %s; while :; do sleep 0.1; done`, terminated, leave, ready)})
		raytest.Eventually(t, "the job handles SIGTERM", raytest.Exists(ready))
		cancel(task.ErrStop)
		raytest.Eventually(t, "the job got SIGTERM", raytest.Exists(terminated))
		end(task.ErrAbandon)
		if got := <-done; got.Stopped != "" {
			t.Errorf("the job is reported as stopped: %s", got.Stopped)
		}
		if err := os.WriteFile(leave, nil, 0o600); err != nil {
			t.Error(err)
		}
		b.await(id, ray.Stopped)
	})
}

func TestTimesOut(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id := newID()
		got := b.submit(t.Context(), map[string]any{"SubmissionId": id, "Entrypoint": "sleep 3600", "TimeoutSeconds": 0.5})
		wantError(t, got, "States.Timeout", "the job timed out after ", " s (limit 0.5 s)")
		b.await(id, ray.Stopped)
	})
}

func TestPendingTimeout(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id := newID()
		got := b.submit(t.Context(), map[string]any{
			"SubmissionId": id, "Entrypoint": "echo ran", "NumCpus": 64, "PendingTimeoutSeconds": 1,
		})
		wantError(t, got, stepfn.RayPendingTimeout, "Ray did not start the job within 1 s: Job has not started yet. It may be waiting for resources (")
		if strings.Contains(got.Cause, "failed") {
			t.Errorf("the stop failed: %s", got.Cause)
		}
		if job := b.await(id, ray.FailedJob, ray.Stopped); job.DriverNodeID != "" {
			t.Errorf("the job ran: %+v", job)
		}
		if _, err := b.client.Get(t.Context(), id+"-kill"); ray.KindOf(err) != ray.NotFound {
			t.Errorf("the record of the helper job that stopped it still exists: %v", err)
		}
	})
}

// TestGiveUp checks the order of events for a job that stays pending: the attempt fails first, because the stop may take Ray long. Run
// returns only when the stop is confirmed.
func TestGiveUp(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id := newID()
		ctx, cancel := context.WithCancelCause(t.Context())
		req := b.request(stepfn.RaySubmitJob, map[string]any{"SubmissionId": id, "Entrypoint": "true", "NumCpus": 64, "PendingTimeoutSeconds": 2})
		var reasons []string
		var since time.Time
		req.Pending = func(reason string, at time.Time) { reasons, since = append(reasons, reason), at }
		var gaveUp task.Result
		req.GiveUp = func(name, cause string) error {
			gaveUp = task.Fail(name, cause)
			if waited := time.Since(since); waited < 2*time.Second {
				t.Errorf("gave up after %s, want at least 2 s", waited)
			}
			if job, err := b.client.Get(t.Context(), id); err != nil || job.Status != ray.Pending {
				t.Errorf("in GiveUp: status %s, error %v, want %s", job.Status, err, ray.Pending)
			}
			cancel(task.ErrStop)
			return nil
		}
		got := b.runner.Run(ctx, req)
		const reason = "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become available."
		wantError(t, gaveUp, stepfn.RayPendingTimeout, "Ray did not start the job within 2 s: "+reason)
		if !strings.HasSuffix(got.Stopped, "is no longer running") {
			t.Errorf("got Stopped %q", got.Stopped)
		}
		if !slices.Equal(reasons, []string{"Ray has accepted the job", reason, ""}) {
			t.Errorf("got pending reasons %q", reasons)
		}
		b.await(id, ray.FailedJob, ray.Stopped)
	})
}

func TestFollowsTheJobOfAPreviousProcess(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id, gate := newID(), raytest.NewGate(t)
		args := map[string]any{"SubmissionId": id, "Entrypoint": fmt.Sprintf("echo ran >> %s/runs; %s; cat %[1]s/runs", t.TempDir(), gate.Wait())}
		cancel, done := b.background(args)
		b.await(id, ray.Running)
		cancel(task.ErrAbandon)
		<-done
		gate.Open(t)
		b.start()
		got := b.submit(t.Context(), args)
		if got.Error != "" {
			t.Fatalf("got %+v", got)
		}
		if log := b.log.String(); log != "ran\n" {
			t.Errorf("got log %q, want one run", log)
		}
	})
}

// TestFollowsAJobThatIsNoLongerAllowed restarts the server with a stricter policy: the job already runs, and must not run unwatched. A new
// attempt is refused.
func TestFollowsAJobThatIsNoLongerAllowed(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id, gate := newID(), raytest.NewGate(t)
		args := map[string]any{"SubmissionId": id, "Entrypoint": gate.Wait(), "InheritEnv": []string{"SOMETHING"}}
		cancel, done := b.background(args)
		b.await(id, ray.Running)
		cancel(task.ErrAbandon)
		<-done
		b.labels = map[string]string{task.OriginLabel: task.NetworkDefinition}
		gate.Open(t)
		b.start()
		if got := b.submit(t.Context(), args); got.Error != "" {
			t.Errorf("got %+v", got)
		}
		b.records = map[string][]byte{}
		wantError(t, b.submit(t.Context(), args), stepfn.StatesPermissions, "--allow-env SOMETHING")
	})
}

// TestFollowsAJobThatAlreadyExists submits a job whose id Ray already has, as after a lost response. A job with another entrypoint is an
// error.
func TestFollowsAJobThatAlreadyExists(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id := newID()
		args := map[string]any{"SubmissionId": id, "Entrypoint": "echo once"}
		if _, _, err := b.client.Submit(t.Context(), ray.Submission{SubmissionID: id, Entrypoint: "echo once"}); err != nil {
			t.Fatal(err)
		}
		if got := b.submit(t.Context(), args); got.Error != "" || b.log.String() != "once\n" {
			t.Errorf("got %+v, log %q", got, b.log.String())
		}
		b.records = map[string][]byte{}
		got := b.submit(t.Context(), map[string]any{"SubmissionId": id, "Entrypoint": "echo another"})
		wantError(t, got, stepfn.RaySubmitFailed, "another job", id)
	})
}

// TestModules imports local modules of all kinds: directories, files and wheels.
func TestModules(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b, dir := newBench(t, r), t.TempDir()
		word := newID()
		for name, text := range map[string]string{"tools/__init__.py": "WORD = '" + word + "'\n", "tools/empty/.keep": "", "single.py": "import tools\n"} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		modules := []string{filepath.Join(dir, "tools"), filepath.Join(dir, "single.py")}
		command := "cd / && python3 -c 'import single; print(single.tools.WORD)'"
		if r.Fake == nil && r.Found.Token == "" {
			wheel := filepath.Join(dir, "wheeled-1.0-py3-none-any.whl")
			writeWheel(t, wheel)
			modules, command = append(modules, wheel), command+" && python3 -c 'import wheeled; print(wheeled.KIND)'"
		}
		for range 2 { // between the jobs, Ray deletes the unused packages
			got := b.submit(t.Context(), map[string]any{"SubmissionId": newID(), "Entrypoint": command, "RuntimeEnv": map[string]any{"py_modules": modules}})
			if log := b.log.String(); got.Error != "" || !strings.Contains(log, word+"\n") || len(modules) == 3 && !strings.Contains(log, "a wheel\n") {
				t.Fatalf("got %+v, log %q", got, log)
			}
			b.records = map[string][]byte{}
			if r.Fake != nil {
				r.Fake.DropPackages()
			}
		}
	})
}

// writeWheel writes a wheel with the module wheeled.
func writeWheel(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z := zip.NewWriter(file)
	for name, text := range map[string]string{
		"wheeled.py":                     "KIND = 'a wheel'\n",
		"wheeled-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: wheeled\nVersion: 1.0\n",
		"wheeled-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"wheeled-1.0.dist-info/RECORD":   "wheeled.py,,\nwheeled-1.0.dist-info/METADATA,,\nwheeled-1.0.dist-info/WHEEL,,\nwheeled-1.0.dist-info/RECORD,,\n",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

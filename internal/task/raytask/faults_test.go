package raytask_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// fakeBench returns a bench on a fake Ray, for situations that a real Ray cannot be forced into.
func fakeBench(t *testing.T, token string) (*bench, *raytest.Fake) {
	fake := raytest.NewFake(token)
	t.Cleanup(fake.Close)
	return newBench(t, raytest.Ray{Name: "fake", Found: ray.Found{Address: fake.URL, Token: token}, Fake: fake}), fake
}

func TestBadArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args map[string]any
		want string
	}{
		{"no id", map[string]any{"SubmissionId": ""}, "SubmissionId"},
		{"invalid id", map[string]any{"SubmissionId": "A_b"}, "DNS label"},
		{"id too long", map[string]any{"SubmissionId": strings.Repeat("a", 48)}, "47 characters"},
		{"no entrypoint", map[string]any{"Entrypoint": " "}, "Entrypoint"},
		{"unknown argument", map[string]any{"Entrypont": "x"}, `unknown field "Entrypont"`},
		{"negative CPUs", map[string]any{"NumCpus": -1}, "0 or more"},
		{"not a number", map[string]any{"NumCpus": "two"}, "NumCpus"},
		{"negative resource", map[string]any{"Resources": map[string]any{"a": -1}}, `Resources "a"`},
		{"zero timeout", map[string]any{"TimeoutSeconds": 0}, "greater than 0"},
		{"missing directory", map[string]any{"WorkingDir": "/no/such/dir"}, "/no/such/dir does not exist"},
		{"directory is a file", map[string]any{"WorkingDir": file}, "is a file"},
		{"relative directory", map[string]any{"WorkingDir": "dir"}, "absolute path or a URI"},
		{"two directories", map[string]any{"WorkingDir": "/a", "RuntimeEnv": map[string]any{"working_dir": "/b"}}, `WorkingDir "/a" and RuntimeEnv.working_dir "/b" differ`},
		{"missing secret", map[string]any{"SecretEnv": map[string]any{"A": map[string]any{"Env": "NOT_SET"}}}, "NOT_SET is not set"},
		{"long secret", map[string]any{"SecretEnv": map[string]any{"A": map[string]any{"Env": "LONG"}}}, "the environment variable A has 131074 bytes"},
		{"invalid Redact", map[string]any{"Redact": []any{map[string]any{}}}, "Redact must be a list"},
		{"invalid InheritEnv", map[string]any{"InheritEnv": "AWS_*"}, "InheritEnv must be true or a list"},
		{"invalid secret", map[string]any{"SecretEnv": map[string]any{"A": "value"}}, "SecretEnv"},
		{"invalid variable", map[string]any{"RuntimeEnv": map[string]any{"env_vars": map[string]any{"A": 1}}}, "env_vars.A must be a string"},
		{"missing requirements", map[string]any{"RuntimeEnv": map[string]any{"pip": "requirements.txt"}}, "requirements.txt"},
		{"relative module", map[string]any{"RuntimeEnv": map[string]any{"py_modules": []any{"tools"}}}, "RuntimeEnv.py_modules[0] must be an absolute path or a URI"},
		{"missing module", map[string]any{"RuntimeEnv": map[string]any{"py_modules": []any{"/no/such/module"}}}, "RuntimeEnv.py_modules[0]: the module /no/such/module does not exist"},
		{"not a module", map[string]any{"RuntimeEnv": map[string]any{"py_modules": []any{file}}}, "must be a directory"},
		{"invalid excludes", map[string]any{"RuntimeEnv": map[string]any{"excludes": "x"}}, "excludes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, fake := fakeBench(t, "")
			b.getenv["LONG"] = strings.Repeat("x", 128<<10-1)
			args := map[string]any{"SubmissionId": newID(), "Entrypoint": "true"}
			for key, v := range test.args {
				args[key] = v
			}
			wantError(t, b.submit(t.Context(), args), stepfn.RaySubmitFailed, test.want)
			if fake.Jobs() > 0 {
				t.Error("a job was submitted")
			}
		})
	}
}

func TestWorkingDir(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.sh"), []byte("echo from "+newID()+" the directory\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // between the jobs, Ray deletes the unused packages
			got := b.submit(t.Context(), map[string]any{"SubmissionId": newID(), "Entrypoint": "sh main.sh", "WorkingDir": dir})
			if got.Error != "" || !strings.Contains(b.log.String(), "the directory\n") {
				t.Errorf("got %+v, log %q", got, b.log.String())
			}
			b.records = map[string][]byte{}
			if r.Fake != nil {
				r.Fake.DropPackages()
			}
		}
	})
}

// TestCodeDoesNotChange edits a working directory and a module after the execution has started. An attempt and its retry run the original
// code, even if Ray has deleted the packages.
func TestCodeDoesNotChange(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		dir, module := t.TempDir(), filepath.Join(t.TempDir(), "helper.py")
		write := func(text string) {
			t.Helper()
			for _, file := range []string{filepath.Join(dir, "main.sh"), module} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		write("echo old " + newID() + "\n")
		arguments := map[string]any{"Entrypoint": "sh main.sh", "WorkingDir": dir, "RuntimeEnv": map[string]any{"py_modules": []string{module}}}
		text, err := json.Marshal(arguments)
		if err != nil {
			t.Fatal(err)
		}
		var frozen []snapshot.Snapshot
		for _, source := range raytask.Sources(text) {
			kept, err := snapshot.Open(b.code).Keep(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			frozen = append(frozen, kept)
		}
		if len(frozen) != 2 {
			t.Fatalf("got sources %+v, want the directory and the module", frozen)
		}
		b.labels = map[string]string{snapshot.Label: snapshot.Encode(frozen)}
		for range 2 { // an attempt and its retry
			write("echo new\n")
			if r.Fake != nil {
				r.Fake.DropPackages()
			}
			arguments["SubmissionId"] = newID()
			got := b.submit(t.Context(), arguments)
			if got.Error != "" || !strings.Contains(b.log.String(), "old ") || strings.Contains(b.log.String(), "new") {
				t.Errorf("got %+v, log %q", got, b.log.String())
			}
			b.records = map[string][]byte{}
		}
	})
}

func TestSources(t *testing.T) {
	for arguments, want := range map[string]string{
		`{"WorkingDir": "/a", "RuntimeEnv": {"excludes": ["*.bin"]}}`:                                `/a [*.bin]`,
		`{"RuntimeEnv": {"working_dir": "/a", "py_modules": ["/b", "s3://b/m.zip", "{% $x %}", 1]}}`: `/a []|/b []`,
		`{"WorkingDir": "gcs://_ray_pkg_1.zip"}`:                                                     ``,
		`{"WorkingDir": "{% $x %}", "RuntimeEnv": "{% $y %}"}`:                                       ``,
		`{"WorkingDir": "/a", "RuntimeEnv": {"excludes": "{% $x %}"}}`:                               ``,
		`[]`: ``,
	} {
		var got []string
		for _, s := range raytask.Sources([]byte(arguments)) {
			got = append(got, fmt.Sprint(s.Path, " ", s.Excludes))
		}
		if text := strings.Join(got, "|"); text != want {
			t.Errorf("%s: got %q, want %q", arguments, text, want)
		}
	}
}

func TestRuntimeEnvFails(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		missing := "gcs://_ray_pkg_" + newID() + ".zip" // was never uploaded
		got := b.submit(t.Context(), map[string]any{"SubmissionId": newID(), "Entrypoint": "true", "WorkingDir": missing})
		wantError(t, got, stepfn.RayRuntimeEnvFailed, "runtime_env setup failed")
		if r.Fake != nil || r.Found.Token != "" {
			return // a Ray with a token behaves the same, and the test is slow
		}
		for name, env := range map[string]any{
			"invalid": map[string]any{"conda": "no-such-file.yaml"}, // Ray rejects it before the set-up
			"package": map[string]any{"pip": map[string]any{"packages": []string{"/no/such/wheel-1.0-py3-none-any.whl"},
				"pip_install_options": []string{"--no-index"}}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got := newBench(t, r).submit(t.Context(), map[string]any{"SubmissionId": newID(), "Entrypoint": "true", "RuntimeEnv": env})
				wantError(t, got, stepfn.RayRuntimeEnvFailed)
			})
		}
	})
}

func TestSecretsAreRedacted(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		b.getenv["HOST_KEY"] = "s3cr3t\"value\nsecond-line"
		got := b.submit(t.Context(), map[string]any{
			"SubmissionId": newID(),
			"Entrypoint":   `printf '%s\n' "$KEY"; printf '::rayorch-output::{"k": "s3cr3t\\"value\\nsecond-line"}\n'`,
			"SecretEnv":    map[string]any{"KEY": map[string]string{"Env": "HOST_KEY"}},
		})
		if got.Error != "" || !strings.Contains(string(got.Output), `"Output":{"k":"***"}`) {
			t.Errorf("got %+v, %s", got, got.Output)
		}
		if log := b.log.String(); log != "***\n***\n" {
			t.Errorf("got log %q", log)
		}
		for key, record := range b.records {
			if bytes.Contains(record, []byte("s3cr3t")) {
				t.Errorf("the record %s contains the secret", key)
			}
		}
	})
}

func TestUnauthorized(t *testing.T) {
	b, fake := fakeBench(t, "right")
	b.ray.Found.Token = "wrong"
	b.start()
	got := b.submit(t.Context(), map[string]any{"SubmissionId": newID(), "Entrypoint": "true"})
	wantError(t, got, stepfn.RayUnauthorized, "RAY_AUTH_TOKEN")
	if fake.Jobs() > 0 {
		t.Error("a job was submitted")
	}
}

func TestUnreachable(t *testing.T) {
	address := "http://" + raytest.RefusingAddress(t)
	r := raytask.New(raytask.Config{
		Resolve: func(context.Context, string) (ray.Found, error) {
			return ray.Found{Address: address}, nil
		},
		Grace: 300 * time.Millisecond,
	})
	defer r.Close()
	b := &bench{t: t, records: map[string][]byte{}}
	begin := time.Now()
	got := r.Run(t.Context(), b.request(stepfn.RaySubmitJob, map[string]any{"SubmissionId": "a", "Entrypoint": "true"}))
	wantError(t, got, stepfn.RayUnreachable, "connection refused")
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("gave up after %s, want at least 300 ms", took)
	}
}

func TestNoRay(t *testing.T) {
	r := raytask.New(raytask.Config{Resolve: func(context.Context, string) (ray.Found, error) { return ray.Found{}, ray.ErrNoRay }})
	defer r.Close()
	b := &bench{t: t, records: map[string][]byte{}}
	got := r.Run(t.Context(), b.request(stepfn.RaySubmitJob, map[string]any{"SubmissionId": "a", "Entrypoint": "true"}))
	wantError(t, got, stepfn.RayUnreachable, "--ray-address")
}

func TestHeadLost(t *testing.T) {
	t.Run("while the job runs", func(t *testing.T) {
		b, fake := fakeBench(t, "")
		id := newID()
		_, done := b.background(map[string]any{"SubmissionId": id, "Entrypoint": "sleep 3600"})
		b.await(id, ray.Running)
		fake.NewSession()
		wantError(t, <-done, stepfn.RayHeadLost, "session_", id)
	})
	t.Run("while no rayorch runs", func(t *testing.T) {
		b, fake := fakeBench(t, "")
		id := newID()
		args := map[string]any{"SubmissionId": id, "Entrypoint": "sleep 3600"}
		cancel, done := b.background(args)
		b.await(id, ray.Running)
		cancel(task.ErrAbandon)
		<-done
		fake.NewSession()
		b.start()
		wantError(t, b.submit(t.Context(), args), stepfn.RayHeadLost)
		if fake.Jobs() > 0 {
			t.Error("the job was submitted again")
		}
	})
	t.Run("the new Ray has another address", func(t *testing.T) {
		for _, watched := range []bool{true, false} {
			b, fake := fakeBench(t, "")
			b.grace = 3 * time.Second // short, because the first Ray never comes back
			b.start()
			id := newID()
			args := map[string]any{"SubmissionId": id, "Entrypoint": "sleep 3600"}
			cancel, done := b.background(args)
			b.await(id, ray.Running)
			if !watched {
				cancel(task.ErrAbandon)
				<-done
			}
			next := raytest.NewFake("")
			t.Cleanup(next.Close)
			b.ownRay.Store(&ray.Found{Address: next.URL, Version: ray.Version{SessionName: "session_next"}})
			fake.Close()
			if !watched {
				b.start()
				result := b.submit(t.Context(), args)
				wantError(t, result, stepfn.RayHeadLost, "session_next")
			} else {
				wantError(t, <-done, stepfn.RayHeadLost, "session_next")
			}
			if next.Jobs() > 0 {
				t.Error("the job was submitted again")
			}
		}
	})
	t.Run("the record of the job is deleted", func(t *testing.T) {
		b, _ := fakeBench(t, "")
		id := newID()
		_, done := b.background(map[string]any{"SubmissionId": id, "Entrypoint": "sleep 3600"})
		b.await(id, ray.Running)
		if _, err := b.client.Stop(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_ = b.client.Delete(t.Context(), id)
		if got := <-done; got.Error != stepfn.RayHeadLost && got.Error != stepfn.RayJobStopped {
			t.Errorf("got %+v", got)
		}
	})
}

// TestKilledAnywhere ends an attempt after each of its records, as a kill would, and runs it again: the job runs exactly once.
func TestKilledAnywhere(t *testing.T) {
	for cut := 1; cut <= 4; cut++ {
		b, fake := fakeBench(t, "")
		runs := filepath.Join(t.TempDir(), "runs")
		args := map[string]any{"SubmissionId": newID(), "Entrypoint": "echo run >> " + runs + "; sleep 0.3"}
		b.runAndKill(args, cut)
		got := b.submit(t.Context(), args)
		text, err := os.ReadFile(runs)
		if got.Error != "" || err != nil || string(text) != "run\n" || fake.Jobs() != 1 {
			t.Errorf("cut after record %d: got %+v, runs %q, %d jobs", cut, got, text, fake.Jobs())
		}
	}
}

// TestToleratesAShortOutage fails ten requests and cuts the log stream while a job runs: the attempt succeeds with the complete log.
func TestToleratesAShortOutage(t *testing.T) {
	b, fake := fakeBench(t, "")
	var failures atomic.Int32 // number of requests that still have to fail
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request) bool {
		if failures.Add(-1) < 0 {
			return false
		}
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	id, gate := newID(), raytest.NewGate(t)
	_, done := b.background(map[string]any{"SubmissionId": id, "Entrypoint": "echo a; " + gate.Wait() + "; echo b"})
	b.await(id, ray.Running)
	failures.Store(10)
	fake.CutTails()
	raytest.Eventually(t, "ten requests have failed", func() error {
		if n := failures.Load(); n > 0 {
			return fmt.Errorf("%d requests still have to fail", n)
		}
		return nil
	})
	gate.Open(t)
	if got := <-done; got.Error != "" || b.log.String() != "a\nb\n" {
		t.Errorf("got %+v, log %q", got, b.log.String())
	}
}

func TestInvalidOutput(t *testing.T) {
	for entrypoint, want := range map[string]string{
		`printf '::rayorch-output::"'; head -c 40000 /dev/zero | tr '\0' x; echo '"'`: "storage",
		`echo '::rayorch-output::{oops'`:                                              "not valid JSON",
	} {
		b, _ := fakeBench(t, "")
		wantError(t, b.submit(t.Context(), map[string]any{"SubmissionId": newID(), "Entrypoint": entrypoint}), stepfn.RayJobFailed, want)
	}
}

// TestOutputPassedOnByAPreviousProcess restarts rayorch after the marked line has been passed on: the output is still found.
func TestOutputPassedOnByAPreviousProcess(t *testing.T) {
	b, _ := fakeBench(t, "")
	id, gate := newID(), raytest.NewGate(t)
	args := map[string]any{"SubmissionId": id, "Entrypoint": `echo '::rayorch-output::7'; echo later; ` + gate.Wait()}
	cancel, done := b.background(args)
	raytest.Eventually(t, "the line after the output is passed on", func() error {
		if log := b.log.String(); log != "later\n" {
			return fmt.Errorf("the log is %q", log)
		}
		return nil
	})
	cancel(task.ErrAbandon)
	<-done
	gate.Open(t)
	b.start()
	got := b.submit(t.Context(), args)
	if got.Error != "" || !strings.Contains(string(got.Output), `"Output":7`) || b.log.String() != "later\n" {
		t.Errorf("got %+v, %s, log %q", got, got.Output, b.log.String())
	}
}

func TestStopJobs(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		id := newID()
		ids := []string{id + "-1", id + "-2", "other" + id[1:]}
		for _, id := range ids {
			_, _, err := b.client.Submit(t.Context(), ray.Submission{SubmissionID: id, Entrypoint: "sleep 3600", Metadata: map[string]string{"id": id}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range ids {
			b.await(id, ray.Running)
		}
		for _, test := range []struct {
			args map[string]any
			want []string
		}{
			{map[string]any{"Prefix": id}, ids[:2]},
			{map[string]any{"Metadata": map[string]string{"id": ids[2]}}, ids[2:]},
			{map[string]any{"SubmissionIds": ids}, []string{}},
		} {
			got := b.runner.Run(t.Context(), b.request(stepfn.RayStopJobs, test.args))
			var out struct{ Stopped []string }
			if err := json.Unmarshal(got.Output, &out); err != nil || !slices.Equal(out.Stopped, test.want) {
				t.Fatalf("%v: got %+v, output %s (%v), want %v", test.args, got, got.Output, err, test.want)
			}
		}
		for _, id := range ids {
			b.await(id, ray.Stopped)
		}
		got := b.runner.Run(t.Context(), b.request(stepfn.RayStopJobs, map[string]any{}))
		wantError(t, got, stepfn.RaySubmitFailed, "Prefix")
	})
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte(`{"SubmissionId":"a","Entrypoint":"x","Resources":{"a":1e400},"TimeoutSeconds":1e300}`))
	f.Add([]byte(`{"SubmissionId":"a","Entrypoint":"x","RuntimeEnv":{"env_vars":null,"excludes":[1],"pip":3,"working_dir":{}}}`))
	r := raytask.New(raytask.Config{
		Resolve: func(context.Context, string) (ray.Found, error) { return ray.Found{}, ray.ErrNoRay },
		Secret:  task.Environment(func(string) string { return "value" }),
	})
	f.Cleanup(r.Close)
	f.Fuzz(func(t *testing.T, input []byte) {
		req := &task.Request{Resource: stepfn.RaySubmitJob, Input: input, Log: &tasktest.Log{}}
		if got := r.Run(t.Context(), req); got.Error != stepfn.RaySubmitFailed && got.Error != stepfn.RayUnreachable {
			t.Errorf("got %+v", got)
		}
		req.Resource = stepfn.RayStopJobs
		if got := r.Run(t.Context(), req); got.Error != stepfn.RaySubmitFailed && got.Error != stepfn.RayUnreachable {
			t.Errorf("got %+v", got)
		}
	})
}

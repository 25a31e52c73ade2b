package ray_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

func TestMain(m *testing.M) { raytest.Main(m) }

func newID() string { return "c-" + strings.ToLower(rand.Text()) }

// end waits for the end of a job.
func end(t testing.TB, c *ray.Client, id string) ray.Job {
	t.Helper()
	return until(t, c, id, func(job ray.Job) bool { return job.Status.Terminal() })
}

// until waits until done returns true for a job.
func until(t testing.TB, c *ray.Client, id string, done func(ray.Job) bool) ray.Job {
	t.Helper()
	w := ray.NewWatcher(c, raytest.Timeout)
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), raytest.Timeout)
	defer cancel()
	job, err := w.Wait(ctx, id, "", done)
	if err != nil {
		t.Fatalf("%v; the last record is %+v", err, job)
	}
	return job
}

// server returns a client of a server with this handler.
func server(t *testing.T, handler http.HandlerFunc) *ray.Client {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return raytest.Ray{Found: ray.Found{Address: s.URL}}.Client(t)
}

// submit submits a job and returns its id.
func submit(t testing.TB, c *ray.Client, entrypoint string) string {
	t.Helper()
	id := newID()
	got, existed, err := c.Submit(t.Context(), ray.Submission{SubmissionID: id, Entrypoint: entrypoint})
	if err != nil || existed || got != id {
		t.Fatalf("submit: got %q, %v, %v", got, existed, err)
	}
	return id
}

func TestJob(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		c := r.Client(t)
		version, err := c.Version(t.Context())
		if err != nil || version.SessionName == "" || version.RayVersion == "" {
			t.Fatalf("version: %+v, %v", version, err)
		}
		gate := raytest.NewGate(t)
		id := submit(t, c, "echo hi; "+gate.Wait())
		if _, existed, err := c.Submit(t.Context(), ray.Submission{SubmissionID: id, Entrypoint: "echo hi"}); err != nil || !existed {
			t.Errorf("submit again: existed %v, %v; want true, nil", existed, err)
		}
		if err := c.Delete(t.Context(), id); ray.KindOf(err) != ray.Failed || !strings.Contains(err.Error(), "non-terminal state") {
			t.Errorf("delete a running job: %v", err)
		}
		gate.Open(t)
		job := end(t, c, id)
		if job.Status != ray.Succeeded || job.EndTime.Time().Before(job.StartTime.Time()) || job.SubmissionID != id {
			t.Errorf("got job %+v", job)
		}
		jobs, err := c.List(t.Context())
		if err != nil || !contains(jobs, id) {
			t.Errorf("the list does not contain %s: %v", id, err)
		}
		// Ray accepts a stop while the supervisor of the ended job exists. There is no other way to see when it ends.
		raytest.Eventually(t, "Ray does not accept a stop of the ended job", func() error {
			stopped, err := c.RequestStop(t.Context(), id)
			if stopped {
				err = errors.New("it accepts the stop")
			}
			return err
		})
		if err := c.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
		if _, err := c.Get(t.Context(), id); ray.KindOf(err) != ray.NotFound {
			t.Errorf("get a deleted job: %v", err)
		}
	})
}

func contains(jobs []ray.Job, id string) bool {
	for _, job := range jobs {
		if job.SubmissionID == id {
			return true
		}
	}
	return false
}

// ours removes the lines that Ray added.
func ours(lines []string) []string {
	var kept []string
	for _, line := range lines {
		if !strings.Contains(line, "job_manager.py:") && !strings.HasPrefix(line, "Running entrypoint for job") {
			kept = append(kept, line)
		}
	}
	return kept
}

func TestLogs(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		c := r.Client(t)
		id := submit(t, c, `printf 'one\n\ntwo\rthree\r\nf\344ur\n'; i=0; while [ $i -lt 25 ]; do echo line $i; i=$((i+1)); done; sleep 1; printf 'the end'`)
		var tailed []string
		log := c.NewLog(id, 0, func(line string) { tailed = append(tailed, line) })
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		following.Go(func() { _ = log.Tail(ctx) }) // a byte that is not UTF-8 breaks Ray's tail
		job := end(t, c, id)
		cancel()
		following.Wait()
		if err := log.Rest(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		want := []string{"one", "", "two", "three", "f\uFFFDur"}
		for i := range 25 {
			want = append(want, fmt.Sprint("line ", i))
		}
		want = append(want, "the end")
		if diff := cmp.Diff(want, ours(tailed)); diff != "" {
			t.Error(diff)
		}
		last, err := c.LastLines(t.Context(), job, 5) // may include lines of Ray
		if got := ours(last); err != nil || len(last) != 5 || !slices.Equal(got[len(got)-2:], []string{"line 24", "the end"}) {
			t.Errorf("got last lines %q, %v", last, err)
		}
	})
}

func TestTailFollowsToTheEnd(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		c, gate := r.Client(t), raytest.NewGate(t)
		id := submit(t, c, "echo a; "+gate.Wait()+"; echo b")
		var lines []string
		tail(t, c.NewLog(id, 0, func(line string) {
			if lines = append(lines, line); line == "a" {
				gate.Open(t)
			}
		}))
		if diff := cmp.Diff([]string{"a", "b"}, ours(lines)); diff != "" {
			t.Error(diff)
		}
		text, err := c.Logs(t.Context(), id)
		if err != nil || !strings.HasSuffix(text, "b\n") {
			t.Errorf("got log %q, %v", text, err)
		}
	})
}

// tail follows a log until the job has ended.
func tail(t *testing.T, log *ray.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), raytest.Timeout)
	defer cancel()
	if err := log.Tail(ctx); err != nil {
		t.Fatalf("%v after %d lines", err, log.Seen())
	}
}

// TestTailReconnects cuts the tail while the job runs: each line is emitted exactly once.
func TestTailReconnects(t *testing.T) {
	fake := raytest.NewFake("")
	defer fake.Close()
	c, gate := fake.Client(t), raytest.NewGate(t)
	id := submit(t, c, "for i in 1 2 3; do echo $i; done; "+gate.Wait()+"; for i in 4 5 6; do echo $i; done")
	var lines []string
	tail(t, c.NewLog(id, 0, func(line string) {
		if lines = append(lines, line); line == "3" {
			fake.CutTails()
			gate.Open(t)
		}
	}))
	if diff := cmp.Diff([]string{"1", "2", "3", "4", "5", "6"}, ours(lines)); diff != "" {
		t.Error(diff)
	}
	if fake.Requests(http.MethodGet, "/api/jobs/"+id+"/logs/tail") < 2 {
		t.Error("the tail was never cut")
	}
}

func TestStop(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		c := r.Client(t)
		id := submit(t, c, "sleep 3600")
		until(t, c, id, ray.Job.Started)
		job, err := c.Stop(t.Context(), id)
		if err != nil || job.Status != ray.Stopped {
			t.Errorf("got %s, %v", job.Status, err)
		}
		if _, err := c.Stop(t.Context(), newID()); ray.KindOf(err) != ray.NotFound {
			t.Errorf("stop an unknown job: %v", err)
		}
	})
}

// TestStopOfAPendingJob expects an error if the helper job, which kills the supervisor of the pending job, takes too long.
func TestStopOfAPendingJob(t *testing.T) {
	defer ray.SetKillWait(time.Second)()
	fake := raytest.NewFake("")
	t.Cleanup(fake.Close)
	id := newID()
	fake.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || r.URL.Path != "/api/jobs/" {
			return false
		}
		var s ray.Submission
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &s); err != nil {
			t.Error(err)
		}
		if s.SubmissionID == id+"-kill" { // make it slow and ineffective
			s.Entrypoint, s.RuntimeEnv = "sleep 3600", nil
			body, _ = json.Marshal(s)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return false
	}
	c := fake.Client(t)
	if _, _, err := c.Submit(t.Context(), ray.Submission{SubmissionID: id, Entrypoint: "true", NumCPUs: 64}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Stop(t.Context(), id)
	want := "the job " + id + " is still pending: the helper job " + id + "-kill, which kills its supervisor, did not end within 1s"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPackages(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		c := r.Client(t)
		dir := t.TempDir()
		write(t, dir, "main.sh", "#!/bin/sh\ncat lib/greeting; test -d empty && echo empty is there\n"+newID())
		write(t, dir, "lib/greeting", "hello from the package\n")
		if err := errors.Join(os.Chmod(filepath.Join(dir, "main.sh"), 0o755), os.Mkdir(filepath.Join(dir, "empty"), 0o755)); err != nil {
			t.Fatal(err)
		}
		pack, err := ray.Pack(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer pack.Close()
		if has, err := c.HasPackage(t.Context(), pack.Name); has || err != nil {
			t.Errorf("before the upload: got %v, %v, want false, nil", has, err)
		}
		for range 2 {
			if err := c.Upload(t.Context(), pack); err != nil {
				t.Fatal(err)
			}
		}
		if has, err := c.HasPackage(t.Context(), pack.Name); !has || err != nil {
			t.Errorf("after the upload: got %v, %v, want true, nil", has, err)
		}
		id := newID()
		_, _, err = c.Submit(t.Context(), ray.Submission{
			SubmissionID: id, Entrypoint: "./main.sh || true", RuntimeEnv: map[string]any{"working_dir": pack.URI()},
		})
		if err != nil {
			t.Fatal(err)
		}
		last, err := c.LastLines(t.Context(), end(t, c, id), 8) // includes lines of Ray before, between and after those of the job
		if got := strings.Join(ours(last), "\n"); !strings.Contains(got, "hello from the package\nempty is there") {
			t.Errorf("the job printed %q, %v", got, err)
		}
	})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestTokens(t *testing.T) {
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		if r.Found.Token == "" {
			t.Skip("this Ray has no token authentication")
		}
		for _, token := range []string{"", "wrong"} {
			c := raytest.Ray{Found: ray.Found{Address: r.Found.Address, Token: token}}.Client(t)
			_, err := c.Version(t.Context())
			if ray.KindOf(err) != ray.Unauthorized || !strings.Contains(err.Error(), "RAY_AUTH_TOKEN") {
				t.Errorf("with token %q: %v", token, err)
			}
			if err := c.NewLog("x", 0, func(string) {}).Tail(t.Context()); ray.KindOf(err) != ray.Unauthorized {
				t.Errorf("tail with token %q: %v", token, err)
			}
		}
	})
}

func TestErrors(t *testing.T) {
	text := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	trace := "Traceback (most recent call last):\n  File \"/ray/job_agent.py\", line 1, in submit\n    raise ValueError\nValueError: bad runtime_env: no such key\n"
	tests := []struct {
		name    string
		handler http.HandlerFunc
		kind    ray.Kind
		want    string
	}{
		{"a traceback", text(500, "text/plain", trace), ray.Failed, "ValueError: bad runtime_env: no such key"},
		{"no agent yet", text(500, "text/plain", "Traceback\nException: No available agent to submit job, please try again later."), ray.Busy, "No available agent"},
		{"a gateway", text(503, "application/json", `{"kind":"Status","message":"no endpoints available"}`), ray.Unreachable, "no endpoints available"},
		{"a page", text(200, "text/html; charset=utf-8", "<html>hello</html>"), ray.NotRay, "http://HOST:8265"},
		{"another server's 404", text(404, "text/html", "<html>404</html>"), ray.NotRay, "HTTP status 404"},
		{"another API", text(200, "application/json", `{"hello": 1}`), ray.NotRay, "status"},
		{"a list instead of an object", text(200, "application/json", `[1]`), ray.NotRay, "is not a Ray dashboard"},
		{"an incomplete response", text(200, "application/json", `{"status":`), ray.Unreachable, "EOF"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.invalid/", http.StatusFound)
		}, ray.NotRay, "302"},
		{"an empty 500", text(500, "text/plain", ""), ray.Failed, "500"},
		{"not found", text(404, "text/plain", "Job x does not exist"), ray.NotFound, "does not exist"},
		{"a bad request", text(400, "text/plain", "TypeError: unexpected keyword argument"), ray.Invalid, "unexpected keyword"},
		{"too large", text(413, "text/plain", "Maximum request body size 104857600 exceeded."), ray.TooLarge, "104857600"},
		{"browser traffic", text(405, "text/plain", "Method Not Allowed for browser traffic."), ray.Invalid, "browser"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := server(t, test.handler).Get(t.Context(), "x")
			if err == nil || ray.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got kind %d, %v; want kind %d, %q", ray.KindOf(err), err, test.kind, test.want)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := ray.New(ray.Config{Address: "http://" + l.Addr().String(), Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(t.Context()); ray.KindOf(err) != ray.Unreachable || !strings.Contains(err.Error(), "no response in time") {
		t.Errorf("a server that does not respond: %v", err)
	}
	_, err = raytest.Ray{Found: ray.Found{Address: "http://" + raytest.RefusingAddress(t)}}.Client(t).Version(t.Context())
	if ray.KindOf(err) != ray.Unreachable || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a port on which nobody listens: %v", err)
	}
}

func TestRetry(t *testing.T) {
	fake := raytest.NewFake("")
	defer fake.Close()
	var refused atomic.Int32
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request) bool {
		if refused.Add(1) > 2 {
			return false
		}
		http.Error(w, "Exception: No available agent to submit job", http.StatusInternalServerError)
		return true
	}
	c := fake.Client(t)
	err := ray.Retry(t.Context(), raytest.Timeout, func(ctx context.Context) error {
		_, _, err := c.Submit(ctx, ray.Submission{SubmissionID: "a", Entrypoint: "true"})
		return err
	})
	if err != nil || fake.Jobs() != 1 {
		t.Errorf("got error %v, %d jobs; want nil, 1", err, fake.Jobs())
	}
}

func TestCAFile(t *testing.T) {
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"ray_version": "2.60.0", "session_name": "s"}`))
	}))
	defer tls.Close()
	c := raytest.Ray{Found: ray.Found{Address: tls.URL}}.Client(t)
	if _, err := c.Version(t.Context()); ray.KindOf(err) != ray.Unreachable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the CA: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	c = raytest.Ray{Found: ray.Found{Address: tls.URL, CAFile: file}}.Client(t)
	if _, err := c.Version(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := ray.New(ray.Config{Address: tls.URL, CAFile: os.DevNull}); err == nil {
		t.Error("New accepted an empty CA file")
	}
}

func TestLoadToken(t *testing.T) {
	home := t.TempDir()
	write(t, home, ".ray/auth_token", "from-home\n")
	write(t, home, "file", " from-file \n")
	write(t, home, "two", "one\ntwo\n")
	path := func(name string) string { return filepath.Join(home, name) }
	tests := []struct {
		name, home, want string
		env              map[string]string
		fails            bool
	}{
		{"variable", home, "from-variable", map[string]string{"RAY_AUTH_TOKEN": "from-variable", "RAY_AUTH_TOKEN_PATH": path("file")}, false},
		{"file", home, "from-file", map[string]string{"RAY_AUTH_TOKEN_PATH": path("file")}, false},
		{"home", home, "from-home", nil, false},
		{"none", t.TempDir(), "", nil, false},
		{"no home", "", "", nil, false},
		{"missing file", home, "", map[string]string{"RAY_AUTH_TOKEN_PATH": path("nowhere")}, true},
		{"two lines", home, "", map[string]string{"RAY_AUTH_TOKEN_PATH": path("two")}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, source, err := ray.LoadToken(func(name string) string { return test.env[name] }, test.home)
			if got != test.want || (err != nil) != test.fails || (got != "") != (source != "") {
				t.Errorf("got token %q from %q, error %v; want %q", got, source, err, test.want)
			}
		})
	}
}

func FuzzJob(f *testing.F) {
	f.Add([]byte(`{"status":"RUNNING","start_time":1795445466741,"end_time":null,"metadata":null,"driver_exit_code":null}`))
	f.Add([]byte(`[{"status":"SUCCEEDED","start_time":1.5e12,"runtime_env":{"a":[1]}}]`))
	var body atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(*body.Load())
	}))
	f.Cleanup(server.Close)
	c, err := ray.New(ray.Config{Address: server.URL})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body.Store(&data)
		if job, err := c.Get(t.Context(), "x"); err == nil && (job.Status == "" || job.StartTime.Time().Year() > 40000) {
			t.Errorf("got %+v", job)
		}
		_, _ = c.List(t.Context())
		_, _ = c.Version(t.Context())
	})
}

// FuzzLog splits a log into two frames: the lines must be the same as without the split, and reading the log again must return no lines.
func FuzzLog(f *testing.F) {
	f.Add("one\r\ntwo\rthree\n\nfour", 5)
	f.Add("\r\n\r\n", 1)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		cut = min(max(cut, 0), len(text))
		whole := ray.CutLines(0, text)
		halves := ray.CutLines(0, text[:cut], text[cut:])
		if diff := cmp.Diff(whole, halves); diff != "" {
			t.Errorf("cut at %d of %q: %s", cut, text, diff)
		}
		if again := ray.CutLines(len(whole), text); len(again) > 0 {
			t.Errorf("lines were emitted twice: %q", again)
		}
	})
}

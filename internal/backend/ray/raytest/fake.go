// Package raytest gives tests a Ray: a fake one, quick, and the real one, so that the same suite runs against both. No
// part of the program imports it.
package raytest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// FakeCPUs is what a fake Ray has: a job that asks for more stays pending, as it does on a real one.
const FakeCPUs = 2

// Fake is a Ray's dashboard as far as jobs go. It runs entrypoints by the shell.
type Fake struct {
	*httptest.Server
	// Token is demanded when it is not empty.
	Token string
	// Intercept sees each request first, several at once; when it returns true it has answered. It is set before the first.
	Intercept func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	session  string
	jobs     map[string]*fakeJob
	packages map[string][]byte
	requests map[string]int
	dir      string
	running  sync.WaitGroup
	tails    map[*websocket.Conn]bool
}

type fakeJob struct {
	ray.Job
	log   *os.File
	cmd   *exec.Cmd
	ended chan struct{}
	asked bool // to stop
	// stopWait is between SIGTERM and SIGKILL: RAY_JOB_STOP_WAIT_TIME_S, or Ray's 3 s.
	stopWait time.Duration
}

// NewFake starts a fake Ray; Close ends it with all its jobs.
func NewFake(token string) *Fake {
	dir, err := os.MkdirTemp("", "rayorch-fake-")
	if err != nil {
		panic(err) // a test cannot go on
	}
	f := &Fake{Token: token, dir: dir, packages: map[string][]byte{}, requests: map[string]int{}, tails: map[*websocket.Conn]bool{}}
	f.NewSession()
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	return f
}

// Client makes a client with the right token.
func (f *Fake) Client(t testing.TB) *ray.Client {
	t.Helper()
	return Ray{Found: ray.Found{Address: f.URL, Token: f.Token}}.Client(t)
}

// NewSession forgets all jobs, as a head does that was started anew.
func (f *Fake) NewSession() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killAll()
	f.session = "session_" + rand.Text()
	f.jobs = map[string]*fakeJob{}
}

// Requests counts those of a method and path so far.
func (f *Fake) Requests(method, path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[method+" "+path]
}

// AllRequests counts all.
func (f *Fake) AllRequests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, count := range f.requests {
		n += count
	}
	return n
}

// Jobs counts the jobs that Ray holds.
func (f *Fake) Jobs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs)
}

// Close ends it.
func (f *Fake) Close() {
	f.CloseClientConnections()
	f.Server.Close()
	f.mu.Lock()
	f.killAll()
	f.mu.Unlock()
	f.running.Wait()
	_ = os.RemoveAll(f.dir)
}

func (f *Fake) killAll() {
	for _, job := range f.jobs {
		if job.cmd != nil && !job.Status.Terminal() {
			_ = syscall.Kill(-job.cmd.Process.Pid, syscall.SIGKILL)
		}
	}
}

func (f *Fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests[r.Method+" "+r.URL.Path]++
	f.mu.Unlock()
	if f.Intercept != nil && f.Intercept(w, r) {
		return
	}
	if status, text := f.authorize(r); status != 0 {
		http.Error(w, text, status)
		return
	}
	f.route(w, r)
}

func (f *Fake) authorize(r *http.Request) (int, string) {
	if r.Method != http.MethodGet && (r.Header.Get("Origin") != "" || strings.Contains(r.UserAgent(), "Mozilla")) {
		return http.StatusMethodNotAllowed, "Method Not Allowed for browser traffic."
	}
	given := r.Header.Get("X-Ray-Authorization")
	if given == "" {
		given = r.Header.Get("Authorization")
	}
	switch {
	case f.Token == "" || given == "Bearer "+f.Token:
		return 0, ""
	case given == "":
		return http.StatusUnauthorized, "Unauthorized: Missing authentication token"
	}
	return http.StatusForbidden, "Forbidden: Invalid authentication token"
}

func (f *Fake) route(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/")
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	switch {
	case path == "version":
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, map[string]string{"version": "4", "ray_version": ray.Release, "ray_commit": "fake", "session_name": f.session})
	case path == "jobs/" && r.Method == http.MethodPost:
		f.submit(w, r)
	case path == "jobs/":
		f.list(w)
	case parts[0] == "jobs":
		f.job(w, r, parts[1:])
	case len(parts) == 3 && parts[0] == "packages":
		f.pack(w, r, parts[1]+"://"+parts[2])
	case path == "v0/logs/file":
		f.logFile(w, r)
	default:
		http.Error(w, "404: Not Found", http.StatusNotFound)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

func (f *Fake) list(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	jobs := []ray.Job{}
	for _, job := range f.jobs {
		jobs = append(jobs, job.Job)
	}
	answer(w, jobs)
}

func (f *Fake) job(w http.ResponseWriter, r *http.Request, parts []string) {
	f.mu.Lock()
	job := f.jobs[parts[0]]
	f.mu.Unlock()
	action := r.Method + " " + strings.Join(parts[1:], "/")
	switch {
	case job == nil:
		http.Error(w, "Job "+parts[0]+" does not exist", http.StatusNotFound)
	case action == "GET ":
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, job.Job)
	case action == "POST stop":
		answer(w, map[string]bool{"stopped": f.stop(job)})
	case action == "DELETE ":
		f.delete(w, job)
	case action == "GET logs":
		text, _ := os.ReadFile(job.log.Name())
		answer(w, map[string]string{"logs": string(text)})
	case action == "GET logs/tail":
		f.tail(w, r, job)
	default:
		http.Error(w, "405: Method Not Allowed", http.StatusMethodNotAllowed)
	}
}

func (f *Fake) delete(w http.ResponseWriter, job *fakeJob) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !job.Status.Terminal() {
		http.Error(w, "Traceback (most recent call last):\n  File \"job_agent.py\"\nRuntimeError: Attempted to delete job '"+
			job.SubmissionID+"', but it is in a non-terminal state "+string(job.Status)+".", http.StatusInternalServerError)
		return
	}
	delete(f.jobs, job.SubmissionID)
	answer(w, map[string]bool{"deleted": true})
}

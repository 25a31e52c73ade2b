// Package raytest provides Rays for tests: a fast fake, and real ones. The same tests run against both, so that the fake behaves as the
// real Ray does. Only tests import this package.
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

// FakeCPUs is the number of CPUs of a fake Ray. As on a real Ray, a job that requests more stays pending.
const FakeCPUs = 2

// Fake implements the part of Ray's dashboard that serves the Jobs API. It runs entrypoints with sh on this machine.
type Fake struct {
	*httptest.Server
	// Token is required in requests, unless it is empty.
	Token string
	// Intercept is called for each request, also concurrently. If it returns true, it has written the response. It must be set before the
	// first request.
	Intercept func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	session  string
	jobs     map[string]*fakeJob // by submission id
	packages map[string][]byte   // by URI
	requests map[string]int      // number of requests by method and path
	dir      string
	running  sync.WaitGroup
	tails    map[*websocket.Conn]bool // open log tails
}

type fakeJob struct {
	ray.Job
	log           *os.File
	cmd           *exec.Cmd // nil while the job is pending
	ended         chan struct{}
	stopRequested bool
	stopWait      time.Duration // time between SIGTERM and SIGKILL: RAY_JOB_STOP_WAIT_TIME_S, or Ray's default of 3 s
}

// NewFake starts a fake Ray. Close stops it and all its jobs.
func NewFake(token string) *Fake {
	dir, err := os.MkdirTemp("", "rayorch-fake-")
	if err != nil {
		panic(err) // tests cannot run without it
	}
	f := &Fake{Token: token, dir: dir, packages: map[string][]byte{}, requests: map[string]int{}, tails: map[*websocket.Conn]bool{}}
	f.NewSession()
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	return f
}

// Client returns a client with the right token.
func (f *Fake) Client(t testing.TB) *ray.Client {
	t.Helper()
	return Ray{Found: ray.Found{Address: f.URL, Token: f.Token}}.Client(t)
}

// NewSession starts a new session without jobs, like a head that was restarted.
func (f *Fake) NewSession() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killAll()
	f.session = "session_" + rand.Text()
	f.jobs = map[string]*fakeJob{}
}

// Requests returns the number of requests with a method and path so far.
func (f *Fake) Requests(method, path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[method+" "+path]
}

// AllRequests returns the number of all requests so far.
func (f *Fake) AllRequests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, count := range f.requests {
		n += count
	}
	return n
}

// Jobs returns the number of job records.
func (f *Fake) Jobs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs)
}

// Close stops the fake Ray and all its jobs.
func (f *Fake) Close() {
	f.CloseClientConnections()
	f.Server.Close()
	f.mu.Lock()
	f.killAll()
	f.mu.Unlock()
	f.running.Wait()
	_ = os.RemoveAll(f.dir)
}

// killAll kills all running jobs. The caller holds f.mu.
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

// authorize returns the status and text of the error for a request that Ray would reject, or 0.
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

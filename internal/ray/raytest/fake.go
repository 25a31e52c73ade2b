// Package raytest gives tests a Ray: a fake one, quick, and the real one, so that the same suite runs against both. No
// part of the program imports it.
package raytest

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/rayorch/rayorch/internal/ray"
)

// FakeCPUs is what a fake Ray has: a job that asks for more stays pending, as it does on a real one.
const FakeCPUs = 2

// Fake is a Ray's dashboard as far as jobs go. It runs entrypoints by the shell.
type Fake struct {
	*httptest.Server
	// Token is demanded when it is not empty.
	Token string
	// Intercept sees each request first; when it returns true it has answered.
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
	log    *os.File
	cmd    *exec.Cmd
	ended  chan struct{}
	asked  bool // to stop
	killed bool
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

func (f *Fake) pack(w http.ResponseWriter, r *http.Request, uri string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPut {
		data, err := io.ReadAll(io.LimitReader(r.Body, ray.PackageLimit+1))
		if err != nil || len(data) > ray.PackageLimit {
			http.Error(w, "Maximum request body size 104857600 exceeded.", http.StatusRequestEntityTooLarge)
			return
		}
		f.packages[uri] = data
		return
	}
	if _, ok := f.packages[uri]; !ok {
		http.Error(w, "Package "+uri+" does not exist", http.StatusNotFound)
	}
}

// Package is what was uploaded, nil without it.
func (f *Fake) Package(uri string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.packages[uri]
}

// DropPackages forgets all packages, as Ray does with those that nothing refers to.
func (f *Fake) DropPackages() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.packages)
}

func (f *Fake) submit(w http.ResponseWriter, r *http.Request) {
	var s ray.Submission
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || s.Entrypoint == "" {
		http.Error(w, "Traceback (most recent call last):\nTypeError: "+fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.jobs[s.SubmissionID] != nil {
		http.Error(w, "Traceback (most recent call last):\n  File \"job_manager.py\"\nValueError: Job with submission_id "+
			s.SubmissionID+" already exists. Please use a different submission_id.", http.StatusInternalServerError)
		return
	}
	job := &fakeJob{ended: make(chan struct{}), Job: ray.Job{
		Type: "SUBMISSION", SubmissionID: s.SubmissionID, Status: ray.Pending, Entrypoint: s.Entrypoint,
		Message: "Job has not started yet.", StartTime: ray.Millis(time.Now().UnixMilli()), Metadata: s.Metadata, RuntimeEnv: s.RuntimeEnv,
	}}
	f.jobs[s.SubmissionID] = job
	answer(w, map[string]string{"job_id": s.SubmissionID, "submission_id": s.SubmissionID})
	f.begin(job, s)
}

// begin starts a job that has room. f.mu is held.
func (f *Fake) begin(job *fakeJob, s ray.Submission) {
	var err error
	if job.log, err = os.Create(filepath.Join(f.dir, s.SubmissionID+".log")); err != nil {
		panic(err)
	}
	if s.NumCPUs > FakeCPUs || s.NumGPUs > 0 || len(s.Resources) > 0 {
		return
	}
	vars, _ := s.RuntimeEnv["env_vars"].(map[string]any)
	if victim, ok := vars["RAYORCH_KILL"].(string); ok { // how ray.Client stops a pending job
		f.killPending(victim)
		s.Entrypoint = "true"
	}
	dir, err := f.workingDir(s)
	if err != nil {
		f.end(job, ray.FailedJob, "runtime_env setup failed: "+err.Error())
		job.ErrorType = "RUNTIME_ENV_SETUP_FAILURE"
		return
	}
	fmt.Fprintf(job.log, "2026-01-01 00:00:00,000\tINFO job_manager.py:581 -- Runtime env is setting up.\nRunning entrypoint for job %s: %s\n",
		s.SubmissionID, s.Entrypoint)
	job.cmd = exec.Command("/bin/sh", "-c", s.Entrypoint)
	job.cmd.Dir, job.cmd.Stdout, job.cmd.Stderr = dir, job.log, job.log
	job.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	job.cmd.Env = os.Environ()
	for name, v := range vars {
		job.cmd.Env = append(job.cmd.Env, fmt.Sprintf("%s=%v", name, v))
	}
	if err := job.cmd.Start(); err != nil {
		panic(err)
	}
	job.Status, job.DriverNodeID, job.Message = ray.Running, "node-of-"+s.SubmissionID, "Job is currently running."
	f.running.Go(func() { f.wait(job) })
}

func (f *Fake) killPending(id string) {
	if victim := f.jobs[id]; victim != nil && victim.Status == ray.Pending {
		f.end(victim, ray.FailedJob, "Job supervisor actor died: killed by ray.kill")
	}
}

// end ends a job's record. f.mu is held.
func (f *Fake) end(job *fakeJob, status ray.Status, message string) {
	job.Status, job.Message, job.EndTime = status, message, ray.Millis(time.Now().UnixMilli())
	close(job.ended)
}

func (f *Fake) wait(job *fakeJob) {
	_ = job.cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	code := job.cmd.ProcessState.ExitCode()
	switch {
	case job.asked:
		f.end(job, ray.Stopped, "Job was intentionally stopped.")
		return
	case code == 0:
		f.end(job, ray.Succeeded, "Job finished successfully.")
	default:
		text, _ := os.ReadFile(job.log.Name())
		lines := strings.SplitAfter(string(text), "\n")
		f.end(job, ray.FailedJob, fmt.Sprintf("Job entrypoint command failed with exit code %d, last available logs (truncated to 20,000 chars):\n%s",
			code, strings.Join(lines[max(0, len(lines)-10):], "")))
		job.ErrorType = "JOB_ENTRYPOINT_COMMAND_ERROR"
	}
	job.DriverExitCode = &code
}

func (f *Fake) workingDir(s ray.Submission) (string, error) {
	uri, _ := s.RuntimeEnv["working_dir"].(string)
	if uri == "" {
		return f.dir, nil
	}
	data, ok := f.packages[uri]
	if !ok {
		return "", fmt.Errorf("Failed to download package %s", uri)
	}
	dir := filepath.Join(f.dir, "wd-"+s.SubmissionID)
	return dir, unzip(data, dir)
}

func unzip(data []byte, dir string) error {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, file := range r.File {
		if err := unzipFile(file, filepath.Join(dir, file.Name)); err != nil {
			return err
		}
	}
	return nil
}

func unzipFile(file *zip.File, path string) error {
	if file.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, file.Mode().Perm())
}

// stop asks as Ray does: a pending job's supervisor does not hear it.
func (f *Fake) stop(job *fakeJob) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if job.Status.Terminal() {
		return false
	}
	if job.cmd == nil || job.asked {
		return true
	}
	job.asked = true
	_ = syscall.Kill(-job.cmd.Process.Pid, syscall.SIGTERM)
	f.running.Go(func() {
		select {
		case <-job.ended:
		case <-time.After(3 * time.Second):
			_ = syscall.Kill(-job.cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	return true
}

func (f *Fake) logFile(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSuffix(strings.TrimPrefix(r.FormValue("filename"), "job-driver-"), ".log")
	text, err := os.ReadFile(filepath.Join(f.dir, filepath.Base(id)+".log"))
	if err != nil || r.FormValue("node_id") != "node-of-"+id {
		http.Error(w, "A file is not found at: /fake/"+id, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	if n, _ := strconv.Atoi(r.FormValue("lines")); n > 0 && n < len(lines) {
		lines = slices.Clip(lines[len(lines)-n:])
	}
	_, _ = io.WriteString(w, strings.Join(lines, ""))
	if bytes.HasSuffix(text, []byte("\n")) {
		_, _ = io.WriteString(w, "\n")
	}
}

func (f *Fake) tailing(conn *websocket.Conn, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open {
		f.tails[conn] = true
	} else {
		delete(f.tails, conn)
	}
}

// CutTails closes all log tails, as Ray does at times, though their jobs run on.
func (f *Fake) CutTails() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.tails {
		_ = conn.CloseNow()
	}
}

// tail sends what was written since the last look, and closes some time after the job's end.
func (f *Fake) tail(w http.ResponseWriter, r *http.Request, job *fakeJob) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	f.tailing(conn, true)
	defer func() { f.tailing(conn, false); _ = conn.CloseNow() }()
	ctx := conn.CloseRead(r.Context())
	sent := 0
	for {
		ended := false
		select {
		case <-job.ended:
			ended = true
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
		text, _ := os.ReadFile(job.log.Name())
		if len(text) > sent {
			chunk := strings.ToValidUTF8(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text[sent:])), "\uFFFD")
			if conn.Write(ctx, websocket.MessageText, []byte(chunk)) != nil {
				return
			}
			sent = len(text)
		}
		if ended {
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return
		}
	}
}

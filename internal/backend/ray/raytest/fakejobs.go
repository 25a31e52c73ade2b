package raytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

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
		Message: pendingMessage(s), StartTime: ray.Millis(time.Now().UnixMilli()), Metadata: s.Metadata, RuntimeEnv: s.RuntimeEnv,
	}}
	f.jobs[s.SubmissionID] = job
	answer(w, map[string]string{"job_id": s.SubmissionID, "submission_id": s.SubmissionID})
	f.begin(job, s)
}

// pendingMessage returns Ray's message about a pending job. It depends on the submission, not on what the job waits for.
func pendingMessage(s ray.Submission) string {
	message := "Job has not started yet."
	if s.NumCPUs > 0 || s.NumGPUs > 0 || s.Memory > 0 || len(s.Resources) > 0 {
		message += " It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become available."
	}
	if len(s.RuntimeEnv) > 0 {
		message += " It may be waiting for the runtime environment to be set up."
	}
	return message
}

// begin starts a job, unless the fake Ray lacks the resources. The caller holds f.mu.
func (f *Fake) begin(job *fakeJob, s ray.Submission) {
	var err error
	if job.log, err = os.Create(filepath.Join(f.dir, s.SubmissionID+".log")); err != nil {
		panic(err)
	}
	if s.NumCPUs > FakeCPUs || s.NumGPUs > 0 || len(s.Resources) > 0 {
		return
	}
	vars, _ := s.RuntimeEnv["env_vars"].(map[string]any)
	if victim, ok := vars["RAYORCH_KILL"].(string); ok { // the helper job with which ray.Client stops a pending job
		f.killPending(victim)
		s.Entrypoint = "true"
	}
	dir, err := f.workingDir(s)
	modules, modulesErr := f.modules(s)
	if err = errors.Join(err, modulesErr); err != nil {
		f.end(job, ray.FailedJob, "runtime_env setup failed: "+err.Error())
		job.ErrorType = "RUNTIME_ENV_SETUP_FAILURE"
		return
	}
	fmt.Fprintf(job.log, "2026-01-01 00:00:00,000\tINFO job_manager.py:581 -- Runtime env is setting up.\nRunning entrypoint for job %s: %s\n",
		s.SubmissionID, s.Entrypoint)
	job.stopWait = 3 * time.Second
	if s, err := strconv.Atoi(fmt.Sprint(vars["RAY_JOB_STOP_WAIT_TIME_S"])); err == nil {
		job.stopWait = time.Duration(s) * time.Second
	}
	job.cmd = exec.Command("/bin/sh", "-c", s.Entrypoint) //nolint:noctx // ends with the job, or by Close
	job.cmd.Dir, job.cmd.Stdout, job.cmd.Stderr = dir, job.log, job.log
	job.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	job.cmd.Env = append(os.Environ(), "PYTHONPATH="+modules)
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

// end updates the record of a job that has ended. The caller holds f.mu.
func (f *Fake) end(job *fakeJob, status ray.Status, message string) {
	job.Status, job.Message, job.EndTime = status, message, ray.Millis(time.Now().UnixMilli())
	close(job.ended)
}

// wait waits until the process of a job has ended, and updates its record.
func (f *Fake) wait(job *fakeJob) {
	_ = job.cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	code := job.cmd.ProcessState.ExitCode()
	switch {
	case job.stopRequested:
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

// stop stops a job as Ray does. It has no effect on a pending job, whose supervisor does not receive the request.
func (f *Fake) stop(job *fakeJob) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if job.Status.Terminal() {
		return false
	}
	if job.cmd == nil || job.stopRequested {
		return true
	}
	job.stopRequested = true
	_ = syscall.Kill(-job.cmd.Process.Pid, syscall.SIGTERM)
	f.running.Go(func() {
		select {
		case <-job.ended:
		case <-time.After(job.stopWait):
			_ = syscall.Kill(-job.cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	return true
}

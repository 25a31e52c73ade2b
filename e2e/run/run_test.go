// Package run_test runs pipelines on a real Ray with the rayorch command, as a user does.
package run_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

func TestMain(m *testing.M) {
	code := raytest.Run(m)
	command.Clean()
	os.Exit(code)
}

// newSandbox returns a sandbox whose commands use a real Ray with token authentication, and a client of this Ray.
func newSandbox(t *testing.T) (*command.Sandbox, *ray.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Ray")
	}
	found := raytest.Real(t, true)
	return command.New(t, &found), raytest.Ray{Found: found}.Client(t)
}

// summary is the output of a run with --output json.
type summary struct {
	Status, Error, Cause string
	Output               map[string]json.RawMessage
	Steps                []struct {
		Name, Status, SubmissionID, Dashboard, Error, Cause string
		Attempts                                            int
	}
}

// read decodes the output of a command that prints a run as JSON.
func read(t *testing.T, res command.Result) summary {
	t.Helper()
	var s summary
	if err := json.Unmarshal([]byte(res.Stdout), &s); err != nil {
		t.Fatalf("the output is not the JSON of a run: %v: %+v", err, res)
	}
	return s
}

// TestSecretsStayReferences runs jobs that print a secret and return its length, and then searches everything that rayorch stores and
// prints for the value of the secret.
func TestSecretsStayReferences(t *testing.T) {
	p, _ := newSandbox(t)
	const secret = "correct-horse-battery-staple"
	p.Env = append(p.Env, "MY_KEY="+secret)
	p.Write(t, "pipeline.yaml", `version: 1
name: secrets
secrets:
  KEY: {env: MY_KEY}
steps:
  - name: ray
    ray:
      entrypoint: 'echo "the key is $KEY"; echo "{\"length\": ${#KEY}}" > "$RAYORCH_OUTPUT"'
      secrets: [KEY]
  - name: job
    job:
      shell: 'echo "the key is $KEY"; echo "{\"length\": ${#KEY}}" > "$RAYORCH_OUTPUT"'
      secrets: [KEY]
  - name: failing
    job:
      shell: 'echo "$KEY" >&2; exit 1'
      secrets: [KEY]
`)
	res := p.Run(t.Context(), t, "run", "--name", "one", "--follow")
	if res.Code != 3 {
		t.Fatalf("run: got %+v, want exit code 3", res)
	}
	for _, args := range [][]string{
		{"describe", "one", "-o", "json"},
		{"history", "one", "-o", "json"},
		{"history", "one"},
		{"logs", "one", "--step", "ray"},
		{"logs", "one", "--step", "job"},
		{"logs", "one", "--step", "failing"},
	} {
		out := p.Run(t.Context(), t, args...)
		if out.Code != 0 || strings.Contains(out.Stdout+out.Stderr, secret) {
			t.Errorf("%v: got %+v, want exit code 0 and no secret", args, out)
		}
		if args[0] == "logs" && !strings.Contains(out.Stdout, "the key is ") && args[3] != "failing" {
			t.Errorf("%v: the log does not contain \"the key is\": %q", args, out.Stdout)
		}
	}
	if strings.Contains(res.Stdout+res.Stderr, secret) {
		t.Errorf("the output of run contains the secret: %+v", res)
	}
	sum := read(t, p.Run(t.Context(), t, "describe", "one", "-o", "json"))
	if got := sum.Steps[0].Name; got != "ray" || sum.Steps[0].Status != "succeeded" || sum.Steps[1].Status != "succeeded" {
		t.Errorf("the jobs did not get the secret: %+v", sum.Steps)
	}
	files := 0
	err := filepath.WalkDir(p.State, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s contains the secret", path)
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("searched %d files, want at least 5: %v", files, err)
	}
}

const sleeper = `version: 1
name: sleeper
steps:
  - name: sleep
    ray: {entrypoint: 'JOB'}
`

// forever is the command of a job that ends only when it is stopped.
const forever = "echo awake; sleep 3600"

// until returns the command of a job that ends when a file exists.
func until(path string) string {
	return "while [ ! -e " + path + " ]; do sleep 0.1; done"
}

// TestInterruptStopsTheJob checks that Ctrl-C stops the job before the command exits, and leaves nothing to resume.
func TestInterruptStopsTheJob(t *testing.T) {
	p, client := newSandbox(t)
	p.Write(t, "pipeline.yaml", strings.Replace(sleeper, "JOB", forever, 1))
	cmd, wait := p.Start(t, "run", "--name", "stopped", "-o", "json")
	job := awaitRunning(t, client, "stopped")
	awaitStderr(t, cmd, watching)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	res := wait()
	if res.Code != 130 {
		t.Fatalf("run: got %+v, want exit code 130", res)
	}
	if sum := read(t, res); sum.Status != "ABORTED" || sum.Steps[0].Status != "cancelled" {
		t.Errorf("got %+v, want ABORTED and a cancelled step", sum)
	}
	// No wait: the command exits only after the stop is confirmed.
	got, err := client.Get(t.Context(), job.SubmissionID)
	if err != nil || got.Status != ray.Stopped {
		t.Errorf("the job is %s, want %s: %v", got.Status, ray.Stopped, err)
	}
	if res := p.Run(t.Context(), t, "resume"); !strings.Contains(res.Stderr, "nothing to resume") {
		t.Errorf("resume: got %+v, want \"nothing to resume\"", res)
	}
}

// TestSecondInterruptExitsImmediately checks that the command does not wait for a job that ignores SIGTERM after the second interrupt,
// and that resume stops the job.
func TestSecondInterruptExitsImmediately(t *testing.T) {
	p, client := newSandbox(t)
	// The job handles SIGTERM by waiting for the file leave, and Ray waits for the job: the stop is still in progress at the second signal.
	dir := t.TempDir()
	ready, leave := filepath.Join(dir, "ready"), filepath.Join(dir, "leave")
	p.Write(t, "pipeline.yaml", strings.NewReplacer(
		"'JOB'", `'trap "`+until(leave)+`; exit 1" TERM; touch `+ready+`; while :; do sleep 0.1; done', env: {RAY_JOB_STOP_WAIT_TIME_S: "3600"}`).Replace(sleeper))
	cmd, wait := p.Start(t, "run", "--name", "left")
	job := awaitRunning(t, client, "left")
	raytest.Eventually(t, "the job handles signals", raytest.Exists(ready))
	for _, text := range []string{watching, "stopping the run"} {
		awaitStderr(t, cmd, text)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	res := wait()
	if res.Code != 130 || !strings.Contains(res.Stderr, "rayorch resume left") {
		t.Fatalf("run: got %+v, want exit code 130 and a hint with rayorch resume", res)
	}
	if err := os.WriteFile(leave, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if res := p.Run(t.Context(), t, "resume", "left"); res.Code != 3 {
		t.Errorf("resume of an aborted run: got %+v, want exit code 3", res)
	}
	got, err := client.Get(t.Context(), job.SubmissionID)
	if err != nil || !got.Status.Terminal() {
		t.Errorf("after resume, the job is %s, want that it has ended: %v", got.Status, err)
	}
}

// TestStopFromAnotherTerminal stops a run with rayorch stop while another command watches it.
func TestStopFromAnotherTerminal(t *testing.T) {
	p, client := newSandbox(t)
	p.Write(t, "pipeline.yaml", strings.Replace(sleeper, "JOB", forever, 1))
	_, wait := p.Start(t, "run", "--name", "remote-stop")
	job := awaitRunning(t, client, "remote-stop")
	if res := p.Run(t.Context(), t, "stop", "remote-stop"); res.Code != 0 {
		t.Fatalf("stop: got %+v, want exit code 0", res)
	}
	got, err := client.Get(t.Context(), job.SubmissionID)
	if err != nil || got.Status != ray.Stopped {
		t.Errorf("the job is %s when stop returns, want %s: %v", got.Status, ray.Stopped, err)
	}
	if res := wait(); res.Code != 3 || !strings.Contains(res.Stdout, "ABORTED") {
		t.Errorf("run: got %+v, want exit code 3 and ABORTED", res)
	}
}

// TestClientTakesOver runs two pipelines on one state directory: the second command is a client of the first. When the first is killed,
// the second must become the owner and continue its own run. The run of the first waits until it is resumed.
func TestClientTakesOver(t *testing.T) {
	p, client := newSandbox(t)
	killed := filepath.Join(t.TempDir(), "killed")
	p.Write(t, "pipeline.yaml", strings.Replace(sleeper, "JOB", until(killed), 1))
	owner, waitOwner := p.Start(t, "run", "--name", "owner")
	awaitRunning(t, client, "owner")
	_, waitClient := p.Start(t, "run", "--name", "client")
	awaitRunning(t, client, "client")
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	waitOwner()
	if err := os.WriteFile(killed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if res := waitClient(); res.Code != 0 || !strings.Contains(res.Stderr, "continuing here") {
		t.Fatalf("the client: got %+v, want exit code 0 and a message that it continues", res)
	}
	if res := p.Run(t.Context(), t, "resume"); res.Code != 0 || !strings.Contains(res.Stdout, "sleeper/owner SUCCEEDED") {
		t.Fatalf("resume: got %+v, want exit code 0 and the run owner SUCCEEDED", res)
	}
}

// TestDetached hands two runs over to a background process: one with --detach, and one whose terminal is closed. Both must continue with
// the same job, and succeed.
func TestDetached(t *testing.T) {
	p, client := newSandbox(t)
	leave := filepath.Join(t.TempDir(), "leave")
	p.Write(t, "pipeline.yaml", strings.Replace(sleeper, "JOB", until(leave), 1))
	if res := p.Run(t.Context(), t, "run", "--detach", "--name", "detached"); res.Code != 0 {
		t.Fatalf("run --detach: got %+v, want exit code 0", res)
	}
	cmd, wait := p.Start(t, "run", "--name", "hung-up")
	awaitRunning(t, client, "hung-up")
	awaitStderr(t, cmd, watching)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if res := wait(); res.Code != 129 {
		t.Fatalf("run after SIGHUP: got %+v, want exit code 129", res)
	}
	awaitRunning(t, client, "detached")
	res := p.Run(t.Context(), t, "list", "-o", "json")
	if strings.Count(res.Stdout, `"driven": true`) != 2 {
		t.Errorf("list: got %+v, want two driven runs", res)
	}
	if err := os.WriteFile(leave, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"detached", "hung-up"} {
		res := p.Run(t.Context(), t, "resume", name, "-o", "json")
		if sum := read(t, res); res.Code != 0 || sum.Status != "SUCCEEDED" || sum.Steps[0].Attempts != 1 {
			t.Errorf("resume %s: got %+v, want SUCCEEDED with one attempt", name, res)
		}
	}
	jobs, err := client.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	submitted := 0
	for _, job := range jobs {
		if name := job.Metadata["rayorch.execution"]; strings.HasSuffix(name, ":detached") || strings.HasSuffix(name, ":hung-up") {
			submitted++
		}
	}
	if submitted != 2 {
		t.Errorf("%d jobs were submitted for two runs, want 2", submitted)
	}
}

// awaitRunning waits until the job of a run with one step runs, and returns it.
func awaitRunning(t *testing.T, client *ray.Client, name string) (job ray.Job) {
	t.Helper()
	raytest.Eventually(t, "the job of "+name+" runs", func() error {
		all, err := client.List(t.Context())
		if err != nil {
			return err
		}
		for _, job = range all {
			if strings.HasSuffix(job.Metadata["rayorch.execution"], ":"+name) {
				if job.Status == ray.Running {
					return nil
				}
				return fmt.Errorf("the job is %s: %s", job.Status, job.Message)
			}
		}
		return fmt.Errorf("none of the %d jobs belongs to the run", len(all))
	})
	return job
}

// watching is the text that a command prints about the step sleep when it watches the run, and therefore handles signals.
var watching = fmt.Sprintf("%-20s running", "sleep")

// awaitStderr waits until a command has printed a text to standard error.
func awaitStderr(t *testing.T, cmd *exec.Cmd, text string) {
	t.Helper()
	raytest.Eventually(t, fmt.Sprintf("%v prints %q", cmd.Args, text), func() error {
		if got := command.Stderr(cmd); !strings.Contains(got, text) {
			return fmt.Errorf("it printed %q", got)
		}
		return nil
	})
}

// TestFailedJobHasCause checks that the cause of a failed job contains the error of its program.
func TestFailedJobHasCause(t *testing.T) {
	p, _ := newSandbox(t)
	p.Write(t, "train.py", "import nothing_like_this\n")
	p.Write(t, "pipeline.yaml", `version: 1
name: broken
steps:
  - name: train
    ray: {entrypoint: python train.py, workingDir: .}
`)
	res := p.Run(t.Context(), t, "run", "-o", "json")
	sum := read(t, res)
	if res.Code != 3 || sum.Error != "Ray.JobFailed" || !strings.Contains(sum.Cause, "No module named 'nothing_like_this'") {
		t.Errorf("got %+v, want Ray.JobFailed with the missing module in the cause", sum)
	}
	if !strings.Contains(sum.Steps[0].Dashboard, "/#/jobs/"+sum.Steps[0].SubmissionID) {
		t.Errorf("got %+v, want a link to the job in the dashboard", sum.Steps)
	}
	p.Write(t, "pipeline.yaml", `version: 1
name: broken
steps:
  - name: train
    ray: {entrypoint: python train.py, workingDir: nowhere}
`)
	if res := p.Run(t.Context(), t, "run"); res.Code == 0 || !strings.Contains(res.Stdout+res.Stderr, "nowhere") {
		t.Errorf("with a missing working directory: got %+v, want an error that names it", res)
	}
}

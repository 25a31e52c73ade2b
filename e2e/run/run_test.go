// Package run_test runs pipelines on a real Ray through the command, as a user does.
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

// place is where commands run against a real Ray with tokens.
func place(t *testing.T) (*command.Sandbox, *ray.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Ray")
	}
	found := raytest.Real(t, true)
	return command.New(t, &found), raytest.Ray{Found: found}.Client(t)
}

// summary is what --output json prints of a run.
type summary struct {
	Status, Error, Cause string
	Output               map[string]json.RawMessage
	Steps                []struct {
		Name, Status, SubmissionID, Dashboard, Error, Cause string
		Attempts                                            int
	}
}

func read(t *testing.T, res command.Result) summary {
	t.Helper()
	var s summary
	if err := json.Unmarshal([]byte(res.Stdout), &s); err != nil {
		t.Fatalf("%v: %+v", err, res)
	}
	return s
}

// TestSecretsStayReferences runs a job that gets a secret, prints it and gives it back, and then looks for its value in
// everything that rayorch keeps and shows.
func TestSecretsStayReferences(t *testing.T) {
	p, _ := place(t)
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
		t.Fatalf("%+v", res)
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
			t.Errorf("%v: %+v", args, out)
		}
		if args[0] == "logs" && !strings.Contains(out.Stdout, "the key is ") && args[3] != "failing" {
			t.Errorf("%v: the log lacks the job's line: %q", args, out.Stdout)
		}
	}
	if strings.Contains(res.Stdout+res.Stderr, secret) {
		t.Errorf("the terminal shows the secret: %+v", res)
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
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("searched %d files, %v", files, err)
	}
}

const sleeper = `version: 1
name: sleeper
steps:
  - name: sleep
    ray: {entrypoint: 'JOB'}
`

// forever is a job that ends only when it is stopped.
const forever = "echo awake; sleep 3600"

// until is a job that ends once a file is there.
func until(path string) string {
	return "while [ ! -e " + path + " ]; do sleep 0.1; done"
}

func TestInterruptStopsTheJob(t *testing.T) {
	p, client := place(t)
	p.Write(t, "pipeline.yaml", strings.Replace(sleeper, "JOB", forever, 1))
	cmd, wait := p.Start(t, "run", "--name", "stopped", "-o", "json")
	job := awaitRunning(t, client, "stopped")
	awaitSaid(t, cmd, watching)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	res := wait()
	if res.Code != 130 {
		t.Fatalf("%+v", res)
	}
	if sum := read(t, res); sum.Status != "ABORTED" || sum.Steps[0].Status != "cancelled" {
		t.Errorf("%+v", sum)
	}
	// Confirmed before the command ended: no waiting here.
	got, err := client.Get(t.Context(), job.SubmissionID)
	if err != nil || got.Status != ray.Stopped {
		t.Errorf("the job is %s, %v", got.Status, err)
	}
	if res := p.Run(t.Context(), t, "resume"); !strings.Contains(res.Stderr, "nothing to resume") {
		t.Errorf("%+v", res)
	}
}

func TestASecondInterruptLeavesAtOnceAndResumeFinishes(t *testing.T) {
	p, client := place(t)
	// The job takes SIGTERM until the test lets it go, and Ray waits for it: the stop is still under way when the second
	// signal comes.
	dir := t.TempDir()
	ready, leave := filepath.Join(dir, "ready"), filepath.Join(dir, "leave")
	p.Write(t, "pipeline.yaml", strings.NewReplacer(
		"'JOB'", `'trap "`+until(leave)+`; exit 1" TERM; touch `+ready+`; while :; do sleep 0.1; done', env: {RAY_JOB_STOP_WAIT_TIME_S: "3600"}`).Replace(sleeper))
	cmd, wait := p.Start(t, "run", "--name", "left")
	job := awaitRunning(t, client, "left")
	raytest.Eventually(t, "the job minds its signals", raytest.Exists(ready))
	for _, said := range []string{watching, "stopping the run"} {
		awaitSaid(t, cmd, said)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	res := wait()
	if res.Code != 130 || !strings.Contains(res.Stderr, "rayorch resume left") {
		t.Fatalf("%+v", res)
	}
	if err := os.WriteFile(leave, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if res := p.Run(t.Context(), t, "resume", "left"); res.Code != 3 {
		t.Errorf("resume of an aborted run: %+v", res)
	}
	got, err := client.Get(t.Context(), job.SubmissionID)
	if err != nil || !got.Status.Terminal() {
		t.Errorf("the job is %s after resume, %v", got.Status, err)
	}
}

func TestStopFromAnotherTerminal(t *testing.T) {
	p, client := place(t)
	p.Write(t, "pipeline.yaml", strings.Replace(sleeper, "JOB", forever, 1))
	_, wait := p.Start(t, "run", "--name", "told")
	job := awaitRunning(t, client, "told")
	if res := p.Run(t.Context(), t, "stop", "told"); res.Code != 0 {
		t.Fatalf("%+v", res)
	}
	got, err := client.Get(t.Context(), job.SubmissionID)
	if err != nil || got.Status != ray.Stopped {
		t.Errorf("the job is %s when stop returns, %v", got.Status, err)
	}
	if res := wait(); res.Code != 3 || !strings.Contains(res.Stdout, "ABORTED") {
		t.Errorf("the run's own terminal: %+v", res)
	}
}

// TestAClientTakesOver runs two pipelines on one state directory: the second is a client of the first. When the first
// is killed, the second goes on with its own run, and the first's waits to be resumed.
func TestAClientTakesOver(t *testing.T) {
	p, client := place(t)
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
	if res := waitClient(); res.Code != 0 || !strings.Contains(res.Stderr, "going on here") {
		t.Fatalf("%+v", res)
	}
	if res := p.Run(t.Context(), t, "resume"); res.Code != 0 || !strings.Contains(res.Stdout, "sleeper/owner SUCCEEDED") {
		t.Fatalf("%+v", res)
	}
}

// TestDetached leaves two runs to a process without a terminal, one by --detach and one by closing its terminal: each goes on
// with the job that it has, and ends.
func TestDetached(t *testing.T) {
	p, client := place(t)
	leave := filepath.Join(t.TempDir(), "leave")
	p.Write(t, "pipeline.yaml", strings.Replace(sleeper, "JOB", until(leave), 1))
	if res := p.Run(t.Context(), t, "run", "--detach", "--name", "detached"); res.Code != 0 {
		t.Fatalf("%+v", res)
	}
	cmd, wait := p.Start(t, "run", "--name", "hung-up")
	awaitRunning(t, client, "hung-up")
	awaitSaid(t, cmd, watching)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if res := wait(); res.Code != 129 {
		t.Fatalf("%+v", res)
	}
	awaitRunning(t, client, "detached")
	res := p.Run(t.Context(), t, "list", "-o", "json")
	if strings.Count(res.Stdout, `"driven": true`) != 2 {
		t.Errorf("%+v", res)
	}
	if err := os.WriteFile(leave, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"detached", "hung-up"} {
		res := p.Run(t.Context(), t, "resume", name, "-o", "json")
		if sum := read(t, res); res.Code != 0 || sum.Status != "SUCCEEDED" || sum.Steps[0].Attempts != 1 {
			t.Errorf("%+v", res)
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
		t.Errorf("%d jobs were submitted for two runs", submitted)
	}
}

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
				return fmt.Errorf("it is %s: %s", job.Status, job.Message)
			}
		}
		return fmt.Errorf("it is none of %d jobs", len(all))
	})
	return job
}

// watching is what a command says of the step sleep once it watches the run, and minds its signals.
var watching = fmt.Sprintf("%-20s running", "sleep")

func awaitSaid(t *testing.T, cmd *exec.Cmd, text string) {
	t.Helper()
	raytest.Eventually(t, fmt.Sprintf("%v says %q", cmd.Args, text), func() error {
		if said := command.Stderr(cmd); !strings.Contains(said, text) {
			return fmt.Errorf("it said %q", said)
		}
		return nil
	})
}

func TestAFailingJobSaysWhy(t *testing.T) {
	p, _ := place(t)
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
		t.Errorf("%+v", sum)
	}
	if !strings.Contains(sum.Steps[0].Dashboard, "/#/jobs/"+sum.Steps[0].SubmissionID) {
		t.Errorf("%+v", sum.Steps)
	}
	p.Write(t, "pipeline.yaml", `version: 1
name: broken
steps:
  - name: train
    ray: {entrypoint: python train.py, workingDir: nowhere}
`)
	if res := p.Run(t.Context(), t, "run"); res.Code == 0 || !strings.Contains(res.Stdout+res.Stderr, "nowhere") {
		t.Errorf("a missing working directory: %+v", res)
	}
}

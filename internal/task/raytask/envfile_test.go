package raytask_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

func yes(context.Context, ray.Found) bool { return true }

// get returns the body of Ray's response to a GET request.
func (b *bench) get(path string) string {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.ray.Found.Address+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.ray.Found.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// workers is a driver that checks a secret, an inherited variable and the call of the user's hook in a task, and in an actor with its own
// runtime environment.
const workers = `
import os, ray, time
ray.init(log_to_driver=False)

@ray.remote
def task():
    return os.environ.get("KEY"), os.environ.get("FROM_SHELL"), os.environ.get("HOOKED")

@ray.remote(runtime_env={"env_vars": {"MORE": "1"}})
class Actor:
    def key(self):
        return os.environ.get("KEY"), os.environ.get("FROM_SHELL"), os.environ.get("HOOKED")

open("STARTED", "w").close()
while not os.path.exists("GO"):
    time.sleep(0.05)
want = os.environ["KEY"], "it's-inherited-6b1f", "yes"
print("task", ray.get(task.remote()) == want, "actor", ray.get(Actor.remote().key.remote()) == want)
`

// TestSecretsAreNotExposed gives a job a secret and an inherited variable. While the job runs, it searches for their values in the
// responses of Ray's API, the command lines of all processes, and on disk.
func TestSecretsAreNotExposed(t *testing.T) {
	// The values are unique, so that no other program has them in its command line.
	const inherited, first, second = "it's-inherited-6b1f", "s3cr3t-8c2e", "second-line-8c2e"
	const secret = first + "\"va'lue\n" + second
	t.Setenv("FROM_SHELL", inherited)
	raytest.Each(t, func(t *testing.T, r raytest.Ray) {
		b := newBench(t, r)
		b.getenv["HOST_KEY"] = secret
		dir := t.TempDir()
		started, leave := filepath.Join(dir, "started"), filepath.Join(dir, "go")
		id, file := newID(), ""
		args := map[string]any{"SubmissionId": id, "InheritEnv": []string{"FROM_*"},
			"SecretEnv": map[string]any{"KEY": map[string]string{"Env": "HOST_KEY"}}}
		script := fmt.Sprintf(`touch %s; until [ -e %s ]; do sleep 0.05; done; `, started, leave)
		want := fmt.Sprintf("%d %s\n", len(secret), inherited)
		if r.Fake != nil {
			b.here = yes
			b.start()
			args["Entrypoint"] = script + `echo "$(printf %s "$KEY" | wc -c) $FROM_SHELL"`
		} else {
			work := t.TempDir()
			text := strings.NewReplacer("STARTED", started, "GO", leave).Replace(workers)
			for name, text := range map[string]string{"main.py": text, "mine.py": "import os\ndef hook():\n    os.environ['HOOKED'] = 'yes'\n"} {
				if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args["Entrypoint"], args["WorkingDir"] = "python main.py", work
			args["RuntimeEnv"] = map[string]any{"worker_process_setup_hook": "mine.hook"}
			want = "task True actor True\n"
		}
		_, done := b.background(args)
		raytest.Eventually(t, "the job runs", raytest.Exists(started))
		file = filepath.Join(b.envDir(), id)
		b.checkNotExposed(file, first, second, inherited)
		for _, path := range []string{"/api/jobs/", "/api/jobs/" + id} {
			if text := b.get(path); !strings.Contains(text, id) || strings.Contains(text, first) || strings.Contains(text, inherited) {
				t.Errorf("%s contains the values, or does not contain the job: %s", path, text)
			}
		}
		if err := os.WriteFile(leave, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got.Error != "" || !strings.HasSuffix(b.log.String(), want) {
			t.Errorf("got %+v, log %q", got, b.log.String())
		}
		if _, err := os.Lstat(file); !os.IsNotExist(err) {
			t.Errorf("%s still exists: %v", file, err)
		}
		if r.Fake == nil {
			for _, path := range []string{"/api/v0/tasks?detail=1", "/api/v0/actors?detail=1", "/api/v0/workers?detail=1", "/api/v0/runtime_envs?detail=1", "/api/v0/jobs?detail=1"} {
				if text := b.get(path); !strings.Contains(text, `"result": true`) && !strings.Contains(text, `"result":true`) || strings.Contains(text, first) {
					t.Errorf("%s contains the secret, or failed: %.2000s", path, text)
				}
			}
		}
		for key, record := range b.records {
			if bytes.Contains(record, []byte(first)) {
				t.Errorf("the record %s contains the secret", key)
			}
		}
	})
}

// checkNotExposed checks, while a job runs on Linux, that neither files of the state directory nor command lines contain the texts, and
// that only this user can read the link to the deleted file.
func (b *bench) checkNotExposed(file string, texts ...string) {
	b.t.Helper()
	if runtime.GOOS != "linux" {
		return // on other systems, the file stays until the job ends
	}
	found := func(where string, data []byte) {
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				b.t.Errorf("%s contains %q", where, text)
			}
		}
	}
	if info, err := os.Lstat(file); err != nil || info.Mode().Type() != os.ModeSymlink {
		b.t.Errorf("the file is not a symbolic link: %v, %v", info, err)
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte(texts[0])) {
		b.t.Errorf("workers cannot read the variables through the link: %v", err)
	}
	nobody := exec.CommandContext(b.t.Context(), "cat", file)
	nobody.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if os.Getuid() != 0 {
		b.t.Log("SKIPPED: only root can read the file as another user")
	} else if out, err := nobody.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("Permission denied")) {
		b.t.Errorf("another user can read the variables: %s", out)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || info.Mode().Perm() != 0o700 {
		b.t.Errorf("got directory %v, %v, want mode 0700", info, err)
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		data, _ := os.ReadFile(path) // fails if the process has ended
		found(path, data)
	}
	err := filepath.WalkDir(b.code, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		found(path, data)
		return err
	})
	if err != nil {
		b.t.Error(err)
	}
}

// TestSecretsOfAJobThatNeverStarts checks that the file exists while the job is pending, and is deleted when the attempt ends. It must
// stay if the attempt continues in the next rayorch process.
func TestSecretsOfAJobThatNeverStarts(t *testing.T) {
	for name, cause := range map[string]error{"stopped": task.ErrStop, "pending timeout": nil, "abandoned": task.ErrAbandon} {
		t.Run(name, func(t *testing.T) {
			b, _ := fakeBench(t, "")
			b.here, b.getenv["HOST_KEY"] = yes, "s3cr3t-value"
			b.start()
			id := newID()
			args := map[string]any{"SubmissionId": id, "Entrypoint": "true", "NumCpus": 1000, "SecretEnv": map[string]any{"KEY": map[string]string{"Env": "HOST_KEY"}}}
			if cause == nil {
				args["PendingTimeoutSeconds"] = 0.5
			}
			cancel, done := b.background(args)
			b.await(id, ray.Pending)
			file := filepath.Join(b.envDir(), id)
			if cause != nil {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("got file %v, %v, want mode 0600", info, err)
				}
				cancel(cause)
			}
			<-done
			if _, err := os.Lstat(file); os.IsNotExist(err) == (name == "abandoned") {
				t.Errorf("after the attempt: got error %v for the file", err)
			}
		})
	}
}

// TestSecretsAfterAKill ends an attempt after each of its records, as a kill would, and runs it again: the job runs exactly once, with the
// secret.
func TestSecretsAfterAKill(t *testing.T) {
	for cut := 1; cut <= 3; cut++ {
		b, fake := fakeBench(t, "")
		b.here, b.getenv["HOST_KEY"] = yes, "s3cr3t-value"
		b.start()
		runs := filepath.Join(t.TempDir(), "runs")
		args := map[string]any{"SubmissionId": newID(), "Entrypoint": `printf %s "$KEY" | wc -c >> ` + runs + "; sleep 0.3; echo end",
			"SecretEnv": map[string]any{"KEY": map[string]string{"Env": "HOST_KEY"}}}
		b.runAndKill(args, cut)
		got := b.submit(t.Context(), args)
		text, err := os.ReadFile(runs)
		if got.Error != "" || err != nil || strings.TrimSpace(string(text)) != "12" || fake.Jobs() != 1 || b.log.String() != "end\n" {
			t.Errorf("cut after record %d: got %+v, runs %q, %d jobs, log %q", cut, got, text, fake.Jobs(), b.log.String())
		}
	}
}

// TestSecretsOnARemoteRay passes a secret to a Ray that cannot read local files. Of the environment, the job inherits only variables that
// are listed by name.
func TestSecretsOnARemoteRay(t *testing.T) {
	t.Setenv("FROM_SHELL", "from-the-shell")
	for _, inherit := range []any{[]string{"FROM_SHELL"}, true} {
		b, _ := fakeBench(t, "")
		b.getenv["HOST_KEY"] = "s3cr3t-value"
		id := newID()
		got := b.submit(t.Context(), map[string]any{"SubmissionId": id, "InheritEnv": inherit,
			"Entrypoint": "true",
			"SecretEnv":  map[string]any{"KEY": map[string]string{"Env": "HOST_KEY"}}})
		var record struct {
			RuntimeEnv struct {
				Vars map[string]string `json:"env_vars"`
			} `json:"runtime_env"`
		}
		if err := json.Unmarshal([]byte(b.get("/api/jobs/"+id)), &record); err != nil {
			t.Fatal(err)
		}
		if _, inherited := record.RuntimeEnv.Vars["FROM_SHELL"]; got.Error != "" || record.RuntimeEnv.Vars["KEY"] != "s3cr3t-value" || inherited == (inherit == true) {
			t.Errorf("%v: got %+v, variables %v", inherit, got, record.RuntimeEnv.Vars)
		}
		if entries, err := os.ReadDir(b.envDir()); err == nil {
			t.Errorf("got files %v in the directory for secrets, want none", entries)
		}
	}
}

// TestSecretsOfOtherStepsAreRedacted prints a secret that is listed only in Redact.
func TestSecretsOfOtherStepsAreRedacted(t *testing.T) {
	b, _ := fakeBench(t, "")
	b.getenv["HOST_KEY"] = "s3cr3t-value"
	got := b.submit(t.Context(), map[string]any{"SubmissionId": newID(), "Entrypoint": `echo "key ${KEY-none} s3cr3t-value"; exit 3`,
		"Redact": []any{map[string]string{"Env": "HOST_KEY"}}})
	if got.Error != stepfn.RayJobFailed || strings.Contains(got.Cause, "s3cr3t") || b.log.String() != "key none ***\n" {
		t.Errorf("got %+v, log %q", got, b.log.String())
	}
}

package proctask_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/task/snapshot"
	"github.com/rayorch/rayorch/internal/task/tasktest"
)

// TestMain also runs the supervisor, and an engine that a test kills, if the arguments request it.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "supervise" {
		os.Exit(proctask.SuperviseMain(os.Args[2:]))
	}
	if len(os.Args) > 3 && os.Args[1] == "engine" {
		b := &bench{dir: os.Args[2], records: map[string][]byte{}}
		b.runner(nil).Run(context.Background(), b.request(stepfn.ProcessRun, []byte(os.Args[3])))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bench acts as the engine for one attempt: it stores records and the log, which a second run of the attempt gets.
type bench struct {
	dir       string
	getenv    map[string]string // values of host variables
	mu        sync.Mutex
	records   map[string][]byte
	submitted int // number of calls of Submitted
	log       tasktest.Log
	code      string            // the state directory with the snapshots
	labels    map[string]string // of the execution
	pending   func(reason string, since time.Time)
}

// newBench returns a bench. At the end of the test, it stops processes that are still running, as after a failed assertion.
func newBench(t *testing.T) *bench {
	b := newBenchAt(t.TempDir())
	t.Cleanup(func() {
		req := newBenchAt(b.dir).request(stepfn.ProcessStop, []byte(`{"Prefix": "p-"}`))
		if got := b.runner(nil).Run(context.Background(), req); got.Error != "" {
			t.Errorf("stop remaining processes: %+v", got)
		}
	})
	return b
}

func (b *bench) runner(getenv map[string]string) *proctask.Runner {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return proctask.New(proctask.Config{
		Dir: b.dir, Supervisor: []string{self, "supervise"}, StopGrace: time.Second, Code: snapshot.Open(b.code),
		Secret: task.Environment(func(name string) string { return getenv[name] }),
	})
}

func (b *bench) request(resource string, input []byte) *task.Request {
	records := map[string][]byte{}
	for k, v := range b.records {
		records[k] = v
	}
	return &task.Request{
		Resource: resource, Input: input, Resumed: len(records) > 0, Records: records, Log: &b.log, Labels: b.labels, Pending: b.pending,
		Keep: func(key string, record []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.records[key] = bytes.Clone(record)
			return nil
		},
		Submitted: func([]byte) error { b.submitted++; return nil },
	}
}

func (b *bench) run(ctx context.Context, t *testing.T, resource string, args map[string]any) task.Result {
	t.Helper()
	input, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	return b.runner(b.getenv).Run(ctx, b.request(resource, input))
}

func newID() string { return "p-" + strings.ToLower(rand.Text()) }

func TestRun(t *testing.T) {
	tests := []struct {
		name      string
		args      map[string]any
		wantError string
		wantCause string
		wantOut   string
		wantLog   string
	}{
		{"shell", map[string]any{"Shell": "echo hello $WHO", "Environment": map[string]string{"WHO": "world"}}, "", "", "null", "hello world\n"},
		{"command", map[string]any{"Command": []string{"printf", "%s|", "a b", "$HOME"}}, "", "", "null", "a b|$HOME|\n"},
		{"output in a file", map[string]any{"Shell": `echo '{"a": 1}' > "$RAYORCH_OUTPUT"`}, "", "", `{"a":1}`, ""},
		{"output in the log", map[string]any{"Shell": `echo '::rayorch-output::[1]'; echo later`}, "", "", `[1]`, "later\n"},
		{"output is not JSON", map[string]any{"Shell": `echo oops > "$RAYORCH_OUTPUT"`}, stepfn.JobFailed, "not valid JSON", "", ""},
		{"output too large", map[string]any{"Shell": `head -c 40000 /dev/zero | tr '\0' 1 > "$RAYORCH_OUTPUT"`}, stepfn.JobFailed, "storage", "", ""},
		{"long parameter", map[string]any{"Params": map[string]any{"big": strings.Repeat("x", 200_000), "n": 1}, "Shell": `echo "$RAYORCH_PARAM_N ${RAYORCH_PARAMS-none}"; ` +
			`wc -c <"$RAYORCH_PARAMS_FILE"; wc -c <"$RAYORCH_PARAM_BIG_FILE"`}, "", "", "null", "1 none\n200016\n200000\n"},
		{"parameters", map[string]any{"Params": map[string]any{"a": strings.Repeat("x", 120_000)}, "Shell": `printf %s "$RAYORCH_PARAM_A" | wc -c; printf %s "$RAYORCH_PARAMS" | wc -c`},
			"", "", "null", "120000\n120008\n"},
		{"long variable", map[string]any{"Shell": "true", "Environment": map[string]string{"MINE": strings.Repeat("x", 131_072)}}, stepfn.JobStartFailed,
			"the environment variable MINE has 131078 bytes including its name, but Linux allows at most 131072: ", "", ""},
		{"long script", map[string]any{"Shell": strings.Repeat(": 0000000\n", 20_000) + "echo done; exit 3"}, stepfn.JobFailed, "exit code 3\ndone", "", "done\n"},
		{"long line", map[string]any{"Shell": "head -c 70000 /dev/zero | tr '\\0' x; echo; echo end"}, "", "", "null", strings.Repeat("x", 70_000) + "\nend\n"},
		{"fails", map[string]any{"Shell": "echo why; exit 4"}, stepfn.JobFailed, "exit code 4\nwhy", "", "why\n"},
		{"is killed", map[string]any{"Shell": "kill -9 $$"}, stepfn.JobFailed, "signal: killed", "", ""},
		{"no such program", map[string]any{"Command": []string{"/no/such/program"}}, stepfn.JobStartFailed, "no such file", "", ""},
		{"no such directory", map[string]any{"Shell": "true", "Dir": "/no/such/dir"}, stepfn.JobStartFailed, "no such file", "", ""},
		{"timeout", map[string]any{"Shell": "sleep 300", "TimeoutSeconds": 0.3}, "States.Timeout", "(limit 0.3 s)", "", ""},
		{"no command", map[string]any{}, stepfn.JobStartFailed, "Command", "", ""},
		{"unknown argument", map[string]any{"Shell": "true", "Comand": 1}, stepfn.JobStartFailed, `"Comand"`, "", ""},
		{"invalid InheritEnv", map[string]any{"Shell": "true", "InheritEnv": "AWS_*"}, stepfn.JobStartFailed, "InheritEnv must be true or a list", "", ""},
		{"invalid Redact", map[string]any{"Shell": "true", "Redact": []any{map[string]string{}}}, stepfn.JobStartFailed, "Redact must be a list", "", ""},
		{"missing secret", map[string]any{"Shell": "true", "SecretEnv": map[string]any{"A": map[string]string{"Env": "NOT_SET"}}}, stepfn.JobStartFailed, "NOT_SET", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			test.args["Id"] = newID()
			got := b.run(t.Context(), t, stepfn.ProcessRun, test.args)
			if got.Error != test.wantError || !strings.Contains(got.Cause, test.wantCause) {
				t.Fatalf("got %q %q (output %s), want %q %q", got.Error, got.Cause, got.Output, test.wantError, test.wantCause)
			}
			if test.wantError == "" {
				var out proctask.Output
				if err := json.Unmarshal(got.Output, &out); err != nil || string(out.Output) != test.wantOut || out.PID == 0 || out.EndTime < out.StartTime {
					t.Errorf("got result %s (%v), want output %s", got.Output, err, test.wantOut)
				}
			}
			if b.log.String() != test.wantLog {
				t.Errorf("got log %q, want %q", b.log.String(), test.wantLog)
			}
		})
	}
}

// TestSecretsAreRedacted looks for a secret in the result, the log, and the files of the process's directory. The job itself may write
// it to the file of its output.
func TestSecretsAreRedacted(t *testing.T) {
	b := newBench(t)
	b.getenv["HOST_KEY"] = "s3cr3t-value"
	got := b.run(t.Context(), t, stepfn.ProcessRun, map[string]any{
		"Id": newID(), "Shell": `echo "key $KEY"; echo "{\"k\": \"$KEY\"}" > "$RAYORCH_OUTPUT"`,
		"SecretEnv": map[string]any{"KEY": map[string]string{"Env": "HOST_KEY"}},
	})
	if got.Error != "" || !strings.Contains(string(got.Output), `{"k":"***"}`) || b.log.String() != "key ***\n" {
		t.Errorf("got %s, %v; log %q", got.Output, got, b.log.String())
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if name := filepath.Base(file); err == nil && bytes.Contains(text, []byte("s3cr3t")) && name != "log" && name != "output" {
			t.Errorf("%s contains the secret", file)
		}
	}
}

// TestProcessSurvivesTheEngine kills the engine while the process runs, and runs the attempt again: it follows the same process.
func TestProcessSurvivesTheEngine(t *testing.T) {
	b, work := newBench(t), t.TempDir()
	args := map[string]any{"Id": newID(), "Shell": fmt.Sprintf("echo ran >> %s/runs; while [ ! -e %[1]s/go ]; do sleep 0.05; done; cat %[1]s/runs", work)}
	input, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	engine := exec.CommandContext(t.Context(), self, "engine", b.dir, string(input))
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the process is recorded", func() error {
		_, err := os.Stat(filepath.Join(b.dir, args["Id"].(string), "process"))
		return err
	})
	if err := engine.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = engine.Wait()
	if err := os.WriteFile(filepath.Join(work, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := b.run(t.Context(), t, stepfn.ProcessRun, args)
	if got.Error != "" || b.log.String() != "ran\n" {
		t.Errorf("got %+v, log %q", got, b.log.String())
	}
	again := b.run(t.Context(), t, stepfn.ProcessRun, args)
	if !bytes.Equal(again.Output, got.Output) {
		t.Errorf("the same id again: got %s, want %s", again.Output, got.Output)
	}
	args["Shell"] = "echo other"
	if got := b.run(t.Context(), t, stepfn.ProcessRun, args); got.Error != stepfn.JobStartFailed {
		t.Errorf("another command with the same id: got %+v, want %s", got, stepfn.JobStartFailed)
	}
}

// await polls until check returns nil. what describes the condition for the failure message. The timeout of 5 minutes is far longer than
// any check takes, even on a busy machine.
func await(t *testing.T, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout while waiting until %s: %v", what, err)
		}
	}
}

// awaitText waits until a file ends with end, and returns the content of the file.
func awaitText(t *testing.T, path, end string) (text string) {
	t.Helper()
	await(t, fmt.Sprintf("%s ends with %q", path, end), func() error {
		data, err := os.ReadFile(path)
		if text = string(data); err == nil && !strings.HasSuffix(text, end) {
			err = fmt.Errorf("it contains %q", text)
		}
		return err
	})
	return text
}

// TestStopEndsDescendants stops a process that ignores SIGTERM and has started a child in another session.
func TestStopEndsDescendants(t *testing.T) {
	for _, by := range []string{"the engine", "process:stop"} {
		t.Run(by, func(t *testing.T) {
			b := newBench(t)
			id, pids := newID(), filepath.Join(t.TempDir(), "pids")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(task.ErrAbandon)
			done := make(chan task.Result, 1)
			go func() {
				done <- b.run(ctx, t, stepfn.ProcessRun, map[string]any{"Id": id, "Shell": fmt.Sprintf(
					"trap '' TERM; setsid sleep 301 & echo $! > %s; echo $$ >> %[1]s; echo ready >> %[1]s; while :; do sleep 0.1; done", pids)})
			}()
			running := awaitText(t, pids, "ready\n")
			if by == "the engine" {
				cancel(task.ErrStop)
			} else if got := newBenchAt(b.dir).run(t.Context(), t, stepfn.ProcessStop, map[string]any{"Prefix": id[:4]}); string(got.Output) != `{"Stopped":["`+id+`"]}` {
				t.Errorf("got %s %+v", got.Output, got)
			}
			if got := <-done; got.Error != stepfn.JobStopped {
				t.Errorf("got %+v", got)
			}
			for _, pid := range strings.Fields(strings.TrimSuffix(running, "ready\n")) {
				if state, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !bytes.Contains(state, []byte(") Z ")) {
					t.Errorf("process %s is still running: %s", pid, state)
				}
			}
		})
	}
}

// newBenchAt returns a bench for the processes in dir.
func newBenchAt(dir string) *bench {
	return &bench{dir: dir, records: map[string][]byte{}, getenv: map[string]string{}}
}

func TestProcessContinuesAfterAbandon(t *testing.T) {
	b, open := newBench(t), filepath.Join(t.TempDir(), "go")
	args := map[string]any{"Id": newID(), "Shell": "echo one; while [ ! -e " + open + " ]; do sleep 0.05; done; echo two"}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan task.Result, 1)
	go func() { done <- b.run(ctx, t, stepfn.ProcessRun, args) }()
	await(t, "the process is recorded", func() error {
		_, err := os.Stat(filepath.Join(b.dir, args["Id"].(string), "process"))
		return err
	})
	cancel(task.ErrAbandon)
	<-done
	if err := os.WriteFile(open, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := b.run(t.Context(), t, stepfn.ProcessRun, args); got.Error != "" || b.log.String() != "one\ntwo\n" {
		t.Errorf("got %+v, log %q", got, b.log.String())
	}
}

func TestSupervisorKilled(t *testing.T) {
	b := newBench(t)
	args := map[string]any{"Id": newID(), "Shell": "echo $PPID > supervisor; sleep 300", "Dir": b.dir}
	done := make(chan task.Result, 1)
	go func() { done <- b.run(t.Context(), t, stepfn.ProcessRun, args) }()
	pid := strings.TrimSpace(awaitText(t, filepath.Join(b.dir, "supervisor"), "\n"))
	if err := exec.Command("kill", "-9", pid).Run(); err != nil {
		t.Fatal(err)
	}
	got := <-done
	if got.Error != stepfn.JobFailed || !strings.Contains(got.Cause, "supervisor was killed") {
		t.Errorf("got %+v", got)
	}
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte(`{"Id": "a", "Shell": "true", "TimeoutSeconds": 1e300}`))
	f.Add([]byte(`{"Id": "a", "Command": ["x"], "SecretEnv": {"A": {"Env": "B"}}}`))
	f.Fuzz(func(t *testing.T, input []byte) {
		r := proctask.New(proctask.Config{Dir: filepath.Join(t.TempDir(), "none")}) // without a supervisor, no process starts
		req := &task.Request{Resource: stepfn.ProcessRun, Input: input, Log: &tasktest.Log{}, Keep: func(string, []byte) error { return nil }, Submitted: func([]byte) error { return nil }}
		if got := r.Run(t.Context(), req); got.Error != stepfn.JobStartFailed {
			t.Errorf("got %+v", got)
		}
	})
}

package compile_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// entrypoint returns the entrypoint of a Ray job with this command, including the wrapper.
func entrypoint(t *testing.T, command string) string {
	t.Helper()
	r := build(t, head+"steps: [{name: one, ray: {entrypoint: "+value.Text(command)+"}}]\n", compile.Options{})
	m, err := asl.Parse(r.Definition)
	if err != nil {
		t.Fatal(err)
	}
	d, err := interp.New(interp.Params{ExecutionARN: "arn", Name: "run1", Input: []byte("{}"), Seed: 1}, m).
		Apply(interp.Start{}, time.Unix(0, 0))
	if err != nil || len(d.Tasks) != 1 {
		t.Fatalf("%d tasks, %v", len(d.Tasks), err)
	}
	in, err := value.ParseObject(d.Tasks[0].Input)
	if err != nil {
		t.Fatal(err)
	}
	return get(in, "Entrypoint").(string)
}

// shells returns the shells on this machine that a Ray image or a container could have as its sh.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{"sh": {"sh", "-c"}}
	for name, command := range map[string][]string{
		"dash": {"dash", "-c"}, "bash": {"bash", "-c"}, "bash as sh": {"bash", "--posix", "-c"}, "busybox": {"busybox", "sh", "-c"},
	} {
		if _, err := exec.LookPath(command[0]); err == nil {
			found[name] = command
		}
	}
	return found
}

// start starts a command in its own process group, with a directory for temporary files that the command must leave empty.
func start(t *testing.T, shell []string, text string) (*exec.Cmd, io.Reader, string) {
	t.Helper()
	tmp := t.TempDir()
	cmd := exec.Command(shell[0], append(shell[1:], text)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "RAYORCH_STORAGE="+t.TempDir()+"/new/one", "RAYORCH_STEP=one")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test failed before it ended
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	})
	return cmd, out, tmp
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

func TestWrapper(t *testing.T) {
	for name, c := range map[string]struct {
		command, want string
		code          int
	}{
		"output":        {`printf '{"a":\n"\\n"}' > $RAYORCH_OUTPUT; echo done`, "done\n\n::rayorch-output::{\"a\": \"\\n\"}\n", 0},
		"no output":     {`echo done`, "done\n", 0},
		"failure":       {`printf 1 > $RAYORCH_OUTPUT; false`, "", 1},
		"own exit":      {`exit 42; echo never`, "", 42},
		"own trap":      {`trap 'echo bye' EXIT; echo hello`, "hello\nbye\n", 0},
		"comment last":  {`echo hello # the end`, "hello\n", 0},
		"here-document": {"cat <<END\nhello\nEND", "hello\n", 0},
		"killed":        {`kill -9 $(exec sh -c 'echo $PPID')`, "", 137},
		"the storage":   {`cd "$RAYORCH_STORAGE" && echo there`, "there\n", 0},
		"largest":       {`head -c 32768 /dev/zero | tr '\0' 1 > $RAYORCH_OUTPUT`, "\n::rayorch-output::" + strings.Repeat("1", 32768) + "\n", 0},
	} {
		text := entrypoint(t, c.command)
		for shell, command := range shells(t) {
			t.Run(name+"/"+shell, func(t *testing.T) {
				cmd, out, tmp := start(t, command, text)
				log, _ := io.ReadAll(out)
				if c.code == 137 { // each shell has its own message about a killed command
					log = nil
				}
				if code := exitCode(t, cmd.Wait()); code != c.code || string(log) != c.want {
					t.Errorf("exit code %d with %q, want %d with %q", code, log, c.code, c.want)
				}
				wantEmpty(t, tmp)
			})
		}
	}
}

// TestWrapperAndAnnouncement verifies that the marked line stays complete if Ray announces the job while the wrapper prints the output, and
// that it is the last line in the modes that read only the last lines of the log. A command that the wrapper calls writes the announcement.
func TestWrapperAndAnnouncement(t *testing.T) {
	const announcement, marked = "Running entrypoint for job x: sh -c ...\n", "\n::rayorch-output::17 \n"
	local := entrypoint(t, "echo 17 >$RAYORCH_OUTPUT")
	byProxy := entrypointByProxy(t, "echo 17 >$RAYORCH_OUTPUT")
	for name, c := range map[string]struct{ text, announces, want string }{
		"during the output":               {local, "tr", announcement + marked},
		"before the job, last lines read": {byProxy, "mktemp", announcement + strings.Repeat("\n", 6) + marked},
		"after the job, last lines read":  {byProxy, "sleep", announcement + strings.Repeat("\n", 6) + marked},
		"never, last lines read":          {byProxy, "", strings.Repeat("\n", 6) + marked},
	} {
		log := filepath.Join(t.TempDir(), "log")
		commands := t.TempDir()
		for _, command := range []string{"tr", "mktemp", "sleep"} {
			writeCommand(t, commands, command, command == c.announces, strings.TrimSpace(announcement), log)
		}
		for shell, command := range shells(t) {
			if shell == "busybox" { // it prefers its own commands to those in PATH
				continue
			}
			t.Run(name+"/"+shell, func(t *testing.T) {
				out, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				_ = os.Remove(filepath.Join(commands, "announced"))
				cmd := exec.Command(command[0], append(command[1:], c.text)...)
				cmd.Env = append(os.Environ(), "PATH="+commands+":"+os.Getenv("PATH"), "RAYORCH_STORAGE="+t.TempDir(), "RAYORCH_STEP=one")
				cmd.Stdout, cmd.Stderr = out, out
				if err := cmd.Run(); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(log); err != nil || string(got) != c.want {
					t.Errorf("the log is %q (%v), want %q", got, err, c.want)
				}
			})
		}
	}
}

// entrypointByProxy returns the entrypoint of a Ray job that a state machine submits through the API server.
func entrypointByProxy(t *testing.T, command string) string {
	t.Helper()
	data := definition(t, head+"targets: {c: {kind: kubernetes}}\nsteps: [{name: one, ray: {entrypoint: x}}]\n", "proxy")
	machine, err := value.ParseObject(data)
	if err != nil {
		t.Fatal(err)
	}
	text := func(name string) (text string) {
		literal := get(machine, "States", "Read params", "Assign", "wrapper", name).(string)
		if err := json.Unmarshal([]byte(literal[len("{% "):len(literal)-len(" %}")]), &text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	return text("start") + command + text("end")
}

// writeCommand writes a command that can announce the job, once, before it does what the real command does. sleep does not sleep.
func writeCommand(t *testing.T, dir, name string, announces bool, announcement, log string) {
	t.Helper()
	script := "#!/bin/sh\n"
	if announces {
		script += fmt.Sprintf("[ -e %[1]s/announced ] || echo '%[2]s' >>%[3]s; >%[1]s/announced\n", dir, announcement, log)
	}
	if path, err := exec.LookPath(name); err != nil {
		t.Fatal(err)
	} else if name != "sleep" {
		script += "exec " + path + ` "$@"` + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestWrapperWhenStopped stops the process group, as Ray and the supervisor of processes do. The command gets the signal itself and can take
// its time to exit, and no temporary files remain.
func TestWrapperWhenStopped(t *testing.T) {
	text := entrypoint(t, `trap 'echo saved; exit 5' TERM; echo ready; while :; do sleep 0.05; done`)
	for shell, command := range shells(t) {
		t.Run(shell, func(t *testing.T) {
			cmd, out, tmp := start(t, command, text)
			lines := bufio.NewReader(out)
			if first, err := lines.ReadString('\n'); first != "ready\n" {
				t.Fatalf("the first line is %q (%v)", first, err)
			}
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(lines)
			if code := exitCode(t, cmd.Wait()); code != 143 || !strings.Contains(string(rest), "saved\n") {
				t.Errorf("exit code %d with %q", code, rest)
			}
			wantEmpty(t, tmp)
		})
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files remain: %v %v", left, err)
	}
}

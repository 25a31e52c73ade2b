package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func plainPipeline(t *testing.T, shell string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	text := "version: 1\nname: p\nsteps: [{name: s, job: {shell: '" + shell + "'}}]\n"
	if err := os.WriteFile(filepath.Join(dir, pipelineFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Env = append(os.Environ(), "TERM=xterm", "RAYORCH_PYTHON=")
	return c
}

// TestReadOnlyFileSystem: a state directory on a read-only file system is an error with a hint.
func TestReadOnlyFileSystem(t *testing.T) {
	if os.Getuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("not root: cannot mount a read-only file system")
	}
	dir := plainPipeline(t, "true")
	for _, what := range []string{"run " + dir, "serve --listen 127.0.0.1:0", "ray start", "init $1/demo", "resume x", "stop x"} {
		script := "mkdir $1/empty && mount --bind $1 $1 && mount -o remount,bind,ro $1 || exit 9\n" +
			"for state in $1/empty $1/none; do rayorch " + what + " --state-dir $state; test $? = 1 || exit 8; done"
		out, err := command(t, "unshare", "-m", "sh", "-c", script, "sh", t.TempDir()).CombinedOutput()
		errs, hints := strings.Count(string(out), "rayorch: error: "), strings.Count(string(out), "rayorch: hint: ")
		if err != nil || errs != 2 || hints != 2 || strings.Count(string(out), "read-only file system") < 2 || strings.Contains(string(out), "goroutine") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}

// TestStateDirectoryOfAnotherUser: commands do not write to the state directory of another user. They read it if the permissions allow
// that.
func TestStateDirectoryOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: cannot change the owner of a directory")
	}
	dir, state := plainPipeline(t, "true"), t.TempDir()
	for mode, want := range map[os.FileMode]string{0o700: "uid 65534", 0o777: "every user can write"} {
		uid := 65534
		if mode == 0o777 {
			uid = 0
		}
		if err := os.Chown(state, uid, uid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(state, mode); err != nil {
			t.Fatal(err)
		}
		for _, what := range [][]string{{"run", dir}, {"serve", "--listen", "127.0.0.1:0"}, {"ray", "start"}, {"stop", "x"}, {"resume", "x"}} {
			out, err := command(t, append(append([]string{"rayorch"}, what...), "--state-dir", state)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "hint: use a directory that only you can write to") {
				t.Errorf("%s: %v, %s", what, err, out)
			}
		}
		if left, err := os.ReadDir(state); err != nil || len(left) > 0 {
			t.Errorf("the directory contains %v (%v)", left, err)
		}
		if out, err := command(t, "rayorch", "list", "--state-dir", state).CombinedOutput(); err != nil {
			t.Errorf("list: %v, %s", err, out)
		}
	}
}

// TestJobsCannotControlTheTerminal prints escape sequences from a job: a terminal gets only the colors, a pipe gets every byte.
func TestJobsCannotControlTheTerminal(t *testing.T) {
	// A title, a color, the clipboard and a cleared screen.
	printed := "\x1b]0;title\x07\x1b[31mred\x1b[0m\x1b]52;c;eA==\x07\x1b[2J end\n"
	dir := plainPipeline(t, `printf "\033]0;title\007\033[31mred\033[0m\033]52;c;eA==\007\033[2J end\n"; exit 1`)
	state := filepath.Join(dir, "state")
	_ = command(t, "rayorch", "run", dir, "--state-dir", state).Run() // the run fails, so that its cause contains the log
	if out, err := command(t, "rayorch", "logs", "--state-dir", state).Output(); err != nil || string(out) != printed {
		t.Errorf("a pipe gets %q, %v", out, err)
	}
	for what, sees := range map[string]string{"logs": `(\]0;title\x1b\[31mred\x1b\[0m\]52;c;eA==\[2J end)`, "describe": "(end)", "history": "(end)"} {
		keyboard, tty := openTerminal(t)
		cmd := command(t, "rayorch", what, "--state-dir", state)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		_ = tty.Close()
		keyboard.see(t, regexp.MustCompile(sees))
		keyboard.mu.Lock()
		if m := regexp.MustCompile(`\x1b[^\[]|\x1b\[[0-9;]*[^0-9;m]|\x07`).Find(keyboard.read); m != nil {
			t.Errorf("%s passes %q: %q", what, m, keyboard.read)
		}
		keyboard.mu.Unlock()
	}
}

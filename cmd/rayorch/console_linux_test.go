package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestConsoleStaysAfterTheRun runs on a terminal: the console is served after the end of the run, until Ctrl-C.
func TestConsoleStaysAfterTheRun(t *testing.T) {
	for name, c := range map[string]struct {
		shell string
		code  int
	}{"succeeded": {"echo done", 0}, "failed": {"exit 7", exitFailed}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := "version: 1\nname: p\nsteps: [{name: s, job: {shell: " + c.shell + "}}]\n"
			if err := os.WriteFile(filepath.Join(dir, pipelineFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			keyboard, tty := openTerminal(t)
			var out bytes.Buffer
			cmd := exec.CommandContext(t.Context(), "rayorch", "run", dir, "--console", "--state-dir", filepath.Join(dir, "state"))
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &out, tty
			cmd.Env = append(os.Environ(), "TERM=xterm", "RAYORCH_PYTHON=")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = tty.Close()
			url := keyboard.see(t, regexp.MustCompile(`the console stays available at (http://\S+) until Ctrl-C`))
			if status, first := useLink(t, url); status != http.StatusNoContent || first == nil {
				t.Errorf("the response to the link has status %d", status)
			}
			if status, again := useLink(t, url); status != http.StatusForbidden || again != nil {
				t.Errorf("the second response to the link has status %d", status)
			}
			if _, err := keyboard.file.Write([]byte{3}); err != nil { // Ctrl-C
				t.Fatal(err)
			}
			err := cmd.Wait()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != c.code {
				t.Errorf("the exit code is %d (%v), want %d", cmd.ProcessState.ExitCode(), err, c.code)
			}
			if !bytes.Contains(out.Bytes(), []byte("p/")) {
				t.Errorf("the result is %q", out.Bytes())
			}
		})
	}
}

// useLink signs in with a link that a command printed, as a browser does.
func useLink(t *testing.T, link string) (status int, session *http.Cookie) {
	t.Helper()
	at, token, ok := strings.Cut(link, "#/login/")
	if !ok {
		t.Fatalf("not a sign-in link: %s", link)
	}
	token, _, _ = strings.Cut(token, "/")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"link", strings.NewReader(`{"token":"`+token+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for _, c := range resp.Cookies() {
		session = c
	}
	return resp.StatusCode, session
}

// keyboard is the user's end of a terminal.
type keyboard struct {
	file *os.File
	mu   sync.Mutex
	read []byte
	more chan struct{}
}

func openTerminal(t *testing.T) (*keyboard, *os.File) {
	t.Helper()
	k := &keyboard{more: make(chan struct{}, 1)}
	var err error
	if k.file, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	conn, err := k.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	control := conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err := errors.Join(control, err); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(k.collect)
	t.Cleanup(func() { // by now, the process has exited and has closed the terminal
		reader.Wait()
		_ = k.file.Close()
	})
	t.Cleanup(func() { _ = tty.Close() })
	return k, tty
}

// collect reads the output on the terminal until all writers have closed it.
func (k *keyboard) collect() {
	defer close(k.more)
	buf := make([]byte, 4096)
	for {
		n, err := k.file.Read(buf)
		k.mu.Lock()
		k.read = append(k.read, buf[:n]...)
		k.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case k.more <- struct{}{}:
		default:
		}
	}
}

// seeWithin bounds the wait of see. It is long because the machine may be busy.
const seeWithin = 3 * time.Minute

// see waits until the output on the terminal matches the pattern, and returns the first group.
func (k *keyboard) see(t *testing.T, pattern *regexp.Regexp) string {
	t.Helper()
	for {
		k.mu.Lock()
		m := pattern.FindSubmatch(k.read)
		shown := string(k.read)
		k.mu.Unlock()
		if m != nil {
			return string(m[1])
		}
		select {
		case _, open := <-k.more:
			if !open {
				t.Fatalf("the terminal shows %q; %v", shown, io.EOF)
			}
		case <-time.After(seeWithin):
			t.Fatalf("after %s the terminal shows %q", seeWithin, shown)
		}
	}
}

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestServeOnATerminal signs in with what serve prints on a terminal: a link for a browser, and two lines for SDKs.
func TestServeOnATerminal(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	keyboard, tty := openTerminal(t)
	cmd := exec.CommandContext(t.Context(), "rayorch", "serve", "--listen", "127.0.0.1:0", "--state-dir", state)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Env = append(os.Environ(), "TERM=xterm", "RAYORCH_PYTHON=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	}()
	line := func(pattern string) string {
		return keyboard.see(t, regexp.MustCompile(`(?m)`+pattern+`\r?$`))
	}
	url := line(`serving the Step Functions API on (http://\S+)`)
	link := line(`sign in once, within 5 minutes: (http://\S+)`)
	id, secret := line(`export AWS_ACCESS_KEY_ID=(\w+)`), line(`export AWS_SECRET_ACCESS_KEY=(\w+)`)
	if kept, err := os.ReadFile(filepath.Join(state, "access-key")); err != nil || string(kept) != id+":"+secret+"\n" {
		t.Errorf("the file contains %q (%v), the terminal shows %s and %s", kept, err, id, secret)
	}
	if status := infoStatus(t, url, func(*http.Request) {}); status != http.StatusUnauthorized {
		t.Errorf("without a key, the status is %d", status)
	}
	status, session := useLink(t, link)
	if status != http.StatusNoContent || session == nil {
		t.Fatalf("the response to the link has status %d", status)
	}
	if status, again := useLink(t, link); status != http.StatusForbidden || again != nil {
		t.Errorf("the second response to the link has status %d", status)
	}
	if status := infoStatus(t, url, func(r *http.Request) { r.AddCookie(session) }); status != http.StatusOK {
		t.Errorf("with the session, the status is %d", status)
	}
	if status := infoStatus(t, url, func(r *http.Request) { r.SetBasicAuth(id, secret) }); status != http.StatusOK {
		t.Errorf("with the key, the status is %d", status)
	}

	// rayorch console prints another link to the server's console.
	out, err := exec.CommandContext(t.Context(), "rayorch", "console", "--state-dir", state).Output()
	if err != nil {
		t.Fatal(err)
	}
	other := strings.TrimSpace(strings.TrimPrefix(string(out), "the console is at "))
	if !strings.HasPrefix(other, url+"/console/#/login/") || other == link {
		t.Errorf("rayorch console prints %q", out)
	}
	if status, session := useLink(t, other); status != http.StatusNoContent || session == nil {
		t.Errorf("the response to the other link has status %d", status)
	}
}

// infoStatus returns the status of a request that every role is allowed to send. prove adds the credentials.
func infoStatus(t *testing.T, url string, prove func(*http.Request)) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/rayorch/v1/info", nil)
	if err != nil {
		t.Fatal(err)
	}
	prove(r)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

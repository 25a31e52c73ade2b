// Package serve_test runs the server and its clients as separate processes.
package serve_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/command"
)

func TestMain(m *testing.M) { m.Run(); command.Clean() }

// serve starts a server on a free port and returns its URL.
func serve(t *testing.T, p *command.Sandbox, args ...string) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = exec.Command(p.Binary, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir, cmd.Env = p.Dir, p.Env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer // read only after the end of the process
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(end) // waits for the end, because the server writes to the test's directories
	late := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		end()
		t.Fatalf("the server printed %q, want its URL (%v):\n%s", line, err, errs.String())
	}
	return cmd, line[strings.Index(line, "http") : len(line)-1]
}

// withKey configures the commands of a sandbox to use the key that the server created in the state directory.
func withKey(t *testing.T, p *command.Sandbox) {
	t.Helper()
	id, secret := createdKey(t, p)
	p.Env = append(p.Env, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret)
}

// createdKey reads the key that the server created in the state directory.
func createdKey(t *testing.T, p *command.Sandbox) (id, secret string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.State, "access-key"))
	if err != nil {
		t.Fatal(err)
	}
	id, secret, _ = strings.Cut(strings.TrimSpace(string(text)), ":")
	return id, secret
}

const hello = `version: 1
name: hello
params:
  until: {type: string, default: .}
steps:
  - name: greet
    job: {shell: "until [ -e ${{ params.until }} ] || [ ! -d \"$RAYORCH_STORAGE\" ]; do sleep 0.1; done; echo hello"}
`

// TestServerAndItsClients uses a server over the socket of its state directory and over TCP, and restarts it while a job runs.
func TestServerAndItsClients(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command, which -short leaves out")
	}
	p := command.New(t, nil)
	p.Write(t, "pipeline.yaml", hello)
	server, url := serve(t, p)
	withKey(t, p)
	ok := func(want string, args ...string) string {
		t.Helper()
		res := p.Run(t.Context(), t, args...)
		if res.Code != 0 || !strings.Contains(res.Stdout+res.Stderr, want) {
			t.Fatalf("%v: got %+v, want exit code 0 and %q", args, res, want)
		}
		return strings.TrimSpace(res.Stdout)
	}
	// Commands over the socket and over TCP see the same executions.
	ok("registered", "register", "--alias", "prod", "--endpoint", url)
	ok("SUCCEEDED", "run", "--name", "one")
	arn := ok("execution:hello:two", "start", "hello:prod", "--name", "two", "--endpoint", url)
	ok("two", "list", "--endpoint", url)
	ok("SUCCEEDED", "resume", "two", "--endpoint", url)
	ok("hello", "logs", "two", "--endpoint", url)
	ok("SUCCEEDED", "describe", arn)

	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": "rayorch_"} {
		if got := get(t, p, url+path); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	// A second server fails, with the process id of the owner in the error.
	second := p.Run(t.Context(), t, "serve", "--listen", "127.0.0.1:0")
	if second.Code != 1 || !strings.Contains(second.Stderr, fmt.Sprint(server.Process.Pid)) || !strings.Contains(second.Stderr, "--state-dir") {
		t.Errorf("a second server: got %+v, want exit code 1 and the pid of the first", second)
	}
	// A job outlives the server, and the next server finds it.
	open := filepath.Join(t.TempDir(), "open")
	ok("execution:hello:three", "start", "hello", "--param", "until="+open, "--name", "three")
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Fatalf("the server after SIGTERM: got %v, want exit code 0", err)
	}
	if err := os.WriteFile(open, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, url = serve(t, p)
	ok("three", "list", "--endpoint", url) // with the same key
	ok("SUCCEEDED", "resume", "three")
	ok("1", "describe", "three")
}

// TestOffLoopbackIsRejected checks that a server that listens on other addresses than loopback needs TLS and access keys.
func TestOffLoopbackIsRejected(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command, which -short leaves out")
	}
	p := command.New(t, nil)
	for want, args := range map[string][]string{
		"needs a TLS certificate":                   nil,
		"--insecure-no-auth works on loopback only": {"--insecure-no-auth"},
	} {
		res := p.Run(t.Context(), t, append([]string{"serve", "--listen", "0.0.0.0:0"}, args...)...)
		if res.Code != 2 || !strings.Contains(res.Stderr, want) {
			t.Errorf("serve %v: got %+v, want exit code 2 and %q", args, res, want)
		}
	}
}

// get sends a GET request with the key of the server and returns the body.
func get(t *testing.T, p *command.Sandbox, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(createdKey(t, p))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

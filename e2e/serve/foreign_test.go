package serve_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/rayorch/rayorch/e2e/command"
)

// nobody is the uid and gid of another user.
const nobody = 65534

// public creates a directory that every user can enter, such as a state directory that a user created manually.
func public(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "rayorch-public-") // other users may not have access to TMPDIR
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asNobody runs a program as the user nobody.
func asNobody(t *testing.T, dir string, env []string, argv ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%v: %v", argv, err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// send sends a request and returns the status and body of the response. what is an action, or METHOD PATH. With an id, the request is
// signed.
func send(t *testing.T, url, what, body, id, secret string) (int, string) {
	t.Helper()
	method, path, isPath := strings.Cut(what, " ")
	if !isPath {
		method, path = http.MethodPost, "/"
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	if !isPath {
		r.Header.Set("X-Amz-Target", "AWSStepFunctions."+what)
	}
	if id != "" {
		sum := sha256.Sum256([]byte(body))
		creds := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "states", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestAnotherUser tries to use a server with default settings as another user of this machine. Without access keys, everyone could
// run a shell as the server's user. Files and sockets are accessed as user nobody; over TCP, a server cannot see users, so the test itself
// sends these requests.
func TestAnotherUser(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to act as another user")
	}
	p := command.New(t, nil)
	p.State = filepath.Join(public(t), "state")
	if err := os.Mkdir(p.State, 0o755); err != nil {
		t.Fatal(err)
	}
	p.Env = append(p.Env, "RAYORCH_STATE_DIR="+p.State)
	p.Write(t, "pipeline.yaml", "version: 1\nname: private\nsteps:\n  - {name: say, job: {shell: echo a-word-of-the-owner}}\n")
	_, url := serve(t, p)
	if res := p.Run(t.Context(), t, "run", "--name", "one"); res.Code != 0 {
		t.Fatalf("run: got %+v, want exit code 0", res)
	}
	id, secret := createdKey(t, p)

	others := public(t)
	binary := filepath.Join(others, "rayorch")
	if text, err := os.ReadFile(p.Binary); err != nil || os.WriteFile(binary, text, 0o755) != nil {
		t.Fatal(err)
	}
	guessed := []string{"AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=a-secret-that-was-guessed"}
	for want, argv := range map[string][]string{
		"Permission denied":         {"cat", filepath.Join(p.State, "access-key")},
		"permission denied":         {binary, "list", "--state-dir", p.State},
		"error:":                    {binary, "console", "--state-dir", p.State},
		"InvalidSignatureException": {binary, "list", "--endpoint", url},
	} {
		out, code := asNobody(t, others, guessed, argv...)
		if code == 0 || !strings.Contains(out, want) || strings.Contains(out, secret) || strings.Contains(out, "private") || strings.Contains(out, "#/login/") {
			t.Errorf("%v as another user: exit code %d, want a failure with %q and no data of the owner:\n%s", argv, code, want, out)
		}
	}

	const machines, role = "arn:aws:states:us-east-1:123456789012:stateMachine:", `"roleArn":"arn:aws:iam::123456789012:role/r"`
	proof := filepath.Join(t.TempDir(), "proof")
	definition, _ := json.Marshal(fmt.Sprintf(`{"StartAt":"P","States":{"P":{"Type":"Task","Resource":"arn:aws:states:::process:run.sync",`+
		`"Parameters":{"Id":"proof","Shell":"touch %s"},"End":true}}}`, proof))
	create := `{"name":"proof",` + role + `,"definition":` + string(definition) + `}`
	start := `{"stateMachineArn":"` + machines + `proof","name":"one"}`
	for _, c := range []struct{ what, body string }{
		{"TestState", `{"definition":"{\\"Type\\":\\"Pass\\",\\"End\\":true}",` + role + `}`},
		{"CreateStateMachine", create}, {"StartExecution", start},
		{"StartExecution", `{"stateMachineArn":"` + machines + `private"}`},
		{"ListExecutions", `{"stateMachineArn":"` + machines + `private"}`},
		{"GET /rayorch/v1/executions", ""}, {"GET /rayorch/v1/counts", ""}, {"GET /rayorch/v1/changes", ""},
		{"GET /rayorch/v1/logs?execution=arn:aws:states:us-east-1:123456789012:execution:private:one", ""},
		{"GET /rayorch/v1/info", ""}, {"GET /metrics", ""},
		{"POST /rayorch/v1/console", ""}, {"POST /rayorch/v1/secrets", "{}"}, {"POST /console/layout", "{}"},
		{"POST /console/link", `{"token":"made-up"}`}, {"POST /console/login", `{"key":"` + id + `","secret":""}`},
	} {
		for _, with := range [][2]string{{"", ""}, {id, "a-secret-that-was-guessed"}, {"made-up", "made-up"}} {
			status, body := send(t, url, c.what, c.body, with[0], with[1])
			if status/100 != 4 || status == http.StatusNotFound || strings.Contains(body, "private") || strings.Contains(body, secret) {
				t.Errorf("%s with the key %q: got %d %s, want a 4xx status other than 404 and no data", c.what, with[0], status, body)
			}
			if _, _, isPath := strings.Cut(c.what, " "); !isPath && status != http.StatusForbidden && status != http.StatusTooManyRequests {
				t.Errorf("%s with the key %q: got %d %s, want 403 or 429", c.what, with[0], status, body)
			}
		}
	}
	if _, body := send(t, url, "GET /console/start", "", "", ""); !strings.Contains(body, `"signedIn":false`) || strings.Contains(body, "private") {
		t.Errorf("GET /console/start without a key: got %s, want signedIn false and no data", body)
	}
	if _, err := os.Stat(proof); err == nil {
		t.Error("a request without the owner's key ran a command")
	}
	// The same requests must succeed with the owner's key, which proves that they were not rejected above for another reason.
	execution := "arn:aws:states:us-east-1:123456789012:execution:proof:one"
	for _, c := range []struct{ what, body string }{
		{"CreateStateMachine", create}, {"StartExecution", start},
		{"GET /rayorch/v1/watch?timeout=60&after=1000&execution=" + execution, ""},
	} {
		if status, body := send(t, url, c.what, c.body, id, secret); status != http.StatusOK {
			t.Errorf("%s with the owner's key: got %d %s, want 200", c.what, status, body)
		}
	}
	if _, err := os.Stat(proof); err != nil {
		t.Errorf("the owner's command did not run: %v", err)
	}
}

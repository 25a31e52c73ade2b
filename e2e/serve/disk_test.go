package serve_test

import (
	"bytes"
	"encoding/json"
	"errors"
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

// disk mounts a small file system for a state directory and returns its path.
func disk(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the command, which -short leaves out")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: cannot mount a file system for the state directory (%v: %s): run the test as root on Linux", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// remount mounts the file system again, read-only (ro) or writable (rw).
func remount(t *testing.T, dir, how string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,"+how, dir).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v: %s", err, out)
	}
}

// fill writes a file until the disk is full. free removes the file.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	piece := make([]byte, 1<<20)
	for len(piece) > 0 {
		if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

// sandboxOn returns a sandbox whose state directory is in dir.
func sandboxOn(t *testing.T, dir string) *command.Sandbox {
	p := command.New(t, nil)
	p.State = filepath.Join(dir, "state")
	p.Env = append(p.Env, "RAYORCH_STATE_DIR="+p.State)
	return p
}

// checkReads checks that every read-only command works.
func checkReads(t *testing.T, p *command.Sandbox, name string) {
	t.Helper()
	for _, args := range [][]string{
		{"list"}, {"describe", name}, {"logs", name}, {"history", name}, {"graph"}, {"store", "check"}, {"store", "dump"},
	} {
		if res := p.Run(t.Context(), t, args...); res.Code != 0 || res.Stdout == "" {
			t.Errorf("%v: got %+v, want exit code 0 and output", args, res)
		}
	}
}

// TestReadOnlyStateDirectory runs commands on a state directory whose file system is mounted read-only, and on one whose disk is full:
// read-only commands must work, and the others must fail with the reason.
func TestReadOnlyStateDirectory(t *testing.T) {
	dir := disk(t)
	p := sandboxOn(t, dir)
	p.Write(t, "pipeline.yaml", hello)
	if res := p.Run(t.Context(), t, "run", "--name", "one"); res.Code != 0 {
		t.Fatalf("run: got %+v, want exit code 0", res)
	}
	remount(t, dir, "ro")
	checkReads(t, p, "one")
	for _, args := range [][]string{{"run"}, {"doctor"}, {"store", "compact"}} {
		if res := p.Run(t.Context(), t, args...); res.Code != 1 || !strings.Contains(res.Stdout+res.Stderr, "read-only file system") {
			t.Errorf("%v: got %+v, want exit code 1 and \"read-only file system\"", args, res)
		}
	}
	remount(t, dir, "rw")
	defer fill(t, dir)()
	checkReads(t, p, "one")
	if res := p.Run(t.Context(), t, "doctor"); res.Code != 1 || !strings.Contains(res.Stdout, "0.0 GiB free in "+p.State) {
		t.Errorf("doctor on a full disk: got %+v, want exit code 1 and 0.0 GiB free", res)
	}
}

// TestRunOnAFullDisk fills the disk while a step prints. The step must succeed, the log must report the lost output, and the run must
// continue when there is space again.
func TestRunOnAFullDisk(t *testing.T) {
	dir := disk(t)
	p := sandboxOn(t, dir)
	files := t.TempDir()
	begun, enough, ended := filepath.Join(files, "begun"), filepath.Join(files, "enough"), filepath.Join(files, "ended")
	p.Write(t, "pipeline.yaml", fmt.Sprintf(`version: 1
name: printer
steps:
  - name: print
    job:
      shell: 'set -e; touch %s; i=0; until [ -e %s ]; do i=$((i+1)); printf "line %%d %%0900d\n" $i 0; sleep 0.001; done; touch %s'
  - name: last
    job: {shell: echo done}
`, begun, enough, ended))
	_, wait := p.Start(t, "run", "--name", "one")
	await(t, begun)
	free := fill(t, dir)
	jobs, err := filepath.Glob(filepath.Join(p.State, "jobs", "*", "log"))
	if err != nil || len(jobs) != 1 {
		t.Fatalf("got the job logs %v, %v, want one", jobs, err)
	}
	for before := int64(-1); ; time.Sleep(100 * time.Millisecond) { // until the job's log stops growing
		info, err := os.Stat(jobs[0])
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == before {
			break
		}
		before = info.Size()
	}
	if res := p.Run(t.Context(), t, "list"); res.Code != 0 && !strings.Contains(res.Stderr, "is full") {
		t.Errorf("list: got %+v, want success, or an error that the disk is full", res)
	}
	if err := os.WriteFile(enough, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, ended)
	free()
	if res := wait(); res.Code != 0 {
		t.Fatalf("run: got %+v, want exit code 0", res)
	}
	res := p.Run(t.Context(), t, "logs", "one", "--step", "print")
	lines, lost := 0, 0
	for line := range strings.Lines(res.Stdout) {
		var n int
		if _, err := fmt.Sscanf(line, "line %d ", &n); err == nil {
			if n <= lines {
				t.Fatalf("line %d after line %d", n, lines)
			}
			lines = n
		}
		if _, err := fmt.Sscanf(line, "rayorch: %d bytes of output were lost:", &n); err == nil {
			lost = n
		}
	}
	if lines == 0 || lost == 0 {
		t.Errorf("the log has %d lines and reports %d lost bytes, want more than 0 of both", lines, lost)
	}
}

// loop is a definition that loops until it is stopped, and writes its input in each iteration.
const loop = `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":1,"Next":"A"},"A":{"Type":"Pass","Next":"C"},"C":{"Type":"Choice",
 "Choices":[{"Variable":"$","StringEquals":"end","Next":"E"}],"Default":"A"},"E":{"Type":"Succeed"}}}`

// TestServerOnAFullDisk checks that a server on a full disk responds immediately, with a result or 503, that SIGTERM ends it, and that
// acknowledged executions are not lost.
func TestServerOnAFullDisk(t *testing.T) {
	dir := disk(t)
	p := sandboxOn(t, dir)
	server, url := serve(t, p, "--insecure-no-auth")
	client := http.Client{Timeout: 10 * time.Second}
	ask := func(method, path, action string, body map[string]string) (int, string) {
		text, _ := json.Marshal(body)
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", path, action, err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(answer)
	}
	machine := "arn:aws:states:us-east-1:123456789012:stateMachine:loop"
	ask(http.MethodPost, "/", "CreateStateMachine", map[string]string{"name": "loop", "roleArn": "arn:aws:iam::123456789012:role/r", "definition": loop})
	if status, text := ask(http.MethodPost, "/", "StartExecution", map[string]string{
		"stateMachineArn": machine, "name": "one", "input": `"` + strings.Repeat("x", 200_000) + `"`,
	}); status != http.StatusOK {
		t.Fatal(text)
	}
	free := fill(t, dir)
	for status := http.StatusOK; status != http.StatusServiceUnavailable; { // until a write waits
		if status, _ = ask(http.MethodPost, "/", "ListExecutions", map[string]string{"stateMachineArn": machine}); status == http.StatusOK {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if status, text := ask(http.MethodGet, "/readyz", "", nil); status != http.StatusServiceUnavailable || !strings.Contains(text, "refusing new work") {
		t.Errorf("readyz: got %d %q, want 503 and that it rejects new work", status, text)
	}
	if status, _ := ask(http.MethodGet, "/healthz", "", nil); status != http.StatusOK {
		t.Errorf("healthz: got %d, want 200", status)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server after SIGTERM: got %v, want exit code 0", err)
	}
	free()
	for _, args := range [][]string{{"stop", "one"}, {"store", "check"}} {
		if res := p.Run(t.Context(), t, args...); res.Code != 0 {
			t.Errorf("%v: got %+v, want exit code 0", args, res)
		}
	}
}

// await waits until a file exists.
func await(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(path)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

package api_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// pythonPackages are the clients with which the server is tested.
var pythonPackages = []string{"boto3==1.44.5", "awscli==1.46.3"}

// hasPackages is a Python script that fails unless the packages in its arguments are installed, and the AWS CLI is in the same
// directory as the interpreter.
const hasPackages = `
import os, sys
from importlib.metadata import version
assert all(version(name) == wanted for name, wanted in (arg.split("==") for arg in sys.argv[1:]))
assert os.path.exists(os.path.join(os.path.dirname(sys.executable), "aws"))
`

// python returns an interpreter with boto3, and with the AWS CLI in the same directory: RAYORCH_TEST_PYTHON (make test-setup),
// python3 in the path, or a virtual environment that the first run creates in the user's cache directory.
func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("RAYORCH_TEST_PYTHON"); p != "" {
		return p
	}
	base, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: no python3 for boto3 and the AWS CLI (set RAYORCH_TEST_PYTHON)")
	}
	if exec.CommandContext(t.Context(), base, append([]string{"-c", hasPackages}, pythonPackages...)...).Run() == nil {
		return base
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "rayorch-test", "aws-clients-1")
	p := filepath.Join(dir, "bin", "python")
	defer lock(t, dir)() // another run of these tests could create it at the same time
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		return p
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, base, "-m", "venv", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no virtual environment for boto3 and the AWS CLI: %v: %s", err, out)
	}
	install := append([]string{"-m", "pip", "install", "-q", "--disable-pip-version-check"}, pythonPackages...)
	if out, err := exec.CommandContext(ctx, p, install...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no boto3 and AWS CLI from the package index: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// lock creates a directory, and waits until this process has the exclusive lock on it.
func lock(t *testing.T, dir string) (unlock func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

func runClient(t *testing.T, url, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Minute // child processes of the shell inherit the pipes
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+url, "AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKID",
		"AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr.Bytes())
	}
	return string(out)
}

func TestBoto3(t *testing.T) {
	p := python(t)
	out := runClient(t, signedServer(t), p, "testdata/boto3_life.py")
	if out != "ok\n" {
		t.Errorf("got %s", out)
	}
}

func TestAWSCLI(t *testing.T) {
	p := python(t)
	out := runClient(t, signedServer(t), "sh", "testdata/awscli_life.sh", filepath.Join(filepath.Dir(p), "aws"))
	if out != "SUCCEEDED\n{\"a\":1}\n4\nStateMachineDoesNotExist\n" {
		t.Errorf("got %s", out)
	}
}

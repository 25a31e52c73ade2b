package api_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The clients that the server is tested with.
var pythonPackages = []string{"boto3==1.44.5", "awscli==1.46.3"}

// python is an interpreter with boto3 and the AWS CLI beside it: RAYORCH_TEST_PYTHON, or one of an environment that is made
// once under the user's cache.
func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("RAYORCH_TEST_PYTHON"); p != "" {
		return p
	}
	base, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: no python3 for boto3 and the AWS CLI (set RAYORCH_TEST_PYTHON)")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "rayorch-test", "aws-clients-1")
	p := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		return p
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
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

func runClient(t *testing.T, url, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
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

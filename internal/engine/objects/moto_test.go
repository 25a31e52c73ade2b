package objects_test

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// motoServer starts moto on a free port, prints the port, and exits when its standard input is closed.
const motoServer = `
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
`

// moto starts moto, an independent emulator of S3, creates a bucket, and returns the URL.
func moto(t *testing.T) string {
	t.Helper()
	python := "python"
	if named := os.Getenv("RAYORCH_TEST_PYTHON"); named != "" {
		python = named
	}
	const missing = "SKIPPED: no python with moto[server] on the PATH, so that S3 was only tested with the fake server: make test installs it"
	if _, err := exec.LookPath(python); err != nil {
		t.Skip(missing)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	cmd := exec.CommandContext(ctx, python, "-c", motoServer)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe() // the pipe is closed when this process ends for any reason
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		ended := cmd.Wait()
		cancel()
		if strings.Contains(stderr.String(), "ModuleNotFoundError") {
			t.Skip(missing)
		}
		t.Fatalf("moto did not print a port: %v, %v\n%s", err, ended, stderr.Bytes())
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		cancel()
	})
	url := "http://127.0.0.1:" + strings.TrimSpace(port)
	makeBucket(t, url+"/bucket")
	return url
}

func makeBucket(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s", url, resp.Status)
	}
}

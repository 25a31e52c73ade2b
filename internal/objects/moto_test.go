package objects_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/proc"
)

// moto starts moto's S3, an emulator that others wrote, with an empty bucket, and returns its URL.
func moto(t *testing.T) string {
	t.Helper()
	python := "python"
	if named := os.Getenv("RAYORCH_TEST_PYTHON"); named != "" {
		python = named
	}
	if err := exec.CommandContext(t.Context(), python, "-c", "import moto.server").Run(); err != nil {
		t.Skip("SKIPPED: no python with moto[server] on the PATH, so that S3 was tried against our own fake alone: make test installs it")
	}
	ports, err := proc.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + ports[0]
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, python, "-m", "moto.server", "-H", "127.0.0.1", "-p", ports[0])
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
	})
	for range 600 {
		if makeBucket(t, "http://"+address+"/bucket") {
			return "http://" + address
		}
		time.Sleep(100 * time.Millisecond) // another process: there is nothing to wait on
	}
	t.Fatal("moto does not answer")
	return ""
}

func makeBucket(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

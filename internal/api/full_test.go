package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A server without disk space for new work is not ready and rejects new work, but answers requests that need no space.
func TestLowDiskSpace(t *testing.T) {
	disk := vfs.NewMem()
	srv := newServerIn(t, "state", disk, "", nil)
	machine := `{"name":"m","roleArn":"arn:aws:iam::123456789012:role/r","definition":"{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":9,\"End\":true}}}"}`
	if resp, body := post(t, srv.URL, "CreateStateMachine", machine, nil); resp.StatusCode != http.StatusOK {
		t.Fatal(body)
	}
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30})
	for { // the server reads the free space once per second
		status, body := get(t, srv.URL+"/readyz", nil)
		if status == http.StatusOK {
			continue
		}
		if status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "not ready, refusing new work: ") {
			t.Errorf("readyz: %d %q", status, body)
		}
		break
	}
	if status, body := get(t, srv.URL+"/healthz", nil); status != http.StatusOK {
		t.Errorf("healthz: %d %q", status, body)
	}
	arn := `{"stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:m"}`
	if resp, body := post(t, srv.URL, "StartExecution", arn, nil); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "InsufficientStorage") {
		t.Errorf("StartExecution: %d %s", resp.StatusCode, body)
	}
	if resp, body := post(t, srv.URL, "ListExecutions", arn, nil); resp.StatusCode != http.StatusOK {
		t.Errorf("ListExecutions: %d %s", resp.StatusCode, body)
	}
}

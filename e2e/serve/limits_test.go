package serve_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/command"
)

// TestUnauthenticatedCallersUseLittleMemory opens 200 connections without a key and 200 with a known key id and a wrong signature. Each
// request announces a body of 6 MiB and sends all but the last byte, 2.4 GB in total. The server must stay healthy and use at most 384 MiB.
func TestUnauthenticatedCallersUseLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command, which -short leaves out")
	}
	const size, limit = 6 << 20, 384 << 20
	p := command.New(t, nil)
	server, url := serve(t, p)
	key, _ := createdKey(t, p)
	now := time.Now().UTC()
	known := "AWS4-HMAC-SHA256 Credential=" + key + "/" + now.Format("20060102") + "/us-east-1/states/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=00"
	var wg sync.WaitGroup
	for i := range 400 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AWSStepFunctions.ListStateMachines\r\nX-Amz-Date: %s\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n",
			now.Format("20060102T150405Z"), []string{"", known}[i%2], size)
		sent := make(chan struct{})
		go func() {
			_, _ = io.Copy(c, io.LimitReader(zeros{}, size-1))
			close(sent)
		}()
		wg.Go(func() { // until the body has been sent or the request rejected
			_, _ = c.Read(make([]byte, 1))
			<-sent
		})
	}
	if got := get(t, p, url+"/healthz"); got != "ok\n" {
		t.Errorf("healthz: got %q, want ok", got)
	}
	wg.Wait()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
	if err != nil {
		t.Skip("SKIPPED: this system has no /proc to read the server's memory from")
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	if kib<<10 > limit {
		t.Errorf("the server used %d MiB, want at most %d", kib>>10, limit>>20)
	}
	t.Logf("the server used %d MiB", kib>>10)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

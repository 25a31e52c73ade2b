package kube_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/moby/spdystream"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// TestLateProblem uses a kubelet that ends the data before it sends the error message, and sends nothing after GOAWAY, like
// containerd 1.6.
func TestLateProblem(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	conn, err := spdystream.NewConnection(server, true)
	if err != nil {
		t.Fatal(err)
	}
	streams := make(chan *spdystream.Stream, 2)
	go conn.Serve(func(s *spdystream.Stream) {
		streams <- s // before the reply, after which the client opens the next stream
		_ = s.SendReply(http.Header{}, false)
	})
	go func() {
		errs, data := <-streams, <-streams
		_ = data.Close()
		_, _ = io.Copy(io.Discard, data) // until the client resets the stream
		select {
		case <-conn.CloseChan(): // GOAWAY
			return
		default:
		}
		_, _ = io.WriteString(errs, "connection refused")
		_ = errs.Close()
	}()
	if err := kube.Problem(client, 80); err == nil || err.Error() != "connection refused" {
		t.Errorf("got %v", err)
	}
}

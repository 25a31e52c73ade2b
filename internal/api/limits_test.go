package api_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
)

// counting is a listener that counts the bytes that a server reads from its connections.
type counting struct {
	net.Listener
	read *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.read}, err
}

type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c countingConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// limitedServer starts a server with the key AKID and limits, as rayorch serve does.
func limitedServer(t *testing.T, limits *limit.Limits) (address string, read *atomic.Int64) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	read = new(atomic.Int64)
	srv := limits.Server(newAPI(t, "state", vfs.NewMem(), "", func(c *api.Config) {
		c.Keys, c.Limits = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}}, limits
	}))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(limits.Listener(counting{l, read})) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return l.Addr().String(), read
}

// announce opens a connection and sends the header of a request with a body.
func announce(t *testing.T, address, authorization string, body int) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AWSStepFunctions.ListStateMachines\r\nX-Amz-Date: %s\r\n"+
		"Authorization: %s\r\nContent-Length: %d\r\n\r\n", time.Now().UTC().Format("20060102T150405Z"), authorization, body)
	return c
}

// status returns the status line of a response.
func status(c net.Conn) string {
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}

func health(t *testing.T, address string) {
	t.Helper()
	if status, body := get(t, "http://"+address+"/healthz", nil); status != http.StatusOK {
		t.Errorf("health: %d %s", status, body)
	}
}

// The server does not read the body of a request without a known key.
func TestBodiesOfUnknownKeysAreNotRead(t *testing.T) {
	const conns, size = 200, 6 << 20
	address, read := limitedServer(t, limit.New(limit.Config{Logger: slog.New(slog.DiscardHandler)}))
	unknown := "AWS4-HMAC-SHA256 Credential=NOBODY/20261130/us-east-1/states/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=00"
	var wg sync.WaitGroup
	for i := range conns {
		c := announce(t, address, []string{"", unknown}[i%2], size)
		wg.Go(func() {
			_, _ = io.CopyN(c, zeros{}, size) // until the server closes it
		})
		wg.Go(func() {
			if got := status(c); !strings.Contains(got, " 403 ") && !strings.Contains(got, " 429 ") {
				t.Errorf("got %q", got)
			}
		})
	}
	health(t, address)
	wg.Wait()
	// net/http reads the header in blocks of 4 KiB.
	if got := read.Load(); got > (conns+10)*4096 {
		t.Errorf("the server read %d bytes from %d connections", got, conns)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// With a known key id, which is not a secret, the memory for all bodies together is limited, and small requests still succeed.
func TestTotalOfBodiesIsLimited(t *testing.T) {
	const conns, size, most = 16, 1 << 20, 4 << 20
	limits := limit.New(limit.Config{Bodies: most})
	address, _ := limitedServer(t, limits)
	known := "AWS4-HMAC-SHA256 Credential=AKID/" + time.Now().UTC().Format("20060102") + "/us-east-1/states/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=00"
	answers := make(chan string, conns)
	for range conns {
		c := announce(t, address, known, size)
		go func() { _, _ = io.CopyN(c, zeros{}, size-1) }() // never the last byte, so that the server holds the body
		go func() { answers <- status(c) }()
	}
	for range conns - most/size - 1 {
		if got := <-answers; !strings.Contains(got, " 503 ") {
			t.Errorf("body that exceeds the limit: %q", got)
		}
		if u := limits.Usage(); u.BodyBytes > most {
			t.Errorf("bodies use %d bytes, want at most %d", u.BodyBytes, most)
		}
	}
	if u := limits.Usage(); u.BodyBytes < most/2 || u.BodiesRefused == 0 {
		t.Errorf("counted %+v", u)
	}
	c := sdkClient("http://"+address, "AKID", "secret")
	if _, err := c.ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{}); err != nil {
		t.Errorf("small request at the limit: %v", err)
	}
	if _, body := get(t, "http://"+address+"/metrics", func(r *http.Request) { r.SetBasicAuth("AKID", "secret") }); !strings.Contains(body, "\nrayorch_request_body_bytes ") ||
		strings.Contains(body, "rayorch_request_bodies_refused_total 0\n") {
		t.Errorf("metrics: %s", body)
	}
	health(t, address)
}

// A client with an unknown key receives the error although the server does not read the body that the client sends.
func TestClientReceivesErrorForLargeRequest(t *testing.T) {
	address, _ := limitedServer(t, limit.New(limit.Config{Logger: slog.New(slog.DiscardHandler)}))
	for range 4 {
		c := announce(t, address, "AWS4-HMAC-SHA256 Credential=NOBODY/20261130/us-east-1/states/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=00", 300_000)
		if _, err := c.Write(make([]byte, 300_000)); err != nil {
			t.Error(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(body), "UnrecognizedClientException") || !resp.Close {
			t.Errorf("%d %s %v", resp.StatusCode, body, err)
		}
	}
}

// A connection on which the server read all bodies stays open for further requests, also after a rejected one.
func TestConnectionsAreReused(t *testing.T) {
	address, _ := limitedServer(t, limit.New(limit.Config{Logger: slog.New(slog.DiscardHandler)}))
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for _, secret := range []string{"secret", "wrong", "secret"} {
		if err := signed(t, "http://"+address, "ListStateMachines", "{}", signing{secret: secret}).Write(c); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || (resp.StatusCode == http.StatusOK) != (secret == "secret") || resp.Close {
			t.Errorf("%d %s, closes: %v, %v", resp.StatusCode, body, resp.Close, err)
		}
	}
}

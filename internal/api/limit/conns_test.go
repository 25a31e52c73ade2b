package limit_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/api/limit"
)

// peer is a connection with the given remote address.
type peer struct {
	net.Conn
	address string
}

func (p peer) RemoteAddr() net.Addr { return address(p.address) }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// pipes is a listener for in-memory connections.
type pipes struct{ come chan net.Conn }

func (l pipes) Accept() (net.Conn, error) {
	c, ok := <-l.come
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l pipes) Close() error   { return nil }
func (l pipes) Addr() net.Addr { return address("server") }

// dial returns the client's end of a new connection.
func (l pipes) dial(from string) net.Conn {
	client, server := net.Pipe()
	l.come <- peer{server, from}
	return client
}

func isClosed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return err != nil
}

// request sends a request and returns the status line, or "" if the connection is closed.
func request(c net.Conn, path string) string {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return ""
	}
	got := make([]byte, 4096)
	n, _ := c.Read(got)
	line, _, _ := strings.Cut(string(got[:n]), "\r\n")
	return line
}

// However many connections one attacker or one caller with a key opens, health checks are answered, and authenticated callers
// keep their connections.
func TestConnections(t *testing.T) {
	const most = 40
	limits := limit.New(limit.Config{Conns: most})
	stay := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /follow", func(w http.ResponseWriter, r *http.Request) {
		if !limit.MarkAuthenticated(r.Context()) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-stay
	})
	l := pipes{make(chan net.Conn)}
	srv := limits.Server(mux)
	served := make(chan error)
	go func() { served <- srv.Serve(limits.Listener(l)) }()
	defer func() {
		close(stay)
		close(l.come)
		<-served
		_ = srv.Close()
	}()

	owner := l.dial("192.0.2.9:1")
	if got := request(owner, "/follow"); got != "HTTP/1.1 200 OK" {
		t.Fatalf("got %q", got)
	}
	other := l.dial("198.51.100.1:1") // older than the attacker's connections, and also unauthenticated
	first := l.dial("192.0.2.1:1")
	for range 3 * most {
		l.dial("192.0.2.1:1")
	}
	if !isClosed(first) {
		t.Error("the attacker's oldest connection is still open")
	}
	for range 5 {
		if got := request(l.dial("192.0.2.2:1"), "/healthz"); got != "HTTP/1.1 200 OK" {
			t.Errorf("health check during the attack: %q", got)
		}
	}
	if got := request(other, "/healthz"); got != "HTTP/1.1 200 OK" {
		t.Errorf("connection from another address: %q", got)
	}
	if u := limits.Usage(); u.Conns > most || u.ConnsClosed < 2*most {
		t.Errorf("counted %+v", u)
	}

	refused := 0
	for range 2 * most { // the same with authenticated connections
		if got := request(l.dial("192.0.2.3:1"), "/follow"); strings.Contains(got, "503") {
			refused++
		}
	}
	if refused < most {
		t.Errorf("%d of %d authenticated connections were rejected, want at least %d", refused, 2*most, most)
	}
	if got := request(l.dial("192.0.2.2:1"), "/healthz"); got != "HTTP/1.1 200 OK" {
		t.Errorf("health check among authenticated connections: %q", got)
	}
}

// A request without a connection of Limits.Listener comes over the owner's socket: it is not limited.
func TestMarkAuthenticatedWithoutListener(t *testing.T) {
	if !limit.MarkAuthenticated(httptest.NewRequest(http.MethodGet, "/", nil).Context()) {
		t.Error("rejected")
	}
}

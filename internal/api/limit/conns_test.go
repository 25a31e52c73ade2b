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

// peer is one end of a connection that claims an address.
type peer struct {
	net.Conn
	address string
}

func (p peer) RemoteAddr() net.Addr { return address(p.address) }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// pipes is a listener of connections within the process.
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

// dial gives the client's end.
func (l pipes) dial(from string) net.Conn {
	client, server := net.Pipe()
	l.come <- peer{server, from}
	return client
}

func isClosed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return err != nil
}

// ask sends a request and gives the status line, empty if the connection ends.
func ask(c net.Conn, path string) string {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return ""
	}
	got := make([]byte, 4096)
	n, _ := c.Read(got)
	line, _, _ := strings.Cut(string(got[:n]), "\r\n")
	return line
}

// One attacker, or one caller with a key, may open as many connections as it likes: health checks are answered, and callers
// that have authenticated keep their connections.
func TestConnections(t *testing.T) {
	const most = 40
	limits := limit.New(limit.Config{Conns: most})
	stay := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /follow", func(w http.ResponseWriter, r *http.Request) {
		if !limit.Prove(r.Context()) {
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
	if got := ask(owner, "/follow"); got != "HTTP/1.1 200 OK" {
		t.Fatalf("got %q", got)
	}
	other := l.dial("198.51.100.1:1") // that sends nothing either, and came first
	first := l.dial("192.0.2.1:1")
	for range 3 * most {
		l.dial("192.0.2.1:1")
	}
	if !isClosed(first) {
		t.Error("the attacker's oldest connection is open")
	}
	for range 5 {
		if got := ask(l.dial("192.0.2.2:1"), "/healthz"); got != "HTTP/1.1 200 OK" {
			t.Errorf("a health check among the attacker's connections: %q", got)
		}
	}
	if got := ask(other, "/healthz"); got != "HTTP/1.1 200 OK" {
		t.Errorf("somebody else's connection: %q", got)
	}
	if u := limits.Usage(); u.Conns > most || u.ConnsClosed < 2*most {
		t.Errorf("counted %+v", u)
	}

	refused := 0
	for range 2 * most { // the same with a key
		if got := ask(l.dial("192.0.2.3:1"), "/follow"); strings.Contains(got, "503") {
			refused++
		}
	}
	if refused < most {
		t.Errorf("%d of %d were refused", refused, 2*most)
	}
	if got := ask(l.dial("192.0.2.2:1"), "/healthz"); got != "HTTP/1.1 200 OK" {
		t.Errorf("a health check among followers: %q", got)
	}
}

// A request without a connection of a Listener is a test's, or the socket's.
func TestProveWithoutLimits(t *testing.T) {
	if !limit.Prove(httptest.NewRequest(http.MethodGet, "/", nil).Context()) {
		t.Error("refused")
	}
}

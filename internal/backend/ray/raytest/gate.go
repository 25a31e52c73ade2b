package raytest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Gate is the path of a file that jobs wait for, so that a test controls when they end. Jobs also stop waiting when the test ends.
type Gate string

// NewGate returns a closed gate.
func NewGate(t testing.TB) Gate { return Gate(filepath.Join(t.TempDir(), "open")) }

// Wait returns a shell command that waits until the gate is open or the test has ended.
func (g Gate) Wait() string {
	return fmt.Sprintf("while [ -d %s ] && [ ! -e %s ]; do sleep 0.05; done", filepath.Dir(string(g)), string(g))
}

// Open opens the gate, so that jobs continue.
func (g Gate) Open(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(string(g), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// RefusingAddress returns a loopback address HOST:PORT that refuses connections until the test ends: the port is bound, so that no other
// program can use it, but nobody listens on it.
func RefusingAddress(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := bound.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("the socket is bound to %v, want an IPv4 address", bound)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))
}

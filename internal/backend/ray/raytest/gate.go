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

// Gate is a file that jobs wait for, so that they last until the test has looked. They end with the test, too.
type Gate string

// NewGate makes a gate that is closed.
func NewGate(t testing.TB) Gate { return Gate(filepath.Join(t.TempDir(), "open")) }

// Wait is a shell command that returns when the gate is open or the test has ended.
func (g Gate) Wait() string {
	return fmt.Sprintf("while [ -d %s ] && [ ! -e %s ]; do sleep 0.05; done", filepath.Dir(string(g)), string(g))
}

// Open lets the jobs go on.
func (g Gate) Open(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(string(g), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Refusing returns an address of this machine where nobody listens until the test ends: its port is bound, so that no
// other program gets it, but refuses connections.
func Refusing(t testing.TB) string {
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
		t.Fatalf("bound to %v", bound)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))
}

package proc_test

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rayorch/rayorch/internal/proc"
)

// TestReservePort holds a port against everybody but a server that shares ports, which gets all of its connections.
func TestReservePort(t *testing.T) {
	port, release, err := proc.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		if l, err := net.Listen("tcp4", host+":"+port); err == nil {
			_ = l.Close()
			t.Errorf("%s:%s could be taken", host, port)
		}
	}
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return err
	}}
	server, err := shared.Listen(context.Background(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for range 20 {
		client, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.Accept()
		if err != nil || got.RemoteAddr().String() != client.LocalAddr().String() {
			t.Fatalf("accepted %v, %v", got, err)
		}
		_ = client.Close()
		_ = got.Close()
	}
	release()
	if _, held, ok := strings.Cut(server.Addr().String(), ":"); !ok || held != port {
		t.Errorf("the server is at %s", server.Addr())
	}
}

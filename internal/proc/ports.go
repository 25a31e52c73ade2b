package proc

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReservePort takes a port of all addresses that nobody has, for a program that must be told its port and that sets
// SO_REUSEPORT before it binds it, as gRPC servers do. Until release is called only programs of the same user that set it
// can bind the port, and no outgoing connection gets it. It does not listen, so that no connection reaches the holder.
func ReservePort() (port string, release func(), err error) {
	fd, address, err := socket()
	if err != nil {
		return "", nil, os.NewSyscallError("socket", err)
	}
	number, err := bindShared(fd, address)
	if err != nil {
		_ = unix.Close(fd)
		return "", nil, fmt.Errorf("reserve a port: %w", err)
	}
	return strconv.Itoa(number), func() { _ = unix.Close(fd) }, nil
}

// socket opens one of both IP versions, or of version 4 where the machine has no other. No child of this process inherits it.
func socket() (fd int, everywhere unix.Sockaddr, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	everywhere = &unix.SockaddrInet6{}
	if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0); err != nil {
		everywhere = &unix.SockaddrInet4{}
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	}
	if err == nil {
		unix.CloseOnExec(fd)
	}
	return fd, everywhere, err
}

// bindShared binds a socket to a port that the system chooses, and returns that.
func bindShared(fd int, address unix.Sockaddr) (int, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
	}
	if err := unix.Bind(fd, address); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	switch a := bound.(type) {
	case *unix.SockaddrInet6:
		return a.Port, nil
	case *unix.SockaddrInet4:
		return a.Port, nil
	}
	return 0, fmt.Errorf("unexpected address %v", bound)
}

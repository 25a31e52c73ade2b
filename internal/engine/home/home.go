// Package home locates the state directory and the API of its owner. The process that opens the engine on the directory is its owner; the
// lock of the store admits only one. The owner listens on a Unix socket and writes the address into the directory. Other commands read
// the address and are clients of the owner.
package home

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Dir returns the absolute path of the state directory, which may not exist yet: the value of the flag, else RAYORCH_STATE_DIR, else the
// directory rayorch below XDG_STATE_HOME, which defaults to ~/.local/state.
func Dir(flag string, getenv func(string) string) (string, error) {
	for _, dir := range []string{flag, getenv("RAYORCH_STATE_DIR")} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if xdg := getenv("XDG_STATE_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "rayorch"), nil
	}
	user := getenv("HOME")
	if user == "" {
		return "", errors.New("no state directory: set --state-dir, RAYORCH_STATE_DIR or HOME")
	}
	return filepath.Join(user, ".local", "state", "rayorch"), nil
}

// Address is the address of an owner's API.
type Address struct {
	Network string `json:"network"` // "unix", or "memory" for ListenAlone
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Version string `json:"version"`
	// Server means that the owner is a server: it keeps running and drives all executions.
	Server bool   `json:"server,omitempty"`
	alone  *alone // the listener of ListenAlone
}

const addressFile = "api.json"

// ErrNoOwner means that no process serves the state directory.
var ErrNoOwner = errors.New("no process serves the state directory")

// maxSocket is the maximum length of a socket's path on all systems, in bytes: macOS allows 104 bytes including a final zero.
const maxSocket = 103

// Listen opens the owner's socket. Only this user can connect, because other users cannot access the socket's directory.
func Listen(dir, version string) (net.Listener, Address, error) {
	return listen(dir, "api.sock", version)
}

// ListenAlone returns a listener in memory, to which only this process can connect. It is for a directory that is opened read-only, in
// which no socket can be created.
func ListenAlone(version string) (net.Listener, Address) {
	l := &alone{conns: make(chan net.Conn), closed: make(chan struct{})}
	return l, Address{Network: "memory", PID: os.Getpid(), Version: version, alone: l}
}

// alone is a net.Listener in memory.
type alone struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *alone) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *alone) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *alone) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *alone) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listen opens a Unix socket in the state directory, or elsewhere if its path would be too long (socketPath).
func listen(dir, name, version string) (net.Listener, Address, error) {
	path, err := socketPath(dir, name)
	if err != nil {
		return nil, Address{}, err
	}
	// A killed owner may have left a socket. This process has the store's lock by now, so no process listens on it.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, Address{}, fmt.Errorf("remove the old socket: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, Address{}, fmt.Errorf("listen for commands: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, Address{}, errors.Join(err, l.Close())
	}
	return l, Address{Network: "unix", Address: path, PID: os.Getpid(), Version: version}, nil
}

// socketPath returns a path in the state directory. If that is too long for a socket, it returns one in a private directory below the
// system's temporary directory, which it creates.
func socketPath(dir, name string) (string, error) {
	if path := filepath.Join(dir, name); len(path) <= maxSocket {
		return path, nil
	}
	sum := sha256.Sum256([]byte(dir))
	short := filepath.Join(os.TempDir(), fmt.Sprintf("rayorch-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])))
	if err := os.Mkdir(short, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("create a directory for the socket: %w", err)
	}
	info, err := os.Lstat(short)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 || !ownedByUser(info) {
		return "", fmt.Errorf("other users can access the directory %s of the socket: remove it", short)
	}
	return filepath.Join(short, name), nil
}

// Announce writes the owner's address into the directory atomically. remove deletes it.
func Announce(dir string, a Address) (remove func(), err error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, addressFile)
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("write the address of the API: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, fmt.Errorf("write the address of the API: %w", err)
	}
	return func() { _ = os.Remove(path) }, nil // if this fails, Find notices that nothing listens at the address
}

// Find returns the address of the directory's owner. The error is ErrNoOwner if there is none, or if it does not accept connections.
func Find(ctx context.Context, dir string) (Address, error) {
	a, err := Announced(dir)
	if err != nil {
		return Address{}, err
	}
	conn, err := a.dial(ctx)
	if err != nil {
		return Address{}, ErrNoOwner
	}
	return a, conn.Close()
}

// Announced returns the address in the directory, without checking that its owner accepts connections. The error is ErrNoOwner if there is
// none.
func Announced(dir string) (Address, error) {
	text, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return Address{}, ErrNoOwner // an error in the path is reported when the directory is created
	}
	if err != nil {
		return Address{}, fmt.Errorf("find the owner of the state directory: %w", err)
	}
	var a Address
	if err := json.Unmarshal(text, &a); err != nil {
		return Address{}, fmt.Errorf("read %s: %w", addressFile, err)
	}
	return a, nil
}

func (a Address) dial(ctx context.Context) (net.Conn, error) {
	if a.alone != nil {
		return a.alone.dial(ctx)
	}
	// A socket with a listener accepts connections immediately. If it does not, the machine is slow; the owner must not be considered
	// dead then.
	d := net.Dialer{Timeout: time.Minute}
	return d.DialContext(ctx, a.Network, a.Address)
}

// BaseURL is the URL of the API for Client. The host is a placeholder, because the client dials the socket.
const BaseURL = "http://localhost"

// Client returns an HTTP client that sends all requests to the owner.
func (a Address) Client() *http.Client {
	return &http.Client{Transport: OwnBody(&http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dial(ctx) },
		MaxIdleConnsPerHost: 8,
	})}
}

// OwnBody returns a RoundTripper that sends each request with a copy of its body. The AWS SDK closes the body as soon as a response
// begins (ClientHandler of smithy-go). A local server may respond before net/http has read the end of the body; then the transport
// considers the request failed, and truncates the response.
func OwnBody(next http.RoundTripper) http.RoundTripper { return ownBody{next} }

type ownBody struct{ next http.RoundTripper }

func (t ownBody) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return t.next.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err := errors.Join(err, req.Body.Close()); err != nil {
		return nil, err
	}
	own := req.Clone(req.Context())
	own.Body, own.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return t.next.RoundTrip(own)
}

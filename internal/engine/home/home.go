// Package home knows the state directory from outside: where it is, and where its owner serves the API. Whoever opens
// the engine on the directory is its owner (the store's lock sees to it that there is one), listens on a Unix socket and
// writes the socket's address into the directory; every other command finds it there and is a client.
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

// Dir is the state directory: what the flag says, else RAYORCH_STATE_DIR, else the user's own place for state
// (XDG_STATE_HOME, which defaults to ~/.local/state). It is absolute; it need not exist.
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
		return "", errors.New("no state directory: neither --state-dir nor RAYORCH_STATE_DIR nor HOME is set")
	}
	return filepath.Join(user, ".local", "state", "rayorch"), nil
}

// Address is where an owner serves its API.
type Address struct {
	Network string `json:"network"` // "unix" where it is announced
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Version string `json:"version"`
	// Server says that the owner stays, and drives every execution.
	Server bool   `json:"server,omitempty"`
	alone  *alone // where this process alone is served
}

const addressFile = "api.json"

// ErrNobody says that nobody serves the directory.
var ErrNobody = errors.New("nobody serves the state directory")

// maxSocket is what fits into a socket's address on every system: macOS takes 104 bytes, the last one a zero.
const maxSocket = 103

// Listen opens the owner's socket. Only the user may connect: the socket's directory is theirs alone.
func Listen(dir, version string) (net.Listener, Address, error) {
	return listen(dir, "api.sock", version)
}

// ListenAlone listens for this process alone. It needs no socket, which a directory that cannot be written could not have.
func ListenAlone(version string) (net.Listener, Address) {
	l := &alone{conns: make(chan net.Conn), closed: make(chan struct{})}
	return l, Address{Network: "memory", PID: os.Getpid(), Version: version, alone: l}
}

// alone is a listener in memory.
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

// Addr is the listener's own.
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

func listen(dir, name, version string) (net.Listener, Address, error) {
	path, err := socketPath(dir, name)
	if err != nil {
		return nil, Address{}, err
	}
	// A socket left by a killed owner: the store's lock is ours by now, so that nobody listens on it.
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

// socketPath is in the state directory, or, where that name is too long for a socket, in a private directory below the
// system's temporary one.
func socketPath(dir, name string) (string, error) {
	if path := filepath.Join(dir, name); len(path) <= maxSocket {
		return path, nil
	}
	sum := sha256.Sum256([]byte(dir))
	short := filepath.Join(os.TempDir(), fmt.Sprintf("rayorch-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])))
	if err := os.Mkdir(short, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make a directory for the socket: %w", err)
	}
	info, err := os.Lstat(short)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 || !ownedByUser(info) {
		return "", fmt.Errorf("the directory %s is not this user's alone: remove it", short)
	}
	return filepath.Join(short, name), nil
}

// Announce writes the owner's address into the directory, whole or not at all; remove takes it away again.
func Announce(dir string, a Address) (remove func(), err error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, addressFile)
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("announce the API's address: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, fmt.Errorf("announce the API's address: %w", err)
	}
	return func() { _ = os.Remove(path) }, nil // a stale address is found out by whoever dials it
}

// Find is the address of the directory's owner. ErrNobody when there is none, or when it no longer answers.
func Find(ctx context.Context, dir string) (Address, error) {
	a, err := Announced(dir)
	if err != nil {
		return Address{}, err
	}
	conn, err := a.dial(ctx)
	if err != nil {
		return Address{}, ErrNobody
	}
	return a, conn.Close()
}

// Announced is the address in the directory, whether its owner still answers or not. ErrNobody when there is none.
func Announced(dir string) (Address, error) {
	text, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return Address{}, ErrNobody // whoever makes the directory says what is in its way
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
	// A socket that somebody listens on takes a connection at once. What is slow is this machine, and to take its owner for
	// gone would be a mistake.
	d := net.Dialer{Timeout: time.Minute}
	return d.DialContext(ctx, a.Network, a.Address)
}

// BaseURL is the URL under which Client reaches the API. Its host says nothing: the client dials the socket.
const BaseURL = "http://localhost"

// Client is an HTTP client whose every request goes to the owner.
func (a Address) Client() *http.Client {
	return &http.Client{Transport: OwnBody(&http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dial(ctx) },
		MaxIdleConnsPerHost: 8,
	})}
}

// OwnBody sends each request with a copy of its body. The AWS SDK takes the body back as soon as an answer begins
// (smithy-go's ClientHandler), and a server as near as ours answers before net/http has seen the body's end: the
// transport then takes the request for failed and cuts the answer off.
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

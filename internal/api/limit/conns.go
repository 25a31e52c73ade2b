package limit

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// conns are the open connections of a server. If there are too many, the server closes the oldest unauthenticated connection of
// the address that has the most unauthenticated connections, so that one attacker cannot keep a health check from connecting.
// Authenticated connections are limited to fewer than max: there is always an unauthenticated one to close.
type conns struct {
	max int

	mu            sync.Mutex
	open          map[*conn]struct{}
	authenticated int
	closed        int64 // because there were too many
	number        int64 // of the newest connection
}

// conn is a connection. conns.mu protects its fields, except unread.
type conn struct {
	net.Conn
	all           *conns
	address       netip.Prefix
	number        int64 // in the order of acceptance
	authenticated bool
	unread        atomic.Bool // a request's body was left unread
}

// listener wraps accepted connections in conn.
type listener struct {
	net.Listener
	conns *conns
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.conns.add(c), nil
}

// add adds a connection. If there are too many, it closes another one.
func (s *conns) add(c net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out *conn
	if len(s.open) >= s.max {
		out = s.victim()
	}
	if out != nil {
		s.closed++
		s.forget(out)
		_ = out.Conn.Close()
	}
	s.number++
	added := &conn{Conn: c, all: s, number: s.number, address: addressOf(c.RemoteAddr().String())}
	s.open[added] = struct{}{}
	return added
}

// victim returns the connection to close, nil if all are authenticated.
func (s *conns) victim() *conn {
	held := map[netip.Prefix]int{}
	for c := range s.open {
		if !c.authenticated {
			held[c.address]++
		}
	}
	var victim *conn
	for c := range s.open {
		if !c.authenticated && (victim == nil || cmp.Or(cmp.Compare(held[victim.address], held[c.address]), cmp.Compare(c.number, victim.number)) < 0) {
			victim = c
		}
	}
	return victim
}

// forget removes a connection from the counts. It can be called several times. The caller holds s.mu.
func (s *conns) forget(c *conn) {
	if _, there := s.open[c]; there {
		delete(s.open, c)
		if c.authenticated {
			s.authenticated--
		}
	}
}

// markAuthenticated marks a connection. It returns false if there are too many authenticated connections, or if the connection
// has been closed.
func (s *conns) markAuthenticated(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.open[c]
	switch {
	case !there:
		return false
	case c.authenticated:
		return true
	case s.authenticated >= s.max-min(reserved, s.max/2):
		return false
	}
	c.authenticated = true
	s.authenticated++
	return true
}

func (s *conns) usage() (open, closed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.open)), s.closed
}

// Write sets a new deadline for each write, so that a response can stream for hours but a client must keep reading.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// lingerTime is as long as net/http itself waits before it closes a connection with unread data.
const lingerTime = 500 * time.Millisecond

// Close closes the connection. If the client is still sending a body, Close first gives it time to read the answer: closing a
// connection with unread data resets it, and the client could lose the answer.
func (c *conn) Close() error {
	if c.unread.Load() && c.CloseWrite() == nil {
		time.Sleep(lingerTime)
	}
	c.all.mu.Lock()
	c.all.forget(c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the sending side. net/http and crypto/tls look for this method.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// connKey is the context key of a request's *conn.
type connKey struct{}

// withConn is the http.Server's ConnContext: it makes the connection available to handlers.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = inner.NetConn()
	}
	if one, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, one)
	}
	return ctx
}

// MarkAuthenticated records that the caller of a request has authenticated, so that its connection is not closed in favor of
// others. It returns false if there are too many authenticated connections: the request must be rejected with 503. A request
// that did not arrive through Limits.Listener (the owner's socket) has no limit.
func MarkAuthenticated(ctx context.Context) bool {
	c, ok := ctx.Value(connKey{}).(*conn)
	return !ok || c.all.markAuthenticated(c)
}

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

// conns are a server's open connections. When there are too many, the server closes the oldest unauthenticated one of the
// address that has the most of them: a health check finds room whatever one attacker holds. Authenticated callers leave some
// room, so that there is always one to close.
type conns struct {
	max int

	mu     sync.Mutex
	open   map[*conn]struct{}
	proven int
	closed int64
	number int64
}

// conn is one connection. Its fields but unread belong to conns.mu.
type conn struct {
	net.Conn
	all     *conns
	address netip.Prefix
	number  int64 // in the order of arrival
	proven  bool
	unread  atomic.Bool // a request's body was left unread
}

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

func (s *conns) add(c net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out *conn
	if len(s.open) >= s.max {
		out = s.worst()
	}
	if out != nil {
		s.closed++
		s.forget(out)
		_ = out.Conn.Close()
	}
	s.number++
	one := &conn{Conn: c, all: s, number: s.number, address: addressOf(c.RemoteAddr().String())}
	s.open[one] = struct{}{}
	return one
}

// worst is the connection to close.
func (s *conns) worst() *conn {
	held := map[netip.Prefix]int{}
	for c := range s.open {
		if !c.proven {
			held[c.address]++
		}
	}
	var worst *conn
	for c := range s.open {
		if !c.proven && (worst == nil || cmp.Or(cmp.Compare(held[worst.address], held[c.address]), cmp.Compare(c.number, worst.number)) < 0) {
			worst = c
		}
	}
	return worst
}

func (s *conns) forget(c *conn) {
	if _, there := s.open[c]; there {
		delete(s.open, c)
		if c.proven {
			s.proven--
		}
	}
}

// prove reports whether there is room for one more authenticated caller.
func (s *conns) prove(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.open[c]
	switch {
	case !there:
		return false
	case c.proven:
		return true
	case s.proven >= s.max-min(reserved, s.max/2):
		return false
	}
	c.proven = true
	s.proven++
	return true
}

func (s *conns) usage() (open, closed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.open)), s.closed
}

// Write sets a deadline for what it writes alone.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// lingerTime is what net/http itself waits in such a case.
const lingerTime = 500 * time.Millisecond

// Close lets the peer read the answer first if the peer still sends: closing with unread data in the buffer resets the
// connection, and the answer is lost.
func (c *conn) Close() error {
	if c.unread.Load() && c.CloseWrite() == nil {
		time.Sleep(lingerTime)
	}
	c.all.mu.Lock()
	c.all.forget(c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends the sending side, which net/http and crypto/tls look for.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = inner.NetConn()
	}
	if one, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, one)
	}
	return ctx
}

// Prove records that the caller of a request has authenticated: its connection is not closed in favor of others. It is
// false if there are too many such connections: the request must be refused.
func Prove(ctx context.Context) bool {
	c, ok := ctx.Value(connKey{}).(*conn)
	return !ok || c.all.prove(c)
}

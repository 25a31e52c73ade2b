// Package limit bounds what a server spends on unauthenticated callers: connections, bytes of request bodies, and failed
// attempts to sign in. It does not decide which callers are allowed: internal/api and internal/view/console check
// credentials and report here.
package limit

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// MaxConns is how many connections a server has open at a time.
	MaxConns = 1000
	// reserved connections are only for unauthenticated callers, such as health checks.
	reserved = 16
	// FreeBody is what every request's body may hold without counting: small requests never wait for large ones.
	FreeBody = 16 << 10
	// MaxBodies is what the bodies of all requests may hold together beyond that.
	MaxBodies = 32 << 20
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
	// bodyWait is how long a body waits for others to be done.
	bodyWait = 2 * time.Second
	// headerTime bounds the TLS handshake, and the header of a request.
	headerTime = 10 * time.Second
	// writeTime bounds one write: a stream may go on for hours, but its reader must take what is sent.
	writeTime = time.Minute
	idleTime  = 2 * time.Minute
	maxHeader = 32 << 10
)

// Config is what New needs; the zero value is fine.
type Config struct {
	// Conns is how many connections may be open. Defaults to MaxConns.
	Conns int
	// Bodies is how many bytes the bodies of requests may hold together. Defaults to MaxBodies.
	Bodies int64
	// Now is the clock of failed attempts. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Limits are the bounds of one server.
type Limits struct {
	Attempts *Attempts
	conns    *conns
	bodies   *bodies
}

// New makes the limits of one server.
func New(c Config) *Limits {
	if c.Conns == 0 {
		c.Conns = MaxConns
	}
	if c.Bodies == 0 {
		c.Bodies = MaxBodies
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Limits{
		Attempts: newAttempts(c.Now, c.Logger),
		conns:    &conns{max: c.Conns, open: map[*conn]struct{}{}},
		bodies:   &bodies{max: c.Bodies, freed: make(chan struct{})},
	}
}

// Listener counts the connections of a listener. It must be below TLS, so that a handshake counts as well.
func (l *Limits) Listener(of net.Listener) net.Listener { return &listener{of, l.conns} }

// Server is an http.Server for connections of l.Listener. Only reading and single writes have deadlines: an answer may
// stream.
func (l *Limits) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: l.bodies.handler(h), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		ConnContext: withConn,
	}
}

// Usage is what the limits count at the moment, and what they have refused.
type Usage struct {
	Conns, BodyBytes           int64 // now
	ConnsClosed, BodiesRefused int64 // since the start
}

// Usage reads the counts.
func (l *Limits) Usage() Usage {
	var u Usage
	u.Conns, u.ConnsClosed = l.conns.usage()
	u.BodyBytes, u.BodiesRefused = l.bodies.usage()
	return u
}

// Package limit limits the resources that a server spends on unauthenticated callers: connections, bytes of request bodies, and
// failed sign-in attempts. It does not decide which callers are allowed: internal/api and internal/api/console check
// credentials and report the results to this package.
package limit

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// MaxConns is the number of connections that a server has open at the same time.
	MaxConns = 1000
	// reserved is the number of connections that only unauthenticated callers can use, such as health checks.
	reserved = 16
	// FreeBody is the number of bytes of each body that do not count toward MaxBodies: small requests never wait for large ones.
	FreeBody = 16 << 10
	// MaxBodies is the number of bytes that the bodies of all requests can use together.
	MaxBodies = 32 << 20
	// bodyTime is the time limit for receiving a body.
	bodyTime = 30 * time.Second
	// bodyWait is how long a body waits for the memory that other bodies use.
	bodyWait = 2 * time.Second
	// headerTime is the time limit for the TLS handshake, and for receiving the header of a request.
	headerTime = 10 * time.Second
	// writeTime is the time limit for one write. A stream can take hours, but its client must keep reading.
	writeTime = time.Minute
	idleTime  = 2 * time.Minute // between requests on a connection
	maxHeader = 32 << 10        // bytes
)

// Config configures Limits. The zero value is valid.
type Config struct {
	// Conns is the maximum number of open connections. Defaults to MaxConns.
	Conns int
	// Bodies is the maximum number of bytes that request bodies use together. Defaults to MaxBodies.
	Bodies int64
	// Now is the clock for failed attempts. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Limits are the limits of one server. All methods are safe for concurrent use.
type Limits struct {
	Attempts *Attempts
	conns    *conns
	bodies   *bodies
}

// New returns the limits of one server.
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

// Listener wraps a listener to limit its connections. Put it below TLS, so that connections in a handshake count as well.
func (l *Limits) Listener(inner net.Listener) net.Listener { return &listener{inner, l.conns} }

// Server returns an http.Server for connections of l.Listener. It has time limits for reading and for single writes, but none
// for a response as a whole, because responses can be streams.
func (l *Limits) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: l.bodies.handler(h), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		ConnContext: withConn,
	}
}

// Usage is the current use of the limited resources, and how often a limit was exceeded.
type Usage struct {
	Conns, BodyBytes           int64 // now
	ConnsClosed, BodiesRefused int64 // since the start
}

// Usage returns the current counts.
func (l *Limits) Usage() Usage {
	var u Usage
	u.Conns, u.ConnsClosed = l.conns.usage()
	u.BodyBytes, u.BodiesRefused = l.bodies.usage()
	return u
}

package limit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// ErrBusy is returned by Read of a request's body if the bodies of other requests use all the memory for bodies.
var ErrBusy = errors.New("too many large requests at the same time: try again")

// bodies is a budget of memory for request bodies. A body counts from when it is read until the request has been answered.
type bodies struct {
	max int64 // bytes

	mu      sync.Mutex
	used    int64         // bytes
	refused int64         // bodies
	freed   chan struct{} // closed and replaced when bytes become free
}

// take reserves n bytes. It waits for them, at most bodyWait, and then returns ErrBusy.
func (b *bodies) take(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, bodyWait)
	defer cancel()
	for {
		freed := b.try(n)
		if freed == nil {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			b.mu.Lock()
			b.refused++
			b.mu.Unlock()
			return ErrBusy
		}
	}
}

// try reserves n bytes and returns nil, or returns a channel that is closed when bytes become free.
func (b *bodies) try(n int64) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.max {
		return b.freed
	}
	b.used += n
	return nil
}

// give releases n bytes, and wakes up all waiting bodies, which try again.
func (b *bodies) give(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	close(b.freed)
	b.freed = make(chan struct{})
}

func (b *bodies) usage() (used, refused int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.refused
}

// handler limits the bodies of requests. A connection is closed if the handler answers before it has read the whole body:
// net/http would otherwise wait for the rest of the body and discard it.
func (b *bodies) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		in := &body{ReadCloser: r.Body, ctx: r.Context(), all: b, w: w, conn: http.NewResponseController(w)}
		_ = in.conn.SetReadDeadline(time.Now().Add(bodyTime)) // fails only with httptest's recorder
		w.Header().Set("Connection", "close")
		defer in.finish()
		r = r.WithContext(in.ctx) // a copy: net/http checks the type of the body in its own request
		r.Body = in
		next.ServeHTTP(w, r)
	})
}

// body is the body of one request.
type body struct {
	io.ReadCloser
	ctx      context.Context // the request's, because Read has no context
	all      *bodies
	w        http.ResponseWriter
	conn     *http.ResponseController
	read     int64 // bytes read so far
	held     int64 // bytes reserved in all
	complete bool
}

// chunk is the number of bytes that are reserved before each read. At most this much of a reservation is unused.
const chunk = 16 << 10

// Read reserves memory before it reads, except for the first FreeBody bytes. At the end of the body, it restores what handler set
// for a body that is not read completely: the connection stays open, and has no read deadline.
func (b *body) Read(p []byte) (int, error) {
	p = p[:min(len(p), chunk)]
	if more := b.read + int64(len(p)) - FreeBody - b.held; more > 0 {
		if err := b.all.take(b.ctx, more); err != nil {
			return 0, err
		}
		b.held += more
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if errors.Is(err, io.EOF) && !b.complete {
		b.complete = true
		b.w.Header().Del("Connection")
		_ = b.conn.SetReadDeadline(time.Time{}) // the deadline is only for the body
	}
	return n, err
}

// finish releases the reservation when the request has been answered. If the body was not read completely, it stops net/http
// from reading the rest, and lets the connection linger so that the client receives the answer (conn.Close).
func (b *body) finish() {
	b.all.give(b.held)
	if b.complete {
		return
	}
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
	if c, ok := b.ctx.Value(connKey{}).(*conn); ok {
		c.unread.Store(true)
	}
}

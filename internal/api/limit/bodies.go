package limit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// ErrBusy is what reading a body gives when the bodies of other requests take all the room.
var ErrBusy = errors.New("too many large requests at the same time: try again")

// bodies are the bytes that the bodies of requests hold, from reading them until the request has been answered.
type bodies struct {
	max int64

	mu      sync.Mutex
	used    int64
	refused int64
	freed   chan struct{} // closed, and replaced, when something becomes free
}

// take waits for room, but not for long.
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

// try takes n, or says what to wait for.
func (b *bodies) try(n int64) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.max {
		return b.freed
	}
	b.used += n
	return nil
}

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

// handler bounds the bodies of requests. A request that is answered before its body has been read ends the connection:
// net/http would read on, and wait, for what nobody needs.
func (b *bodies) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		in := &body{ReadCloser: r.Body, ctx: r.Context(), all: b, w: w, conn: http.NewResponseController(w)}
		_ = in.conn.SetReadDeadline(time.Now().Add(bodyTime)) // not supported by a test's recorder
		w.Header().Set("Connection", "close")
		defer in.finish()
		r = r.WithContext(in.ctx) // a copy: net/http looks at the type of its own request's body
		r.Body = in
		next.ServeHTTP(w, r)
	})
}

// body is one request's body.
type body struct {
	io.ReadCloser
	ctx        context.Context // the request's: a reader gets none by its calls
	all        *bodies
	w          http.ResponseWriter
	conn       *http.ResponseController
	read, held int64
	whole      bool
}

// chunk is how much is taken before reading: as much may be held for nothing.
const chunk = 16 << 10

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
	if errors.Is(err, io.EOF) && !b.whole {
		b.whole = true
		b.w.Header().Del("Connection")
		_ = b.conn.SetReadDeadline(time.Time{}) // what follows may take as long as it likes
	}
	return n, err
}

func (b *body) finish() {
	b.all.give(b.held)
	if b.whole {
		return
	}
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
	if c, ok := b.ctx.Value(connKey{}).(*conn); ok {
		c.unread.Store(true)
	}
}

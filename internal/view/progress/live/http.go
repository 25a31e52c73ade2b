package live

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/rayorch/rayorch/internal/view/progress"
)

// maxWait is the longest duration of a long poll; a client that wants to wait longer sends another request.
const maxWait = time.Minute

// entriesAtOnce is the maximum number of entries in one event of a stream.
const entriesAtOnce = 500

// Handler returns a handler that responds to ?execution=ARN&after=EVENT with the changes since that event. By default, it responds once:
// immediately if there are changes, otherwise when there are, or after timeout seconds. With Accept: text/event-stream, it sends changes
// until the execution is closed. fail responds to errors of the source.
func (s *Views) Handler(fail func(http.ResponseWriter, *http.Request, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		after, err1 := strconv.ParseInt(cmp.Or(q.Get("after"), "0"), 10, 64)
		seconds, err2 := strconv.ParseFloat(cmp.Or(q.Get("timeout"), "20"), 64)
		if err1 != nil || err2 != nil || after < 0 || seconds < 0 || math.IsNaN(seconds) {
			http.Error(w, "after must be an integer, and timeout a number of seconds", http.StatusBadRequest)
			return
		}
		f := s.watch(q.Get("execution"))
		defer s.release(f)
		c := &client{s: s, f: f, after: after}
		if r.Header.Get("Accept") == "text/event-stream" {
			if id, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
				c.after = id // a browser reconnects
			}
			c.stream(w, r, fail)
			return
		}
		d, err := c.once(r.Context(), time.Duration(min(seconds, maxWait.Seconds())*float64(time.Second)))
		if err != nil {
			fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = write(w, d) // fails only if the client has disconnected
	}
}

// client is a request that watches an execution.
type client struct {
	s      *Views
	f      *cached
	after  int64          // the event up to which the client knows the execution
	mark   progress.Mark  // the same as a position, which also covers changes between events; 0 if unknown
	closed bool           // the execution was closed at the last call of next
	shown  progress.Delta // the last delta of a stream
}

// next returns the changes that the client does not know yet.
func (c *client) next(ctx context.Context) (d progress.Delta, err error) {
	first := c.mark == 0
	err = c.s.with(ctx, c.f, func(v *progress.View) {
		if first {
			d, c.mark = v.After(c.after)
		} else {
			d, c.mark = v.Since(c.mark)
		}
		c.closed = v.Closed()
	})
	return d, err
}

// once returns the next changes. If there are none, it waits for an event, at most for the given duration.
func (c *client) once(ctx context.Context, most time.Duration) (progress.Delta, error) {
	d, err := c.next(ctx)
	if err != nil || d.Last > c.after || c.closed || most == 0 {
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, most+maxWait) // a slow source gets some more time
	defer cancel()
	if err := c.s.src.Wait(ctx, c.f.arn, c.after, most); err != nil {
		return d, err
	}
	c.mark = 0
	return c.next(ctx)
}

// stream sends deltas as server-sent events. The id of each is the event up to which the client then knows the execution, so that a browser
// that reconnects continues there.
func (c *client) stream(w http.ResponseWriter, r *http.Request, fail func(http.ResponseWriter, *http.Request, error)) {
	d, err := c.next(r.Context())
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for err == nil {
		if c.news(d) {
			if send(w, d, c.after) != nil {
				return
			}
			c.after, c.shown = d.Last, d
		}
		_ = flush.Flush() // if the client has disconnected, the context ends
		if c.closed {
			fmt.Fprintf(w, "event: closed\ndata: {\"status\":%q}\n\n", d.Status)
			return
		}
		if err = c.s.src.Wait(r.Context(), c.f.arn, c.after, outsideInterval); err == nil {
			d, err = c.next(r.Context())
		}
	}
}

// news reports whether a delta contains anything that the client does not know yet.
func (c *client) news(d progress.Delta) bool {
	return len(d.Entries) > 0 || d.Last != c.shown.Last || d.Parked != c.shown.Parked || d.Status != c.shown.Status
}

// write writes a delta as JSON. It encodes one entry at a time, because the delta of a long history can have tens of megabytes.
func write(w io.Writer, d progress.Delta) error {
	entries := d.Entries
	d.Entries = []progress.Shown{}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	head, tail, _ := bytes.Cut(text, []byte(`"entries":[]`)) // cannot occur within a string, where the quotes are escaped
	out := bufio.NewWriter(w)
	_, _ = out.Write(append(head, `"entries":[`...)) // Flush returns the errors of writes
	for i := range entries {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		text, err := json.Marshal(entries[i])
		if err != nil {
			return err
		}
		_, _ = out.Write(text)
	}
	_, _ = out.Write(append([]byte("]"), tail...))
	_ = out.WriteByte('\n')
	return out.Flush()
}

// send writes a delta as one server-sent event, or as several if it has many entries. The id of all but the last is the event that the
// client knew before: if the connection breaks between them, the client requests all of them again.
func send(w http.ResponseWriter, d progress.Delta, after int64) error {
	for _, part := range d.Split(entriesAtOnce, after) {
		text, err := json.Marshal(part)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", part.Last, text); err != nil {
			return err
		}
	}
	return nil
}

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

// maxWait bounds a request that waits for news; the client asks again.
const maxWait = time.Minute

// entriesAtOnce is how many entries an event of the stream has at most.
const entriesAtOnce = 500

// Handler answers ?execution=ARN&after=EVENT with what has changed since that event. By default, it answers once: immediately if
// something has changed, otherwise when something changes, or after timeout seconds. With Accept: text/event-stream, it sends changes
// until the execution is closed. fail answers an error of the source.
func (s *Folds) Handler(fail func(http.ResponseWriter, *http.Request, error)) http.HandlerFunc {
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
				c.after = id // a browser that comes back
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
		_ = write(w, d) // the client is gone when this fails
	}
}

// client is a request that watches an execution.
type client struct {
	s      *Folds
	f      *fold
	after  int64         // the event up to which it knows the execution
	mark   progress.Mark // the same for the stream, more exactly
	closed bool
	shown  progress.Delta
}

// next is what the client does not know yet.
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

// once waits for an event, at most for a given time.
func (c *client) once(ctx context.Context, most time.Duration) (progress.Delta, error) {
	d, err := c.next(ctx)
	if err != nil || d.Last > c.after || c.closed || most == 0 {
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, most+maxWait) // the source may be slow, but not forever
	defer cancel()
	if err := c.s.src.Wait(ctx, c.f.arn, c.after, most); err != nil {
		return d, err
	}
	c.mark = 0
	return c.next(ctx)
}

// stream sends deltas as server-sent events, each with the event up to which the client then knows the execution.
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
		_ = flush.Flush() // a client that is gone ends the context
		if c.closed {
			fmt.Fprintf(w, "event: closed\ndata: {\"status\":%q}\n\n", d.Status)
			return
		}
		if err = c.s.src.Wait(r.Context(), c.f.arn, c.after, outsideTime); err == nil {
			d, err = c.next(r.Context())
		}
	}
}

// news reports whether a delta contains anything that the client does not know.
func (c *client) news(d progress.Delta) bool {
	return len(d.Entries) > 0 || d.Last != c.shown.Last || d.Parked != c.shown.Parked || d.Status != c.shown.Status
}

// write writes a delta as JSON, one entry at a time: that of a long history has tens of megabytes.
func write(w io.Writer, d progress.Delta) error {
	entries := d.Entries
	d.Entries = []progress.Shown{}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	head, tail, _ := bytes.Cut(text, []byte(`"entries":[]`)) // in a string of the delta, the quotes would be escaped
	out := bufio.NewWriter(w)
	_, _ = out.Write(append(head, `"entries":[`...)) // Flush returns the error of any write
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

// send writes a delta as one event or, where it has many entries, as several. The id of all but the last is the event that the client
// knew before: if the connection breaks between them, it asks for all of them again.
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

package ray

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// frameBytes is the maximum size of a WebSocket frame of the log tail. Ray sends at most ten lines, or 20,000 characters and one line.
const frameBytes = 64 << 20

// Tail emits the lines of a job's log while the job prints them. It returns when the job has ended and Ray has closed the tail, or when
// ctx ends. If the tail breaks, or Ray closes it while the job is running (ray-project/ray#57002, #51601, #60665), Tail opens it again.
func (l *Log) Tail(ctx context.Context) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		before := l.seen
		err := l.tailOnce(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if done, fatal := l.tailDone(ctx, err); done {
			return fatal
		}
		if l.seen > before {
			wait = 250 * time.Millisecond
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// tailDone reports whether Tail must return after the tail has ended with an error or nil, and what it must return.
func (l *Log) tailDone(ctx context.Context, tail error) (done bool, err error) {
	job, err := l.c.Get(ctx, l.id)
	if err != nil {
		return !Temporary(err), err
	}
	return job.Status.Terminal() && tail == nil, nil
}

// tailOnce opens the tail and reads it until it ends. It returns nil if Ray has closed it normally.
func (l *Log) tailOnce(ctx context.Context) error {
	conn, err := l.c.dial(ctx, jobPath(l.id)+"/logs/tail")
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	counter := &lineCounter{log: l}
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return closedWell(err)
		}
		if kind == websocket.MessageText {
			counter.write(string(data))
		}
	}
}

func closedWell(err error) error {
	if status := websocket.CloseStatus(err); status == websocket.StatusNormalClosure || status == websocket.StatusNoStatusRcvd {
		return nil
	}
	return err
}

// dial opens a WebSocket. It does not send an Origin header: Ray rejects requests with this header as browser traffic.
func (c *Client) dial(ctx context.Context, path string) (*websocket.Conn, error) {
	header := http.Header{}
	c.addToken(header)
	dialing, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	options := &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header}
	address := "ws" + strings.TrimPrefix(c.base, "http") + path
	conn, resp, err := websocket.Dial(dialing, address, options) //nolint:bodyclose // the library replaces the body with one in memory
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, c.refused("follow the job's log", resp)
		}
		return nil, c.fail("follow the job's log", Unreachable, 0, "", errors.Unwrap(err))
	}
	conn.SetReadLimit(frameBytes)
	return conn, nil
}

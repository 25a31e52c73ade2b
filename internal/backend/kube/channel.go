package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/moby/spdystream"
)

// The protocols of a port-forward: SPDY streams inside a WebSocket, which works through proxies, and for API servers before 1.31
// plain SPDY after an HTTP upgrade.
const (
	forwardProtocol = "portforward.k8s.io"
	tunnelProtocol  = "SPDY/3.1+" + forwardProtocol
)

// channel is a connection to a port of a pod.
type channel struct {
	raw    net.Conn
	conn   *spdystream.Connection
	data   *spdystream.Stream
	failed chan []byte // receives the error message of the kubelet once; empty if there is none
}

// openChannel connects to a port of a pod. It tries a WebSocket first and then SPDY, unless the port-forward was denied (403) or
// the pod does not exist (404).
func (c *Client) openChannel(ctx context.Context, upgrade *http.Client, path string, port int) (*channel, error) {
	conn, err := c.tunnel(ctx, upgrade, path)
	if err != nil && Code(err) != http.StatusForbidden && Code(err) != http.StatusNotFound {
		conn, err = c.upgraded(ctx, upgrade, path)
	}
	if err != nil {
		return nil, err
	}
	return newChannel(conn, port)
}

// newChannel opens the streams for a port on a connection.
func newChannel(conn net.Conn, port int) (*channel, error) {
	streams, err := spdystream.NewConnection(conn, false)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	go streams.Serve(spdystream.NoOpStreamHandler) // ends with the connection
	ch := &channel{raw: conn, conn: streams, failed: make(chan []byte, 1)}
	if err := ch.open(port); err != nil {
		ch.Close()
		return nil, err
	}
	return ch, nil
}

// open creates the two streams of a connection: one for errors, which the client only reads, and one for data.
func (ch *channel) open(port int) error {
	headers := func(kind string) http.Header {
		return http.Header{"Streamtype": {kind}, "Port": {strconv.Itoa(port)}, "Requestid": {"0"}}
	}
	errs, err := ch.conn.CreateStream(headers("error"), nil, false)
	if err != nil {
		return err
	}
	if err := errs.WaitTimeout(openWait); err != nil {
		return err
	}
	_ = errs.Close() // the client's half
	go func() {
		text, _ := io.ReadAll(io.LimitReader(errs, 4<<10)) // ends with the connection
		ch.failed <- text
	}()
	ch.data, err = ch.conn.CreateStream(headers("data"), nil, false)
	if err != nil {
		return err
	}
	return ch.data.WaitTimeout(openWait)
}

// openWait is the maximum time to wait until the kubelet accepts a stream, or sends the reason why it ended one.
const openWait = 30 * time.Second

// problem waits for the error message of the kubelet, which may arrive after the end of the data, and returns it as an error, or
// nil if there is none. The connection must stay open until then, because containerd 1.6 sends nothing after it receives GOAWAY.
func (ch *channel) problem() error {
	_ = ch.data.Reset() // discard data that still arrives, for example after the local client disconnected
	select {
	case text := <-ch.failed:
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return errors.New(string(text))
		}
	case <-time.After(openWait): // no message
	}
	return nil
}

// Close closes the connection. It also closes the underlying connection, because closing the SPDY connection waits for its
// streams, which the other side may never close, for example after its pod was killed.
func (ch *channel) Close() {
	_ = ch.conn.Close()
	_ = ch.raw.Close()
}

// tunnel opens a port-forward over a WebSocket.
func (c *Client) tunnel(ctx context.Context, upgrade *http.Client, path string) (net.Conn, error) {
	target, err := c.url(Request{Path: path})
	if err != nil {
		return nil, err
	}
	ws, answer, err := websocket.Dial(ctx, //nolint:bodyclose // the body is the connection, or a copy in memory
		target.String(), &websocket.DialOptions{
			HTTPClient: upgrade, Subprotocols: []string{tunnelProtocol}, CompressionMode: websocket.CompressionDisabled,
		})
	if err != nil {
		return nil, upgradeError(path, answer, err)
	}
	if ws.Subprotocol() != tunnelProtocol {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the API server does not support %s", tunnelProtocol)
	}
	ws.SetReadLimit(-1)
	return websocket.NetConn(context.WithoutCancel(ctx), ws, websocket.MessageBinary), nil
}

// upgradeError returns the error of a failed upgrade: a StatusError if the server responded with an error, or else err.
func upgradeError(path string, answer *http.Response, err error) error {
	if answer == nil || answer.StatusCode < 300 {
		return err
	}
	var body []byte
	if answer.Body != nil {
		body, _ = io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // a partial body is enough for the message
	}
	_, text, _ := strings.Cut(answer.Status, " ")
	return newStatusError(Request{Path: path}, Response{Status: answer.StatusCode, StatusText: text, Header: answer.Header, Body: body})
}

// upgraded opens a port-forward over SPDY after an HTTP upgrade.
func (c *Client) upgraded(ctx context.Context, upgrade *http.Client, path string) (net.Conn, error) {
	target, err := c.url(Request{Path: path})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {forwardProtocol}}
	answer, err := upgrade.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	both, ok := answer.Body.(io.ReadWriteCloser)
	if answer.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer answer.Body.Close()
		return nil, upgradeError(path, answer, fmt.Errorf("port-forward: the API server responded with %s", answer.Status))
	}
	return bodyConn{ReadWriteCloser: both}, nil
}

// bodyConn makes the body of an upgraded response a net.Conn. Package spdystream does not depend on addresses or deadlines.
type bodyConn struct{ io.ReadWriteCloser }

func (b bodyConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (b bodyConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (b bodyConn) SetDeadline(time.Time) error      { return nil }
func (b bodyConn) SetReadDeadline(time.Time) error  { return nil }
func (b bodyConn) SetWriteDeadline(time.Time) error { return nil }

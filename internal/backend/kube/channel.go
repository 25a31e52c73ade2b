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

// The protocols of a port-forward: SPDY streams inside a WebSocket, which passes proxies, and for API servers before 1.31
// bare SPDY after an upgrade.
const (
	forwardProtocol = "portforward.k8s.io"
	tunnelProtocol  = "SPDY/3.1+" + forwardProtocol
)

// channel is one connection to a port of a pod.
type channel struct {
	raw    net.Conn
	conn   *spdystream.Connection
	data   *spdystream.Stream
	failed chan []byte // what the kubelet says of a failure, once
}

// openChannel connects to a pod's port.
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

// newChannel opens the streams of a connection.
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

// open makes the two streams of a connection: one for errors, which the client only reads, and one for the data.
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
	_ = errs.Close() // our half
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

// openWait bounds how long the kubelet may take to accept a stream, and to say why it ended one.
const openWait = 30 * time.Second

// problem waits for what the kubelet says of a failure, which may come after the end of the data. The connection stays open
// until then: containerd 1.6 sends nothing more once it has received GOAWAY.
func (ch *channel) problem() error {
	_ = ch.data.Reset() // discards data that still arrives, as when the local client has gone
	select {
	case text := <-ch.failed:
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return errors.New(string(text))
		}
	case <-time.After(openWait): // it has nothing to say
	}
	return nil
}

// Close ends the connection, also one whose streams the other side does not close any more, as when its pod was killed:
// SPDY's own end would wait for them.
func (ch *channel) Close() {
	_ = ch.conn.Close()
	_ = ch.raw.Close()
}

func (c *Client) tunnel(ctx context.Context, upgrade *http.Client, path string) (net.Conn, error) {
	target, err := c.url(Request{Path: path})
	if err != nil {
		return nil, err
	}
	ws, answer, err := websocket.Dial(ctx, //nolint:bodyclose // it is the connection, or a copy in memory
		target.String(), &websocket.DialOptions{
			HTTPClient: upgrade, Subprotocols: []string{tunnelProtocol}, CompressionMode: websocket.CompressionDisabled,
		})
	if err != nil {
		return nil, upgradeError(path, answer, err)
	}
	if ws.Subprotocol() != tunnelProtocol {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the api server does not speak %s", tunnelProtocol)
	}
	ws.SetReadLimit(-1)
	return websocket.NetConn(context.WithoutCancel(ctx), ws, websocket.MessageBinary), nil
}

// upgradeError keeps what the server answered.
func upgradeError(path string, answer *http.Response, err error) error {
	if answer == nil || answer.StatusCode < 300 {
		return err
	}
	var body []byte
	if answer.Body != nil {
		body, _ = io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // what came of it is enough to say why
	}
	_, text, _ := strings.Cut(answer.Status, " ")
	return newStatusError(Request{Path: path}, Response{Status: answer.StatusCode, StatusText: text, Header: answer.Header, Body: body})
}

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
		return nil, upgradeError(path, answer, fmt.Errorf("the api server answered %s to a port-forward", answer.Status))
	}
	return bodyConn{ReadWriteCloser: both}, nil
}

// bodyConn is the body of an upgraded answer as the connection that it is; spdystream asks for no address and no deadline
// that matter.
type bodyConn struct{ io.ReadWriteCloser }

func (b bodyConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (b bodyConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (b bodyConn) SetDeadline(time.Time) error      { return nil }
func (b bodyConn) SetReadDeadline(time.Time) error  { return nil }
func (b bodyConn) SetWriteDeadline(time.Time) error { return nil }

package kube

import (
	"context"
	"io"
	"net"
	"net/http"
)

// What fuzz targets reach for.
var (
	DecodeEvent    = decodeEvent
	NewStatusError = newStatusError
	Unified        = unified
)

// Through makes a client's calls go through a transport of the test's.
func Through(c *Client, t http.RoundTripper) { c.http.Transport = t }

// DialUpgraded connects to a port of a pod as through an API server that knows no WebSockets.
func DialUpgraded(ctx context.Context, c *Client, path string, port int) (io.ReadWriteCloser, error) {
	upgrade, err := c.upgrader()
	if err != nil {
		return nil, err
	}
	conn, err := c.upgraded(ctx, upgrade, path)
	if err != nil {
		return nil, err
	}
	ch, err := newChannel(conn, port)
	if err != nil {
		return nil, err
	}
	return ch.data, nil
}

// Problem connects to a port of a pod, reads what it sends to its end, and says what the kubelet said of a failure.
func Problem(conn net.Conn, port int) error {
	ch, err := newChannel(conn, port)
	if err != nil {
		return err
	}
	defer ch.Close()
	if _, err := io.ReadAll(ch.data); err != nil {
		return err
	}
	return ch.problem()
}

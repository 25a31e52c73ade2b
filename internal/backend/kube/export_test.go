package kube

import (
	"context"
	"io"
	"net"
	"net/http"
)

// Unexported functions for tests.
var (
	DecodeEvent    = decodeEvent
	NewStatusError = newStatusError
	Unified        = unified
)

// Through sets the transport of a client.
func Through(c *Client, t http.RoundTripper) { c.http.Transport = t }

// DialUpgraded connects to a port of a pod without a WebSocket, as with API servers before 1.31.
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

// Problem connects to a port of a pod, reads all data, and returns the error of the kubelet.
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

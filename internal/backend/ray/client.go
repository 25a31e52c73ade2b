// Package ray is a client of Ray. It contains a typed client of the Jobs REST API, the packaging of working directories and modules, a
// watcher that waits for jobs, and code that finds or starts a Ray on this machine. It knows nothing about executions: raytask and the
// commands call it.
//
// The API is documented only by Ray's source (python/ray/dashboard/modules/job). This package is tested with Ray 2.60.0; comments say
// where older releases differ.
package ray

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config configures a Client.
type Config struct {
	// Address is the http or https address of the dashboard. It may contain the path of a proxy.
	Address string
	// Token is sent with every request, unless it is empty.
	Token string
	// Withheld means that a token exists but must not be sent to this address. It only affects error messages.
	Withheld bool
	// CAFile contains CA certificates in PEM format for https addresses. Default: the certificates of the system.
	CAFile string
	// Timeout is the timeout of a small request. It is long by default (1 minute), because a Ray on a busy machine can be slow.
	// Connecting has a timeout of 10 s, and an upload of at least 10 minutes.
	Timeout time.Duration
	// HTTP sends the requests. CAFile has an effect only if HTTP is nil.
	HTTP *http.Client
}

// Client is a client of Ray's Jobs API. It is safe for concurrent use. Its methods return errors of type *Error.
type Client struct {
	base     string
	token    string
	withheld bool
	timeout  time.Duration
	http     *http.Client
}

const (
	submitTimeout = 60 * time.Second // the first submission on a new head takes seconds
	uploadTimeout = 10 * time.Minute
	// errorBytes is the maximum size of an error response that is read.
	errorBytes = 64 << 10
	// responseBytes is the maximum size of a response. A list of 10,000 jobs has about 6 MB.
	responseBytes = 256 << 20
)

// New returns a client. It does not connect to the Ray.
func New(cfg Config) (*Client, error) {
	base, err := httpAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base, token: cfg.Token, withheld: cfg.Withheld, timeout: cfg.Timeout, http: cfg.HTTP}
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	if c.http == nil {
		if c.http, err = newHTTP(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func newHTTP(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file %s contains no PEM certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, CheckRedirect: noRedirect}, nil
}

// noRedirect disables redirects, which could send the token or a job to another server.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Address returns the base URL, without a trailing slash.
func (c *Client) Address() string { return c.base }

// call is a request.
type call struct {
	op           string // describes the request in errors
	method, path string
	body         io.Reader
	size         int64                 // of the body
	kind         string                // content type of the body; empty if there is none
	timeout      time.Duration         // the timeout of the client is used if it is longer
	read         func(io.Reader) error // reads the response; may be nil
}

// do sends a request and reads the response.
func (c *Client) do(ctx context.Context, r call) error {
	ctx, cancel := context.WithTimeout(ctx, max(c.timeout, r.timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, r.body)
	if err != nil {
		return c.fail(r.op, Invalid, 0, "", err)
	}
	c.addToken(req.Header)
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
		req.ContentLength = r.size
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.fail(r.op, Unreachable, 0, "", plainCause(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refused(r.op, resp)
	}
	return c.accept(r, resp)
}

// accept reads a successful response.
func (c *Client) accept(r call, resp *http.Response) error {
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return c.fail(r.op, NotRay, resp.StatusCode, "", errors.New("the response is a web page"))
	}
	if r.read == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, errorBytes))
		return nil
	}
	err := r.read(io.LimitReader(resp.Body, responseBytes))
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return c.fail(r.op, NotRay, resp.StatusCode, "", err)
	}
	if err != nil {
		return c.fail(r.op, Unreachable, resp.StatusCode, "", plainCause(err))
	}
	return nil
}

// addToken adds the token to the headers of a request. If the request goes through the proxy of a Kubernetes API server, Authorization
// contains the credentials for the API server, so Ray also accepts another header. Requests that go directly to Ray contain both.
func (c *Client) addToken(h http.Header) {
	if c.token == "" {
		return
	}
	h.Set("X-Ray-Authorization", "Bearer "+c.token)
	if h.Get("Authorization") == "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
}

// plainCause removes the method and URL that net/http adds to an error: Error contains the operation and the address.
func plainCause(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return errors.New("no response in time")
		}
		return wrapped.Err
	}
	return err
}

// decodeInto returns a function that decodes a JSON response. A value of the wrong type is a syntax error, so that it counts as NotRay.
func decodeInto(v any) func(io.Reader) error {
	return func(r io.Reader) error {
		err := json.NewDecoder(r).Decode(v)
		if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
			return &json.SyntaxError{Offset: kind.Offset}
		}
		return err
	}
}

func encoded(v any) (*bytes.Reader, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return bytes.NewReader(data), nil
}

// Version is the version of a Ray.
type Version struct {
	API        string `json:"version"`
	RayVersion string `json:"ray_version"`
	RayCommit  string `json:"ray_commit"`
	// SessionName is different for each head, unless a head was restarted with the store of the previous one.
	SessionName string `json:"session_name"`
}

// Version returns the version of the Ray.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, call{op: "get the version", method: http.MethodGet, path: "/api/version", read: decodeInto(&v)})
	if err == nil && v.RayVersion == "" {
		err = c.fail("get the version", NotRay, http.StatusOK, "", errors.New("the response contains no ray_version"))
	}
	return v, err
}

// Package ray speaks to Ray: a typed client of the Jobs REST API, the packages that working directories travel in, one
// watcher per Ray that sees jobs end, and how a Ray is found here or started. It is no task runner and knows nothing of
// executions: raytask and the commands call it.
//
// The API is Ray's own (python/ray/dashboard/modules/job, tried with 2.60.0); what older releases answer otherwise is
// said where it matters.
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

// Config says which Ray a Client speaks to.
type Config struct {
	// Address is the dashboard's, http or https, with a path where a proxy stands before it.
	Address string
	// Token is sent with every request. Defaults to none.
	Token string
	// Withheld says that there is a token which must not be sent to this address: errors then say so.
	Withheld bool
	// CAFile holds the certificates, PEM, that sign an https address. Defaults to the system's.
	CAFile string
	// Timeout bounds one small request. Defaults to a minute, as a Ray on a busy machine takes its time; where nobody takes
	// the connection, 10 s are enough. An upload has longer.
	Timeout time.Duration
	// HTTP sends the requests. Defaults to a client of our own; then CAFile counts.
	HTTP *http.Client
}

// Client is safe for use by many goroutines. Methods fail with *Error.
type Client struct {
	base     string
	token    string
	withheld bool
	timeout  time.Duration
	http     *http.Client
}

const (
	submitTimeout = 60 * time.Second // the first submit on a new head takes seconds
	uploadTimeout = 10 * time.Minute
	errorBytes    = 64 << 10
	// A Ray's list of 10,000 records has some 6 MB.
	answerBytes = 256 << 20
)

// New makes a client; it sends nothing.
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
			return nil, fmt.Errorf("the CA file %s holds no PEM certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, CheckRedirect: noRedirect}, nil
}

// noRedirect keeps a token and a job from going where somebody else points.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Address is the base URL, without a slash at its end.
func (c *Client) Address() string { return c.base }

// call is one request and how its answer is read.
type call struct {
	op, method, path string
	body             io.Reader
	size             int64
	kind             string        // of the body; empty for none
	timeout          time.Duration // the client's where that is longer
	read             func(io.Reader) error
}

func (c *Client) do(ctx context.Context, r call) error {
	ctx, cancel := context.WithTimeout(ctx, max(c.timeout, r.timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, r.body)
	if err != nil {
		return c.fail(r.op, Invalid, 0, "", err)
	}
	c.dress(req.Header)
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

func (c *Client) accept(r call, resp *http.Response) error {
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return c.fail(r.op, NotRay, resp.StatusCode, "", errors.New("a web page came back"))
	}
	if r.read == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, errorBytes))
		return nil
	}
	err := r.read(io.LimitReader(resp.Body, answerBytes))
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return c.fail(r.op, NotRay, resp.StatusCode, "", err)
	}
	if err != nil {
		return c.fail(r.op, Unreachable, resp.StatusCode, "", plainCause(err))
	}
	return nil
}

// dress adds the token. Through a Kubernetes API server's proxy Authorization is the API server's own, so Ray has a
// header beside it; both are sent to a Ray that is asked directly.
func (c *Client) dress(h http.Header) {
	if c.token == "" {
		return
	}
	h.Set("X-Ray-Authorization", "Bearer "+c.token)
	if h.Get("Authorization") == "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
}

// plainCause drops the method and URL that net/http puts before: Error names them better.
func plainCause(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return errors.New("no answer in time")
		}
		return wrapped.Err
	}
	return err
}

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

// Version is what a Ray says of itself.
type Version struct {
	API        string `json:"version"`
	RayVersion string `json:"ray_version"`
	RayCommit  string `json:"ray_commit"`
	// SessionName changes with every new head that did not keep the former one's store.
	SessionName string `json:"session_name"`
}

// Version asks which Ray answers.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, call{op: "ask for the version", method: http.MethodGet, path: "/api/version", read: decodeInto(&v)})
	if err == nil && v.RayVersion == "" {
		err = c.fail("ask for the version", NotRay, http.StatusOK, "", errors.New("the answer names no ray_version"))
	}
	return v, err
}

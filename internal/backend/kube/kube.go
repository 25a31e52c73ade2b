// Package kube speaks to a Kubernetes API server: raw calls, server-side apply, following objects to their end, pods' logs,
// port-forwards, and the reasons why something does not run, in words that say what to do. It knows contexts and
// credentials from client-go, but none of its typed clients: what is sent and read is JSON. Task runners and commands call
// it; it knows nothing of pipelines or executions.
package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Config says which API server a Client speaks to, and as whom.
type Config struct {
	// Kubeconfig is a file, or several as the variable KUBECONFIG lists them. Defaults to KUBECONFIG, then ~/.kube/config.
	Kubeconfig string
	// Context is one of the kubeconfig's. Defaults to the current one; without any kubeconfig, in a pod, to its cluster.
	Context string
	// Endpoint and CertificateAuthority (PEM in base64) name a server without a kubeconfig, as the tasks of Step Functions do.
	Endpoint, CertificateAuthority string
	// Token makes the bearer token for Endpoint. It is asked for each request, so it keeps what it made while that is good.
	Token func(ctx context.Context) (string, error)
	// InCluster takes the pod's own service account.
	InCluster bool
	// Namespace overrides the one of the context.
	Namespace string
	// UserAgent defaults to rayorch.
	UserAgent string
	// Timeout bounds one request that is no stream. Defaults to 30 s.
	Timeout time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	rest      *rest.Config
	http      *http.Client
	base      *url.URL
	context   string
	namespace string
	timeout   time.Duration

	mu     sync.Mutex
	routes map[string]map[string]route // by apiVersion, then kind
}

// maxBody bounds what is read of an answer.
const maxBody = 32 << 20

// Open makes a client; it reaches for no server yet.
func Open(cfg Config) (*Client, error) {
	c := &Client{timeout: cfg.Timeout, routes: map[string]map[string]route{}}
	if c.timeout == 0 {
		c.timeout = 30 * time.Second
	}
	if err := c.locate(cfg); err != nil {
		return nil, err
	}
	if cfg.Namespace != "" {
		c.namespace = cfg.Namespace
	}
	c.rest.UserAgent = cfg.UserAgent
	if c.rest.UserAgent == "" {
		c.rest.UserAgent = "rayorch"
	}
	base, err := url.Parse(c.rest.Host)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("the server %q is no address such as https://HOST:6443", c.rest.Host)
	}
	c.base = base
	if c.http, err = rest.HTTPClientFor(c.rest); err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", c.rest.Host, err)
	}
	// The transport adds the credentials to every request, so that following a redirect would give them to others.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Server is the API server's address.
func (c *Client) Server() string { return c.rest.Host }

// Context is the kubeconfig context in use, "" without one.
func (c *Client) Context() string { return c.context }

// Namespace is the context's, or the pod's own, else "default".
func (c *Client) Namespace() string { return c.namespace }

// Request is a raw call.
type Request struct {
	// Method defaults to GET.
	Method string
	// Path is absolute, as kubectl get --raw takes it; it may carry a query of its own.
	Path  string
	Query url.Values
	Body  []byte
	// ContentType of the body defaults to application/json.
	ContentType string
	Header      http.Header
}

// Response is what the server answered.
type Response struct {
	Status     int
	StatusText string // such as Not Found
	Header     http.Header
	Body       []byte
}

// Do makes one call. An answer of 300 or more is a *StatusError beside the response; a server that did not answer is an
// *UnreachableError.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %s", c.timeout))
	defer cancel()
	answer, err := c.send(ctx, r)
	for notConnected(err) && ctx.Err() == nil {
		answer, err = c.send(ctx, r)
	}
	if err != nil {
		return Response{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if err != nil {
		return Response{}, c.unreachable(ctx, err)
	}
	if len(body) > maxBody {
		return Response{}, fmt.Errorf("%s answered with more than %d bytes", r, maxBody)
	}
	_, text, _ := strings.Cut(answer.Status, " ")
	res := Response{Status: answer.StatusCode, StatusText: text, Header: answer.Header, Body: body}
	if res.Status >= 300 {
		return res, newStatusError(r, res)
	}
	return res, nil
}

// Stream makes a call whose answer is read as it comes. The caller closes it.
func (c *Client) Stream(ctx context.Context, r Request) (io.ReadCloser, error) {
	answer, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode < 300 {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // what came of it is enough to say why
	_, text, _ := strings.Cut(answer.Status, " ")
	return nil, newStatusError(r, Response{Status: answer.StatusCode, StatusText: text, Header: answer.Header, Body: body})
}

func (c *Client) send(ctx context.Context, r Request) (*http.Response, error) {
	target, err := c.url(r)
	if err != nil {
		return nil, err
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for key, values := range r.Header {
		req.Header[key] = values
	}
	if len(r.Body) > 0 {
		req.Header.Set("Content-Type", orElse(r.ContentType, "application/json"))
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json, */*")
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return answer, nil
}

// url keeps a path on the server that the client is for.
func (c *Client) url(r Request) (*url.URL, error) {
	path, err := url.Parse(r.Path)
	if err != nil || path.Host != "" || path.Scheme != "" || !strings.HasPrefix(path.Path, "/") {
		return nil, fmt.Errorf("the path %q must start with one / and name no host", r.Path)
	}
	for part := range strings.SplitSeq(path.Path, "/") {
		if part == "." || part == ".." { // also written as %2e: another object's path
			return nil, fmt.Errorf("the path %q must not contain . or .. as a part", r.Path)
		}
	}
	target := *c.base
	if prefix := strings.TrimSuffix(c.base.Path, "/"); prefix != "" { // servers behind a gateway
		path.Path, path.RawPath = prefix+path.Path, ""
	}
	target.Path, target.RawPath = path.Path, path.RawPath
	query := path.Query()
	for key, values := range r.Query {
		query[key] = append(query[key], values...)
	}
	target.RawQuery = query.Encode()
	return &target, nil
}

func (r Request) String() string { return orElse(r.Method, http.MethodGet) + " " + r.Path }

// get decodes an answer.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	res, err := c.Do(ctx, Request{Path: path, Query: query})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("GET %s: the answer is not what Kubernetes sends: %w", path, err)
	}
	return nil
}

// Retry repeats what failed for a reason that may pass, ever slower, until ctx ends; then the last failure is the error.
func Retry(ctx context.Context, act func(context.Context) error) error {
	wait := 100 * time.Millisecond
	for {
		err := act(ctx)
		if err == nil || !Temporary(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(max(wait, retryAfter(err))):
			wait = min(2*wait, 5*time.Second)
		}
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

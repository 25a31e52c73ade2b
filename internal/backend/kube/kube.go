// Package kube is a client for the Kubernetes API: raw calls, server-side apply, following objects until they end, logs of pods,
// port-forwards, and explanations why a Job or pod does not run, with a solution. It uses client-go for contexts and credentials,
// but not its typed clients, which would make the binary much larger: objects are JSON.
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

// Config specifies the API server and the credentials of a Client.
type Config struct {
	// Kubeconfig is a file, or a list of files like the variable KUBECONFIG. Defaults to KUBECONFIG, then ~/.kube/config.
	Kubeconfig string
	// Context is a context of the kubeconfig. Defaults to the current context, or, in a pod without a kubeconfig, to the cluster
	// of the pod.
	Context string
	// Endpoint and CertificateAuthority (PEM in base64) specify a server without a kubeconfig, as in tasks of Step Functions.
	Endpoint, CertificateAuthority string
	// Token returns the bearer token for Endpoint. It is called for each request, so it should cache tokens.
	Token func(ctx context.Context) (string, error)
	// InCluster selects the cluster and service account of the pod.
	InCluster bool
	// Namespace overrides the namespace of the context.
	Namespace string
	// UserAgent defaults to rayorch.
	UserAgent string
	// Timeout is the maximum duration of a request, except for streams. Defaults to 30 s.
	Timeout time.Duration
}

// Client is a client for an API server. It is safe for concurrent use.
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

// maxBody is the maximum size of a response in bytes.
const maxBody = 32 << 20

// Open returns a client. It does not connect to the server.
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
		return nil, fmt.Errorf("the server %q is not a URL such as https://HOST:6443", c.rest.Host)
	}
	c.base = base
	if c.http, err = rest.HTTPClientFor(c.rest); err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", c.rest.Host, err)
	}
	// Do not follow redirects: the transport adds the credentials to every request, so another server would get them.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Server returns the URL of the API server.
func (c *Client) Server() string { return c.rest.Host }

// Context returns the name of the kubeconfig context in use, "" if there is none.
func (c *Client) Context() string { return c.context }

// Namespace returns the default namespace: that of the configuration, of the context or of the pod, or else "default".
func (c *Client) Namespace() string { return c.namespace }

// Request is a call to the API.
type Request struct {
	// Method defaults to GET.
	Method string
	// Path is an absolute path as in kubectl get --raw. It can contain a query, to which Query is added.
	Path  string
	Query url.Values
	Body  []byte
	// ContentType is the type of the body. Defaults to application/json.
	ContentType string
	Header      http.Header
}

// Response is the response to a Request.
type Response struct {
	Status     int
	StatusText string // such as Not Found
	Header     http.Header
	Body       []byte
}

// Do sends a request and reads the response. If the status is 300 or more, it returns the response and a *StatusError. If there is
// no response, the error is an *UnreachableError. It only retries requests that cannot have reached the server.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no response within %s", c.timeout))
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
		return Response{}, fmt.Errorf("%s: the response has more than %d bytes", r, maxBody)
	}
	_, text, _ := strings.Cut(answer.Status, " ")
	res := Response{Status: answer.StatusCode, StatusText: text, Header: answer.Header, Body: body}
	if res.Status >= 300 {
		return res, newStatusError(r, res)
	}
	return res, nil
}

// Stream sends a request and returns the body of the response, without a timeout. The caller must close it.
func (c *Client) Stream(ctx context.Context, r Request) (io.ReadCloser, error) {
	answer, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode < 300 {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // a partial body is enough for the message
	_, text, _ := strings.Cut(answer.Status, " ")
	return nil, newStatusError(r, Response{Status: answer.StatusCode, StatusText: text, Header: answer.Header, Body: body})
}

// send sends a request. The caller must close the body of the response.
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

// url returns the URL of a request. It rejects paths that could lead to another server or another object.
func (c *Client) url(r Request) (*url.URL, error) {
	path, err := url.Parse(r.Path)
	if err != nil || path.Host != "" || path.Scheme != "" || !strings.HasPrefix(path.Path, "/") {
		return nil, fmt.Errorf("the path %q must start with a single / and not contain a host", r.Path)
	}
	for part := range strings.SplitSeq(path.Path, "/") {
		if part == "." || part == ".." { // also decoded from %2e: the path of another object
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

// String returns the method and the path.
func (r Request) String() string { return orElse(r.Method, http.MethodGet) + " " + r.Path }

// get reads JSON from a path.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	res, err := c.Do(ctx, Request{Path: path, Query: query})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("GET %s: invalid response: %w", path, err)
	}
	return nil
}

// Retry calls act again after temporary errors, with exponential backoff up to 5 s, until ctx ends. Then it returns the last error
// and the cause of ctx.
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

// orElse returns s, or otherwise if s is empty.
func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

package console

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
)

// Upstream is the Step Functions API behind a console: in another process, or AWS.
type Upstream struct {
	// URL is the URL of the API, including its path.
	URL *url.URL
	// Transport sends requests to the API. Defaults to http.DefaultTransport.
	Transport http.RoundTripper
	// Sign signs a request with the given body. Defaults to not signing.
	Sign func(r *http.Request, body []byte) error
	// Extras is true if the API may have /rayorch/v1/, that is, if it is not AWS.
	Extras bool
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Front returns a complete site for browsers: the console, and a proxy to the API. guard rejects requests that another site sends.
func (c *Console) Front(guard func(*http.Request) error, up Upstream) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/console/", c)
	mux.Handle("GET /{$}", http.RedirectHandler("/console/", http.StatusFound))
	proxy := up.proxy()
	mux.Handle("POST /{$}", c.signedIn(proxy))
	mux.Handle("GET /rayorch/v1/view", c.signedIn(up.viewHandler(proxy)))
	if up.Extras {
		mux.Handle("GET /rayorch/v1/", c.signedIn(proxy))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := guard(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// actions are the actions that the pages use. The proxy rejects all others, so that a browser cannot use the credentials of the console for
// anything else.
var actions = []string{
	"DescribeExecution", "DescribeMapRun", "DescribeStateMachine", "DescribeStateMachineForExecution",
	"GetExecutionHistory", "ListExecutions", "ListMapRuns", "ListStateMachineAliases", "ListStateMachines",
	"ListStateMachineVersions", "RedriveExecution", "StartExecution", "StopExecution",
}

const targetPrefix = "AWSStepFunctions."

// signedIn forwards a request of a page if the user is signed in and has a sufficient role. The check must be here, because the API sees
// only the credentials of this process.
func (c *Console) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, signedIn := c.Caller(r)
		if !signedIn || r.Method == http.MethodPost && !fromOwnPage(r) {
			http.Error(w, "sign in first", http.StatusUnauthorized)
			return
		}
		what := r.Method + " " + r.URL.Path
		if r.Method == http.MethodPost {
			what, _ = strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
			if !slices.Contains(actions, what) {
				http.Error(w, "the console does not support this request", http.StatusBadRequest)
				return
			}
		}
		if err := caller.May(what); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if !limit.MarkAuthenticated(r.Context()) {
			http.Error(w, "too many connections: try again", http.StatusServiceUnavailable)
			return
		}
		r.Header.Del(access.OriginHeader)
		if caller.Key != "" {
			r.Header.Set(access.OriginHeader, "network")
		}
		next.ServeHTTP(w, r)
	})
}

// passed are the headers that are forwarded to the API. All others, such as cookies, are not.
var passed = []string{"Accept", "Content-Type", "Last-Event-Id", "X-Amz-Target", access.OriginHeader}

// proxy returns a handler that forwards requests to the API, signed with the credentials of this process.
func (up Upstream) proxy() http.Handler {
	if up.Logger == nil {
		up.Logger = slog.Default()
	}
	return &httputil.ReverseProxy{
		Transport:     signing{up},
		FlushInterval: -1, // immediately, for streams of events and logs
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(up.URL)
			in := r.Out.Header
			r.Out.Header = http.Header{"User-Agent": {"rayorch-console"}}
			for _, name := range passed {
				if v := in.Values(name); v != nil {
					r.Out.Header[name] = v
				}
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del("Set-Cookie")
			resp.Header.Del("Www-Authenticate") // or the browser would open its own password dialog
			resp.Header.Set("X-Content-Type-Options", "nosniff")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the browser has disconnected
			}
			up.Logger.Error("the API cannot be reached", "url", up.URL.String(), "error", err)
			http.Error(w, "the API cannot be reached: "+err.Error(), http.StatusBadGateway)
		},
	}
}

// signing signs each request as it is sent.
type signing struct{ up Upstream }

// maxBody is the maximum size of a request in bytes, as in package api.
const maxBody = 6 << 20

var errLarge = errors.New("the request is too large")

// RoundTrip reads the body before it sends the request, because the signature covers the body.
func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody+1)); err != nil {
			return nil, err
		}
		if len(body) > maxBody {
			return nil, errLarge
		}
	}
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = http.NoBody, 0
	if r.Method == http.MethodPost {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	if s.up.Sign != nil {
		if err := s.up.Sign(out, body); err != nil {
			return nil, err
		}
	}
	if s.up.Transport == nil {
		return http.DefaultTransport.RoundTrip(out)
	}
	return s.up.Transport.RoundTrip(out)
}

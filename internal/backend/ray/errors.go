package ray

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Kind tells failures apart where callers do.
type Kind int

const (
	// Other is an error that is not of this package.
	Other Kind = iota
	// Unreachable says: no connection, no answer in time, or a proxy that reaches no Ray. Worth a retry.
	Unreachable
	// Busy says: Ray answers, but cannot act now, such as before a node's agent has registered. Worth a retry.
	Busy
	// Unauthorized says: the token is missing or wrong.
	Unauthorized
	// NotFound says: Ray does not know the job.
	NotFound
	// Invalid says: Ray refuses the request itself.
	Invalid
	// TooLarge says: the body is over the limit of Ray's HTTP server.
	TooLarge
	// Failed says: Ray tried and failed (HTTP 500).
	Failed
	// NotRay says: something answers there, but not a Ray dashboard.
	NotRay
	// duplicate: the submission_id is taken; Submit makes no error of it.
	duplicate
)

// Error is a request that failed.
type Error struct {
	Op, Address string
	Kind        Kind
	// Withheld is the client's.
	Withheld bool
	Status   int    // HTTP, 0 when none came
	Text     string // what Ray said, whole; a traceback often
	Err      error
}

func (c *Client) fail(op string, kind Kind, status int, text string, err error) *Error {
	return &Error{Op: op, Address: c.base, Kind: kind, Withheld: c.withheld, Status: status, Text: text, Err: err}
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Error() string {
	switch e.Kind {
	case Unreachable:
		return fmt.Sprintf("%s: ray at %s cannot be reached: %s", e.Op, e.Address, e.reason())
	case Unauthorized:
		if e.Withheld {
			return fmt.Sprintf("%s: ray at %s requires a token, which is not sent over plain http: use an https or a loopback address, or "+
				"use --ray-token-over-http to send it", e.Op, e.Address)
		}
		return fmt.Sprintf("%s: ray at %s refuses the token: %s; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to its token",
			e.Op, e.Address, e.reason())
	case NotRay:
		return fmt.Sprintf("%s: %s answers, but not as a ray dashboard: %s; name the dashboard's address, often http://HOST:8265",
			e.Op, e.Address, e.reason())
	case Other, Busy, NotFound, Invalid, TooLarge, Failed, duplicate:
	}
	return fmt.Sprintf("%s: ray at %s: %s", e.Op, e.Address, e.reason())
}

func (e *Error) reason() string {
	if line := lastLine(e.Text); line != "" {
		return line
	}
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("HTTP status %d", e.Status)
}

// KindOf is err's kind, Other when it is none of this package's.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return Other
}

// Temporary tells whether the same request may succeed later.
func Temporary(err error) bool {
	kind := KindOf(err)
	return kind == Unreachable || kind == Busy
}

func (c *Client) refused(op string, resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBytes))
	text := strings.TrimSpace(strings.ToValidUTF8(string(body), "?"))
	kind := kindOf(resp.StatusCode, text)
	if isPage(resp, text) {
		text = ""
	}
	return c.fail(op, kind, resp.StatusCode, text, fmt.Errorf("HTTP status %s", resp.Status))
}

func isPage(resp *http.Response, text string) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || strings.HasPrefix(text, "<")
}

func kindOf(status int, text string) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Unauthorized
	case http.StatusNotFound:
		return kindOf404(text)
	case http.StatusRequestEntityTooLarge:
		return TooLarge
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return Unreachable
	}
	if status >= 500 {
		return kindOf500(text)
	}
	if status >= 300 && status < 400 {
		return NotRay
	}
	return Invalid
}

// kindOf404 believes only Ray's own words that a job is gone: a proxy's or another server's 404 says nothing of the job.
func kindOf404(text string) Kind {
	if strings.Contains(text, "does not exist") || strings.Contains(text, "has not been uploaded") {
		return NotFound
	}
	return NotRay
}

// kindOf500 reads the text, as Ray answers HTTP 500 for nearly everything.
func kindOf500(text string) Kind {
	switch {
	case strings.Contains(text, "Please use a different submission_id"):
		return duplicate
	case strings.Contains(text, "No available agent"), strings.Contains(text, "Cannot connect to host"),
		strings.Contains(text, "ServerDisconnectedError"):
		return Busy
	case strings.Contains(text, "HTTPRequestEntityTooLarge"): // how releases before 2.5x say 413
		return TooLarge
	case strings.Contains(text, "does not exist") && strings.Contains(text, "Job "):
		return NotFound
	}
	return Failed
}

// lastLine is the last line that says something: in a traceback the exception itself.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); strings.Trim(line, "^~-=. ") != "" {
			return clip(line, 1000)
		}
	}
	return ""
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

package ray

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Kind classifies errors.
type Kind int

const (
	// Other is an error that does not come from this package.
	Other Kind = iota
	// Unreachable means that there was no connection or no response in time, or that a proxy could not reach Ray. A retry may succeed.
	Unreachable
	// Busy means that Ray cannot process the request now, for example because a node's agent has not registered. A retry may succeed.
	Busy
	// Unauthorized means that the token is missing or wrong.
	Unauthorized
	// NotFound means that Ray does not know the job or package.
	NotFound
	// Invalid means that Ray rejected the request as invalid.
	Invalid
	// TooLarge means that the body exceeds the limit of Ray's HTTP server.
	TooLarge
	// Failed means that Ray failed to process the request (HTTP 500).
	Failed
	// NotRay means that the server is not a Ray dashboard.
	NotRay
	// duplicate means that the submission_id already exists. Submit does not return it as an error.
	duplicate
)

// Error is the error of a request.
type Error struct {
	Op, Address string // Op describes the request
	Kind        Kind
	Withheld    bool   // Config.Withheld of the client
	Status      int    // HTTP status; 0 if there was no response
	Text        string // text of the response, often a traceback
	Err         error
}

func (c *Client) fail(op string, kind Kind, status int, text string, err error) *Error {
	return &Error{Op: op, Address: c.base, Kind: kind, Withheld: c.withheld, Status: status, Text: text, Err: err}
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Error() string {
	switch e.Kind {
	case Unreachable:
		return fmt.Sprintf("%s: Ray at %s cannot be reached: %s", e.Op, e.Address, e.reason())
	case Unauthorized:
		if e.Withheld {
			return fmt.Sprintf("%s: Ray at %s requires a token, which is not sent over plain http: use an https or a loopback address, or "+
				"use --ray-token-over-http to send it", e.Op, e.Address)
		}
		return fmt.Sprintf("%s: Ray at %s refuses the token: %s; set RAY_AUTH_TOKEN to the token of this Ray, or RAY_AUTH_TOKEN_PATH to its file",
			e.Op, e.Address, e.reason())
	case NotRay:
		return fmt.Sprintf("%s: the server at %s is not a Ray dashboard: %s; set the address of the dashboard, often http://HOST:8265",
			e.Op, e.Address, e.reason())
	case Other, Busy, NotFound, Invalid, TooLarge, Failed, duplicate:
	}
	return fmt.Sprintf("%s: Ray at %s: %s", e.Op, e.Address, e.reason())
}

// reason returns the most specific description of the error, in one line.
func (e *Error) reason() string {
	if line := lastLine(e.Text); line != "" {
		return line
	}
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("HTTP status %d", e.Status)
}

// KindOf returns the kind of err. It is Other if err does not come from this package.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return Other
}

// Temporary reports whether a retry of the request may succeed.
func Temporary(err error) bool {
	kind := KindOf(err)
	return kind == Unreachable || kind == Busy
}

// refused returns the error for a response with an error status.
func (c *Client) refused(op string, resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBytes))
	text := strings.TrimSpace(strings.ToValidUTF8(string(body), "?"))
	kind := kindOf(resp.StatusCode, text)
	if isPage(resp, text) {
		text = ""
	}
	return c.fail(op, kind, resp.StatusCode, text, fmt.Errorf("HTTP status %s", resp.Status))
}

// isPage reports whether a response is a web page, whose text is useless in an error.
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

// kindOf404 returns NotFound only for texts that come from Ray. A status 404 of a proxy or of another server does not mean that the job
// does not exist.
func kindOf404(text string) Kind {
	if strings.Contains(text, "does not exist") || strings.Contains(text, "has not been uploaded") {
		return NotFound
	}
	return NotRay
}

// kindOf500 classifies an error by its text, because Ray returns HTTP 500 for almost all errors.
func kindOf500(text string) Kind {
	switch {
	case strings.Contains(text, "Please use a different submission_id"):
		return duplicate
	case strings.Contains(text, "No available agent"), strings.Contains(text, "Cannot connect to host"),
		strings.Contains(text, "ServerDisconnectedError"):
		return Busy
	case strings.Contains(text, "HTTPRequestEntityTooLarge"): // releases before 2.5x return this instead of status 413
		return TooLarge
	case strings.Contains(text, "does not exist") && strings.Contains(text, "Job "):
		return NotFound
	}
	return Failed
}

// lastLine returns the last line that contains text, at most 1,000 bytes. In a traceback, that is the exception.
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

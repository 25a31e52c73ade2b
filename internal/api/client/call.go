package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// StatusError is an unsuccessful response from one of rayorch's own paths.
type StatusError struct {
	// Code is the HTTP status code.
	Code int

	status string // such as "404 Not Found"
	path   string // below /rayorch/v1/
	reason string // the body of the response
	owner  bool   // the response is from the owner of the state directory
}

// Error returns the reason in the response if the owner of the state directory sent it. The text from other servers can be
// anything, such as a web page, so that Error returns only the status and the path.
func (e *StatusError) Error() string {
	if e.owner && !e.unknown() && e.reason != "" {
		return e.reason
	}
	return fmt.Sprintf("the server returned %s for /rayorch/v1/%s", e.status, e.path)
}

// unknown reports whether the server does not know the path or the method. It recognizes the answers of Go's router, which are the
// same in all releases.
func (e *StatusError) unknown() bool {
	return e.Code == http.StatusNotFound && e.reason == "404 page not found" || e.Code == http.StatusMethodNotAllowed
}

// is reports whether the response fulfills a condition.
func (e *StatusError) is(w when) bool {
	switch w {
	case unknown:
		return e.unknown()
	case notFound:
		return e.Code == http.StatusNotFound
	case failed:
		return true
	case never:
	}
	return false
}

// MissingError reports that a server does not have a path that a command needs.
type MissingError struct{ message, hint string }

func (e *MissingError) Error() string { return e.message }

// Hint returns what the user can do, "" if nothing.
func (e *MissingError) Hint() string { return e.hint }

// errEmpty represents the empty answer of a server that does not have a path. It is internal to this package.
var errEmpty = errors.New("the server does not have the path")

// call sends a request and returns a successful response, whose body the caller must close. If the server does not have the path,
// it returns the fallback: errEmpty or a *MissingError.
func (c *Client) call(ctx context.Context, p path, q url.Values, body []byte) (*http.Response, error) {
	f := p.fallbacks[c.kind]
	if c.kind == amazon || f.when == never {
		return nil, c.missing(ctx, p, f, nil)
	}
	resp, err := c.send(ctx, p, q, body)
	var status *StatusError
	if errors.As(err, &status) && status.is(f.when) {
		return nil, c.missing(ctx, p, f, status)
	}
	return resp, err
}

// maxReason is how much of an unsuccessful response is read, in bytes.
const maxReason = 4 << 10

// send sends a request. It returns a *StatusError if the response is unsuccessful.
func (c *Client) send(ctx context.Context, p path, q url.Values, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, p.method, c.base+"/rayorch/v1/"+p.name+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.sign != nil { // then there is no body: paths with a body exist only on the socket, where nothing is signed
		if err := c.sign(req, nil); err != nil {
			return nil, err
		}
	}
	resp, err := c.http.Do(req)
	if err != nil || resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent {
		return resp, err
	}
	reason, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason)) // if this fails, the status is sufficient
	_ = resp.Body.Close()
	return nil, &StatusError{
		Code: resp.StatusCode, status: resp.Status, path: p.name, reason: strings.TrimSpace(string(reason)), owner: c.kind == socket,
	}
}

// missing returns the fallback for a path that the server does not have. It fills the placeholders of the message in: {server} is
// the server's name and release, {answer} the error of the response.
func (c *Client) missing(ctx context.Context, p path, f fallback, answer error) error {
	if f.message == "" {
		return errEmpty
	}
	server, hint := "", f.hint
	if strings.Contains(f.message, "{server}") {
		server, hint = "not rayorch", "" // an upgrade would not help
		if about, err := c.Info(ctx); err == nil && about.Name == "rayorch" {
			server, hint = "rayorch "+about.Version, f.hint
		}
	}
	text := strings.NewReplacer("{url}", c.base, "{server}", server, "{path}", p.name, "{pid}", strconv.Itoa(c.owner.PID),
		"{version}", c.owner.Version, "{answer}", fmt.Sprint(answer)).Replace(f.message)
	return &MissingError{message: text, hint: hint}
}

// get decodes a response into a value. known is false if the server does not have the path: the value is then unchanged.
func (c *Client) get(ctx context.Context, p path, q url.Values, into any) (known bool, err error) {
	resp, err := c.call(ctx, p, q, nil)
	if errors.Is(err, errEmpty) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = json.NewDecoder(resp.Body).Decode(into)
	if err != nil {
		err = fmt.Errorf("read the server's answer to %s: %w", p.name, err)
	}
	return true, errors.Join(err, resp.Body.Close())
}

// post sends a value as JSON, or an empty body if it is nil. It succeeds if the fallback for the path is an empty answer.
func (c *Client) post(ctx context.Context, p path, q url.Values, value any) error {
	var body []byte
	if value != nil {
		var err error
		if body, err = json.Marshal(value); err != nil {
			return err
		}
	}
	resp, err := c.call(ctx, p, q, body)
	if errors.Is(err, errEmpty) {
		return nil
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

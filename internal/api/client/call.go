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

// StatusError is an unsuccessful answer to one of rayorch's own paths.
type StatusError struct {
	// Code is the HTTP status.
	Code int

	status, path string
	reason       string // the line of the answer
	owner        bool
}

// Error is the reason that the owner of the state directory gives, which is the same whether the owner is this process or another.
// Another server may give anything as its reason, such as a web page.
func (e *StatusError) Error() string {
	if e.owner && !e.unknown() && e.reason != "" {
		return e.reason
	}
	return fmt.Sprintf("the server answered %s to %s", e.status, e.path)
}

// unknown reports whether the server does not know the path or the method, by the router's own answers, which are the same in all releases.
func (e *StatusError) unknown() bool {
	return e.Code == http.StatusNotFound && e.reason == "404 page not found" || e.Code == http.StatusMethodNotAllowed
}

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

// MissingError is the error for a server that lacks a path that a command needs.
type MissingError struct{ message, hint string }

func (e *MissingError) Error() string { return e.message }

// Hint says what to do.
func (e *MissingError) Hint() string { return e.hint }

// errNothing stands for the empty answer of a server that lacks a path. It never leaves this package.
var errNothing = errors.New("the server does not have the path")

// call sends a request and returns a successful response, whose body the caller closes.
func (c *Client) call(ctx context.Context, p path, q url.Values, body []byte) (*http.Response, error) {
	lack := p.lacks[c.place]
	if c.place == amazon || lack.when == never {
		return nil, c.missing(ctx, p, lack, nil)
	}
	resp, err := c.send(ctx, p, q, body)
	var status *StatusError
	if errors.As(err, &status) && status.is(lack.when) {
		return nil, c.missing(ctx, p, lack, status)
	}
	return resp, err
}

// maxReason bounds what is read of an unsuccessful answer, in bytes.
const maxReason = 4 << 10

func (c *Client) send(ctx context.Context, p path, q url.Values, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, p.method, c.base+"/rayorch/v1/"+p.name+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.sign != nil { // only paths of the socket, which nobody signs for, have a body
		if err := c.sign(req, nil); err != nil {
			return nil, err
		}
	}
	resp, err := c.http.Do(req)
	if err != nil || resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent {
		return resp, err
	}
	reason, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason)) // without it, the status says enough
	_ = resp.Body.Close()
	return nil, &StatusError{
		Code: resp.StatusCode, status: resp.Status, path: p.name, reason: strings.TrimSpace(string(reason)), owner: c.place == socket,
	}
}

// missing is the error for a path that the server lacks.
func (c *Client) missing(ctx context.Context, p path, l lack, answer error) error {
	if l.message == "" {
		return errNothing
	}
	server, hint := "", l.hint
	if strings.Contains(l.message, "{server}") {
		server, hint = "not rayorch", "" // which no upgrade helps
		if about, err := c.Info(ctx); err == nil && about.Name == "rayorch" {
			server, hint = "rayorch "+about.Version, l.hint
		}
	}
	text := strings.NewReplacer("{url}", c.base, "{server}", server, "{path}", p.name, "{pid}", strconv.Itoa(c.owner.PID),
		"{version}", c.owner.Version, "{answer}", fmt.Sprint(answer)).Replace(l.message)
	return &MissingError{message: text, hint: hint}
}

// get reads an answer into a value, and reports whether there is one: known is false where the server lacks the path.
func (c *Client) get(ctx context.Context, p path, q url.Values, into any) (known bool, err error) {
	resp, err := c.call(ctx, p, q, nil)
	if errors.Is(err, errNothing) {
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

// post sends a value, or nothing where it is nil.
func (c *Client) post(ctx context.Context, p path, q url.Values, value any) error {
	var body []byte
	if value != nil {
		var err error
		if body, err = json.Marshal(value); err != nil {
			return err
		}
	}
	resp, err := c.call(ctx, p, q, body)
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

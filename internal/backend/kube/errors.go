package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is the error for a response with an HTTP status of 300 or more.
type StatusError struct {
	Request Request
	// Response is the unmodified response.
	Response Response
	// Code is the HTTP status. Reason and Message are those of a Status object of Kubernetes. If another server responded, such
	// as a service behind the API server's proxy, Reason is empty and Message is the start of the body.
	Code            int
	Reason, Message string
	// Causes has the invalid fields, each with the server's message.
	Causes []string
}

// status has the relevant fields of a Status object (meta/v1).
type status struct {
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Details struct {
		Causes []struct {
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"causes"`
	} `json:"details"`
}

// newStatusError returns the error for a response.
func newStatusError(r Request, res Response) *StatusError {
	e := &StatusError{Request: r, Response: res, Code: res.Status}
	var s status
	if json.Unmarshal(res.Body, &s) == nil && s.Kind == "Status" {
		e.Reason, e.Message = s.Reason, s.Message
		for _, cause := range s.Details.Causes {
			e.Causes = append(e.Causes, cause.Field+": "+cause.Message)
		}
		return e
	}
	e.Message = strings.TrimSpace(string(res.Body))
	if len(e.Message) > 1000 {
		e.Message = strings.ToValidUTF8(e.Message[:1000], "") + "..."
	}
	return e
}

// Error returns the request, the status and the message, with a solution if one is known.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Request, e.Code, orElse(e.Message, e.Response.StatusText))
	switch {
	case e.Code == http.StatusUnauthorized:
		text += ": the credentials are invalid or expired: log in to the cluster again, or choose another context"
	case e.Code == http.StatusForbidden && strings.Contains(e.Message, " cannot "):
		text += ": grant the permission with a Role and a RoleBinding"
	}
	return text
}

// UnreachableError is the error if a server did not respond. It is unknown whether the request had an effect.
type UnreachableError struct {
	Server string
	Err    error
	// Permanent reports that a retry cannot help, because the certificate is invalid or the credentials are not available.
	Permanent bool
}

func (e *UnreachableError) Error() string {
	text := fmt.Sprintf("Kubernetes API server %s: %v", e.Server, e.Err)
	switch {
	case isCertificate(e.Err):
		return text + ": check the certificate authority in the kubeconfig or task"
	case e.Permanent:
		return text
	}
	return text + ": check that the server is running and reachable from this machine"
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// credentialsError is the error if a token could not be created.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// unreachable returns the error for a request without a response. If ctx has ended, it contains the cause of that.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		err = cause
	}
	text := strings.TrimPrefix(err.Error(), "Get ")
	var noToken *credentialsError
	never := isCertificate(err) || errors.As(err, &noToken) ||
		strings.Contains(text, "getting credentials: exec") // client-go's error for a command in the kubeconfig
	return &UnreachableError{Server: c.rest.Host, Err: err, Permanent: never}
}

// isCertificate reports whether a certificate could not be verified.
func isCertificate(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &verify)
}

// notConnected reports whether the transport timed out before the connection was established, for example because the server is
// busy. The server then has not received the request, so that a retry is safe for any method.
func notConnected(err error) bool {
	var away *UnreachableError
	if !errors.As(err, &away) {
		return false
	}
	var op *net.OpError
	var late net.Error
	return errors.As(err, &late) && late.Timeout() &&
		(errors.As(err, &op) && op.Op == "dial" || strings.Contains(err.Error(), "TLS handshake timeout"))
}

// Code returns the HTTP status of an error, 0 if there was no response.
func Code(err error) int {
	var e *StatusError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// StatusReason returns the reason of a Status object in an error, such as AlreadyExists.
func StatusReason(err error) string {
	var e *StatusError
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// NotFound reports whether an error has status 404.
func NotFound(err error) bool { return Code(err) == http.StatusNotFound }

// Temporary reports whether a retry may succeed.
func Temporary(err error) bool {
	var away *UnreachableError
	if errors.As(err, &away) {
		return !away.Permanent
	}
	switch Code(err) {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter returns the server's Retry-After, 0 if there is none, and at most 30 s.
func retryAfter(err error) time.Duration {
	var e *StatusError
	if !errors.As(err, &e) {
		return 0
	}
	n, _ := strconv.Atoi(e.Response.Header.Get("Retry-After")) // 0 if it is missing or not a number
	return time.Duration(min(max(n, 0), 30)) * time.Second
}

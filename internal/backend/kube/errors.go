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

// StatusError is an answer that is no success.
type StatusError struct {
	Request Request
	// Response is the answer as it came.
	Response Response
	// Code is the HTTP status. Reason and Message are those of a Kubernetes Status; what else answers, as services behind
	// the proxy do, has no Reason.
	Code            int
	Reason, Message string
	// Causes are the fields that the server refused.
	Causes []string
}

// status is the part of a Kubernetes Status (meta/v1) that people need.
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

// Error says what to do where that is known.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Request, e.Code, orElse(e.Message, e.Response.StatusText))
	switch {
	case e.Code == http.StatusUnauthorized:
		text += ": the credentials are not accepted: log in to the cluster again, or choose another context"
	case e.Code == http.StatusForbidden && strings.Contains(e.Message, " cannot "):
		text += ": grant it by a Role and a RoleBinding"
	}
	return text
}

// UnreachableError is a server that did not answer, so that nobody knows whether the request had an effect.
type UnreachableError struct {
	Server string
	Err    error
	// Never tells that trying again cannot help, as a certificate is refused or credentials cannot be made.
	Never bool
}

func (e *UnreachableError) Error() string {
	text := fmt.Sprintf("the kubernetes api server %s: %v", e.Server, e.Err)
	switch {
	case isCertificate(e.Err):
		return text + ": the certificate authority of the kubeconfig or task is not the server's"
	case e.Never:
		return text
	}
	return text + ": is it up, and can it be reached from here?"
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// credentialsError is a token that could not be made.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		err = cause
	}
	text := strings.TrimPrefix(err.Error(), "Get ")
	var made *credentialsError
	never := isCertificate(err) || errors.As(err, &made) ||
		strings.Contains(text, "getting credentials: exec") // client-go's, for a kubeconfig's command
	return &UnreachableError{Server: c.rest.Host, Err: err, Never: never}
}

func isCertificate(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &verify)
}

// notConnected reports a server that did not get a connection ready in the time that the transport gives it, so that it has
// seen nothing of the request: one that hangs for a moment, or is busy.
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

// Code is the HTTP status of an error, 0 when no server answered.
func Code(err error) int {
	var e *StatusError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// StatusReason is that of a Kubernetes Status, such as AlreadyExists.
func StatusReason(err error) string {
	var e *StatusError
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// NotFound tells of an object that is not there.
func NotFound(err error) bool { return Code(err) == http.StatusNotFound }

// Temporary tells of a failure that may pass.
func Temporary(err error) bool {
	var away *UnreachableError
	if errors.As(err, &away) {
		return !away.Never
	}
	switch Code(err) {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter is what the server asks for, at most 30 s.
func retryAfter(err error) time.Duration {
	var e *StatusError
	if !errors.As(err, &e) {
		return 0
	}
	n, _ := strconv.Atoi(e.Response.Header.Get("Retry-After")) // none is none
	return time.Duration(min(max(n, 0), 30)) * time.Second
}

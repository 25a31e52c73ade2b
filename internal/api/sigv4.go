package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
)

// This file verifies AWS Signature Version 4, as specified in the AWS General Reference: the signature covers the method, the
// path, the query, the signed headers and the hash of the body.

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
	sigDay       = "20060102"
	// maxSkew is the maximum difference between a signature's time and the server's clock.
	maxSkew = 5 * time.Minute
)

// claim is the identity that the header of a request claims, after all checks that do not need the body. verify checks the
// signature itself.
type claim struct {
	caller access.Caller
	signed bool // if false, no signature is needed: there are no keys, or the browser is signed in
	sig    signature
	secret string    // of the caller's key
	at     time.Time // of the signature
}

// claim parses and checks the header of a request.
func (s *Server) claim(r *http.Request) (*claim, error) {
	if caller, known := s.callerWithoutSignature(r); known {
		return &claim{caller: caller}, nil
	}
	sig, err := parseSignature(r.Header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	if name := sig.unsigned(r.Header); name != "" {
		return nil, denied("IncompleteSignatureException", "The signature must cover the header "+name)
	}
	key, known := s.cfg.Keys[sig.key]
	if !known {
		return nil, s.checkAttempt(r, limit.Signature, sig.key, func() bool { return false })
	}
	if err := s.limits.Attempts.Waits(r, limit.Signature); err != nil {
		return nil, attemptFault(err)
	}
	at, err := signedAt(r)
	if err != nil {
		return nil, err
	}
	if err := sig.checkScope(at); err != nil {
		return nil, err
	}
	if d := s.cfg.Now().Sub(at); d > maxSkew || d < -maxSkew {
		return nil, denied("InvalidSignatureException", "Signature expired: "+at.Format(sigTime)+" is too far from "+
			s.cfg.Now().UTC().Format(sigTime)+": set the clock")
	}
	return &claim{access.Caller{Key: sig.key, Role: key.Role}, true, sig, key.Secret, at}, nil
}

// callerWithoutSignature returns the caller of a request that needs no signature: everyone is admin if no keys are configured;
// otherwise, the user of the browser that is signed in.
func (s *Server) callerWithoutSignature(r *http.Request) (access.Caller, bool) {
	if len(s.cfg.Keys) == 0 {
		return access.Caller{Role: access.Admin}, true
	}
	if s.cfg.Session == nil {
		return access.Caller{}, false
	}
	return s.cfg.Session(r)
}

// verify checks the signature of a claim, if it needs one. A wrong signature counts as a failed sign-in attempt.
func (s *Server) verify(c *claim, r *http.Request, body []byte) error {
	if !c.signed {
		return nil
	}
	want := c.sig.compute(r, body, c.secret, c.at)
	err := s.checkAttempt(r, limit.Signature, c.sig.key, func() bool {
		return subtle.ConstantTimeCompare([]byte(want), []byte(c.sig.signature)) == 1
	})
	var f *fault
	if errors.As(err, &f) && f.Status == http.StatusForbidden {
		return denied("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return err
}

// checkAttempt is limit.Attempts.Check with AWS's errors.
func (s *Server) checkAttempt(r *http.Request, method limit.Method, key string, proof func() bool) error {
	return attemptFault(s.limits.Attempts.Check(r, method, key, proof))
}

// attemptFault converts an error of package limit to AWS's: throttling if the address must wait, otherwise wrong credentials.
func attemptFault(err error) error {
	var wait *limit.WaitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wait):
		return &fault{"ThrottlingException", err.Error(), http.StatusTooManyRequests}
	}
	return denied("UnrecognizedClientException", "The security token included in the request is invalid.")
}

// denied returns an error with status 403, which SDKs do not retry.
func denied(code, message string) *fault { return &fault{code, message, http.StatusForbidden} }

// signature is a parsed Authorization header.
type signature struct {
	key       string   // access key id
	scope     []string // date, region, service, aws4_request
	headers   []string // signed, lower case, sorted
	signature string
}

// parseSignature parses an Authorization header. The signature must cover the Host header: otherwise, it would be valid for any
// server.
func parseSignature(header string) (signature, error) {
	rest, ok := strings.CutPrefix(header, sigAlgorithm+" ")
	if !ok {
		return signature{}, denied("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	var sig signature
	for _, part := range strings.Split(rest, ",") {
		name, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			key, scope, _ := strings.Cut(v, "/")
			sig.key, sig.scope = key, strings.Split(scope, "/")
		case "SignedHeaders":
			sig.headers = strings.Split(v, ";")
		case "Signature":
			sig.signature = v
		}
	}
	signsHost := slices.Contains(sig.headers, "host")
	if sig.key == "" || len(sig.scope) != 4 || sig.scope[3] != "aws4_request" || !signsHost || sig.signature == "" {
		return signature{}, denied("IncompleteSignatureException", "The Authorization header is incomplete")
	}
	return sig, nil
}

// unsigned returns the name of an X-Amz- header that the signature does not cover, "" if there is none. Such requests are
// rejected: an attacker who recorded one could send it again with another action.
func (sig *signature) unsigned(h http.Header) string {
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(sig.headers, name) {
			return name
		}
	}
	return ""
}

// checkScope checks the scope of the signature, with AWS's messages. It accepts any region, so that clients with any default
// region work with only an endpoint URL. The signed Host header, not the region, binds the signature to this server.
func (sig *signature) checkScope(at time.Time) error {
	day, region, service := sig.scope[0], sig.scope[1], sig.scope[2]
	switch {
	case day != at.Format(sigDay):
		return denied("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			day+"' != '"+at.Format(sigDay)+"', from '"+at.Format(sigTime)+"'.")
	case !isRegion.MatchString(region):
		return denied("InvalidSignatureException", "Credential should be scoped to a valid region, not '"+region+"'. ")
	case service != "states":
		return denied("InvalidSignatureException", "Credential should be scoped to correct service: 'states'. ")
	}
	return nil
}

// isRegion matches a label of a host name. SDKs have the same requirement for a region.
var isRegion = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// signedAt returns the time of a signature. Only the X-Amz-Date header is supported, which all SDKs send.
func signedAt(r *http.Request) (time.Time, error) {
	t, err := time.Parse(sigTime, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return t, denied("IncompleteSignatureException", "The X-Amz-Date header is missing or not a time")
	}
	return t, nil
}

// compute returns the signature of the request as the server received it.
func (sig *signature) compute(r *http.Request, body []byte, secret string, at time.Time) string {
	request := sha256.Sum256([]byte(sig.canonical(r, body)))
	toSign := strings.Join([]string{
		sigAlgorithm, at.Format(sigTime), strings.Join(sig.scope, "/"), hex.EncodeToString(request[:]),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range sig.scope {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, toSign))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// canonical returns the canonical request. It contains the hash of the body that was received, whatever X-Amz-Content-Sha256
// claims.
func (sig *signature) canonical(r *http.Request, body []byte) string {
	hash := sha256.Sum256(body)
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalPath(r.URL) + "\n" + canonicalQuery(r.URL) + "\n")
	for _, name := range sig.headers {
		v := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			v = r.Host
		case "content-length":
			v = r.Header.Get("Content-Length")
			if v == "" {
				v = itoa(r.ContentLength)
			}
		}
		b.WriteString(name + ":" + strings.Join(strings.Fields(v), " ") + "\n")
	}
	b.WriteString("\n" + strings.Join(sig.headers, ";") + "\n" + hex.EncodeToString(hash[:]))
	return b.String()
}

// canonicalPath returns the path as sent, URI-encoded a second time, as for all services except S3.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	return escape(path, "/")
}

// canonicalQuery returns the query with sorted parameters, each percent-encoded.
func canonicalQuery(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, v := range values {
			pairs = append(pairs, escape(name, "")+"="+escape(v, ""))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape percent-encodes all bytes except RFC 3986's unreserved characters and those in keep.
func escape(s, keep string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("-_.~"+keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

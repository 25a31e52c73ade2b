package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/access"
)

// Signature Version 4, as the AWS General Reference describes it: the signature covers method, path, query, the signed
// headers and the body's hash.

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
	// maxSkew is how far a signature's time may lie from ours.
	maxSkew = 5 * time.Minute
)

// authorize finds out who calls: it verifies a request's signature when keys are configured, unless a browser signed in.
func (s *Server) authorize(r *http.Request, body []byte) (access.Caller, error) {
	if caller, known := s.callerWithoutSignature(r); known {
		return caller, nil
	}
	id, err := s.verify(r, body)
	return access.Caller{Key: id, Role: s.cfg.Keys[id].Role}, err
}

// callerWithoutSignature is the owner where no keys are configured, or whose browser signed in.
func (s *Server) callerWithoutSignature(r *http.Request) (access.Caller, bool) {
	if len(s.cfg.Keys) == 0 {
		return access.Caller{Role: access.Admin}, true
	}
	if s.cfg.Session == nil {
		return access.Caller{}, false
	}
	return s.cfg.Session(r)
}

// verify returns the id of the key that signed a request.
func (s *Server) verify(r *http.Request, body []byte) (string, error) {
	sig, err := parseSignature(r.Header.Get("Authorization"))
	if err != nil {
		return "", err
	}
	if name := sig.unsigned(r.Header); name != "" {
		return "", denied("IncompleteSignatureException", "The signature must cover the header "+name)
	}
	key, known := s.cfg.Keys[sig.key]
	if !known {
		return "", denied("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	at, err := signedAt(r)
	if err != nil {
		return "", err
	}
	if d := s.cfg.Now().Sub(at); d > maxSkew || d < -maxSkew {
		return "", denied("InvalidSignatureException", "Signature expired: "+at.Format(sigTime)+" is too far from "+
			s.cfg.Now().UTC().Format(sigTime)+": set the clock")
	}
	want := sig.compute(r, body, key.Secret, at)
	if subtle.ConstantTimeCompare([]byte(want), []byte(sig.signature)) != 1 {
		return "", denied("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return sig.key, nil
}

// denied answers with 403, which SDKs do not try again.
func denied(code, message string) *fault { return &fault{code, message, http.StatusForbidden} }

// signature is an Authorization header taken apart.
type signature struct {
	key       string   // access key id
	scope     []string // date, region, service, aws4_request
	headers   []string // signed, lower case, sorted
	signature string
}

// parseSignature wants the host to be signed: without it a signature would be good for any server.
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

// unsigned is a header of AWS's that the signature does not cover: whoever saw the request could send it again as another
// action.
func (sig *signature) unsigned(h http.Header) string {
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(sig.headers, name) {
			return name
		}
	}
	return ""
}

func signedAt(r *http.Request) (time.Time, error) {
	t, err := time.Parse(sigTime, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return t, denied("IncompleteSignatureException", "The X-Amz-Date header is missing or not a time")
	}
	return t, nil
}

// compute signs what was received; equal signatures mean that both sides saw the same request.
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

// canonical is the request in the one form that both sides sign. The body's hash is always our own.
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

// canonicalPath is the path as sent, encoded once more, as every service but S3 has it.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	return escape(path, "/")
}

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

// escape is RFC 3986's percent-encoding of everything but unreserved characters and those to keep.
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

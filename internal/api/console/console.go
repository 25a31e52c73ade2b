// Package console serves the web console: files that are embedded in the binary, sign-in, and the layout of a definition's graph. The pages
// themselves call the Step Functions API, and /rayorch/v1/ if the server has it. The caller of this package routes these requests: to the
// API in the same process, or with Console.Front to an API elsewhere. In front of AWS, or of an earlier release, the console also computes
// the views of the executions that browsers watch (internal/view/progress/live). Its only other state is the sessions of browsers and the
// tokens of links.
package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/view/graph"
)

// Config configures a Console. With the zero value, browsers can sign in only with links.
type Config struct {
	// Keys are the access keys with which users can sign in. Defaults to none.
	Keys access.Keys
	// Open gives everyone who can reach the console the role admin, without sign-in.
	Open bool
	// Where is the name of the API in the pages, such as "AWS us-east-1". Defaults to none.
	Where string
	// Version is the release of rayorch.
	Version string
	// Limits count failed sign-in attempts. Defaults to new limits for this console alone.
	Limits *limit.Limits
	// Now is the clock for the expiry of sessions and links. Defaults to time.Now.
	Now func() time.Time
}

// Console is the http.Handler for paths below /console/.
type Console struct {
	cfg      Config
	mux      *http.ServeMux
	sessions *sessions
	tokens   *tokens
}

// New returns a console.
func New(c Config) *Console {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Limits == nil {
		c.Limits = limit.New(limit.Config{Now: c.Now})
	}
	con := &Console{cfg: c, mux: http.NewServeMux(), sessions: newSessions(c.Now), tokens: newTokens(c.Now)}
	for _, a := range loadAssets() {
		con.mux.Handle("GET "+a.path, a)
	}
	for _, e := range endpoints {
		con.mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) { e.serve(con, w, r) })
	}
	return con
}

// endpoints are the console's endpoints in addition to its files. docs/serve.md documents all of them.
var endpoints = []struct {
	pattern string // for http.ServeMux
	serve   func(*Console, http.ResponseWriter, *http.Request)
}{
	{"GET /console/start", (*Console).start},
	{"POST /console/login", (*Console).login},
	{"POST /console/link", (*Console).exchange},
	{"POST /console/logout", (*Console).logout},
	{"POST /console/layout", (*Console).layout},
}

// policy is the Content-Security-Policy. Pages can load only files of this server, cannot run inline scripts, and cannot be in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// protect sets the security headers of all responses.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
}

// ServeHTTP responds to requests below /console/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	c.mux.ServeHTTP(w, r)
}

// start returns what a page needs first: whether the user must sign in, whether this is possible with a key, and the user's role.
func (c *Console) start(w http.ResponseWriter, r *http.Request) {
	caller, signedIn := c.Caller(r)
	answer(w, map[string]any{
		"version": c.cfg.Version, "where": c.cfg.Where, "login": !c.cfg.Open, "keys": len(c.cfg.Keys) > 0,
		"signedIn": signedIn, "role": caller.Role.String(),
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // fails only if the client has disconnected
}

// maxDefinition is the maximum size of a definition in bytes. AWS's limit is 1 MiB.
const maxDefinition = 2 << 20

// layout returns the layout of a definition's graph. It needs a session, so that nobody else can make the server compute.
func (c *Console) layout(w http.ResponseWriter, r *http.Request) {
	if _, signedIn := c.Caller(r); !signedIn {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	definition, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDefinition))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		http.Error(w, "the definition is larger than 2 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		return // the client has disconnected
	}
	placed, err := graph.PlaceDefinition(definition)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, placed)
}

// Package console serves the pages that a browser shows: files that are built into the binary, signing in, and the
// layout of a definition's graph. The pages speak the Step Functions API themselves, and /rayorch/v1/ where a server of
// ours answers it; whoever wires this package says where those requests go. In front of an API elsewhere, it folds the
// executions that are watched (internal/view/progress/live). It keeps nothing else but the browsers that signed in.
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

// Config is what New needs; the zero value is a console that links alone sign in at.
type Config struct {
	// Keys are the access keys with which one may sign in. Defaults to none.
	Keys access.Keys
	// Open lets everybody in who can reach the console, as if they had signed in with a key of the role admin.
	Open bool
	// Where is what the pages show as the place that executions run in, such as "AWS us-east-1". Defaults to nothing.
	Where string
	// Version is rayorch's.
	Version string
	// Limits count failed attempts to sign in. Defaults to limits of the console's own.
	Limits *limit.Limits
	// Now is the clock, by which sessions end. Defaults to time.Now.
	Now func() time.Time
}

// Console answers what is below /console/.
type Console struct {
	cfg      Config
	mux      *http.ServeMux
	sessions *sessions
	tokens   *tokens
}

// New makes a console.
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

// endpoints are what the console answers besides its files; docs/serve.md documents each.
var endpoints = []struct {
	pattern string // of http.ServeMux
	serve   func(*Console, http.ResponseWriter, *http.Request)
}{
	{"GET /console/start", (*Console).start},
	{"POST /console/login", (*Console).login},
	{"POST /console/link", (*Console).exchange},
	{"POST /console/logout", (*Console).logout},
	{"POST /console/layout", (*Console).layout},
}

// policy lets a page load what this server gives and nothing else, run no script that stands in it, and be in no frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// protect sets the headers that keep a page to itself.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
}

// ServeHTTP answers a request below /console/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	c.mux.ServeHTTP(w, r)
}

// start tells a page what it needs to know before anything else: whether one has to sign in, whether there are keys to do so,
// and what one may do.
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
	_ = json.NewEncoder(w).Encode(v) // the client is gone when this fails
}

// maxDefinition is what AWS takes, and room to spare.
const maxDefinition = 2 << 20

// layout answers a definition with the places of its states. It computes something for the caller, so it wants to know
// the caller like everything else.
func (c *Console) layout(w http.ResponseWriter, r *http.Request) {
	if _, signedIn := c.Caller(r); !signedIn {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	definition, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDefinition))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		http.Error(w, "the definition is too large to draw", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		return // the client is gone
	}
	placed, err := graph.PlaceDefinition(definition)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, placed)
}

// Package api serves the Step Functions API (AWS JSON 1.0) over an engine and a catalog, so that the AWS CLI, any AWS SDK
// and rayorch's own commands work against it with nothing but an endpoint URL; and, under /rayorch/v1/, the little that AWS
// has no action for: logs, waiting for events, health, metrics. It checks requests, translates, and answers in AWS's
// words; it decides nothing about machines (catalog) or executions (engine).
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/value"
	"github.com/rayorch/rayorch/internal/view/progress/live"
)

// Config is what New needs; Engine and Catalog have no default.
type Config struct {
	Engine  *engine.Engine
	Catalog *catalog.Catalog
	// Keys are the access keys that may call, each within its role. Without any, every signature is taken, every caller may do
	// everything, and only requests that name a loopback host are answered.
	Keys access.Keys
	// Hosts are names, besides loopback's, under which the server may be called without keys. Defaults to none.
	Hosts []string
	// Now is the clock, against which signatures expire. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// SDK, when it is given, runs the engine's aws-sdk:sfn tasks against this server.
	SDK *SDKTasks
	// Owner says that only the owner of the state directory can reach the server: definitions and inputs are then the owner's own.
	// Defaults to no: what tasks may use is limited (task.OriginLabel).
	Owner bool
	// Secrets takes the values of secrets from those who start executions. Only a server that nobody but the user can reach may
	// have it. Defaults to none.
	Secrets Secrets
	// Code has the snapshots of the code that executions run. Defaults to none.
	Code Code
	// Version is shown by /rayorch/v1/info.
	Version string
	// Pprof serves /debug/pprof/. Defaults to off.
	Pprof bool
	// Console answers below /console/: the pages that a browser shows, and signing in. Defaults to none.
	Console http.Handler
	// Session says whose browser a request comes from, if it signed in at the console: it then needs no signature.
	// Defaults to none.
	Session func(*http.Request) (access.Caller, bool)
	// Limits count failed attempts, connections and bodies. Defaults to limits of the server's own.
	Limits *limit.Limits
	// ConsoleLink makes a link that signs a browser in at the console of this process, once; ok is false where it serves none.
	// Only a server that nobody but the user can reach may have it. Defaults to none.
	ConsoleLink func() (link string, ok bool)
	// Closing ends what would go on for as long as a client listens. Defaults to never.
	Closing <-chan struct{}
}

// Server is the API's http.Handler.
type Server struct {
	cfg     Config
	eng     *engine.Engine
	cat     *catalog.Catalog
	guard   Guard
	extras  http.Handler
	metrics *metrics
	limits  *limit.Limits
	replays *replays
	shown   http.HandlerFunc // how executions are shown
}

// New makes a server. It starts nothing: hand it to an http.Server.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Limits == nil {
		c.Limits = limit.New(limit.Config{Now: c.Now, Logger: c.Logger})
	}
	s := &Server{
		cfg: c, eng: c.Engine, cat: c.Catalog, metrics: newMetrics(c.Engine, c.Limits), limits: c.Limits, replays: newReplays(c.Now),
	}
	s.shown = live.New(source{s.eng}).Handler(s.failExtra)
	s.guard = Guard{Keys: len(c.Keys) > 0, Hosts: map[string]bool{}}
	for _, h := range c.Hosts {
		s.guard.Hosts[h] = true
	}
	s.extras = s.newExtras()
	if c.SDK != nil {
		c.SDK.bind(s)
	}
	return s
}

// ServeHTTP answers a request: the API's are all POST /.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.guard.Check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if r.URL.Path == "/" && r.Method == http.MethodPost {
		s.serveAction(w, r)
		return
	}
	s.extras.ServeHTTP(w, r)
}

// action is one of the API's operations: what its input looks like, and how it is answered.
type action struct {
	name  string
	input structure
	run   func(s *Server, ctx context.Context, in *value.Object) (*value.Object, error)
}

// actions holds all that the API can do, by name. It is complete before the first request.
var actions = map[string]*action{}

// register is called by the files that hold the actions, at start-up.
func register(all ...action) {
	for i := range all {
		actions[all[i].name] = &all[i]
	}
}

// serveAction is the whole of a request. Every way out of it goes through answer or refuse, and is counted.
func (s *Server) serveAction(w http.ResponseWriter, r *http.Request) {
	began := s.cfg.Now()
	c := newCall(w)
	defer c.release()
	a, refused, err := s.accept(c, r)
	var out *value.Object
	if err == nil {
		ctx := r.Context()
		if r.Header.Get(access.OriginHeader) != "" {
			ctx = context.WithValue(ctx, networkKey{}, true)
		}
		out, err = s.perform(ctx, c, a)
	}
	if err != nil && r.Context().Err() == nil {
		refused()
	}
	code := ""
	if err != nil {
		fault := s.fault(r.Context(), a, err)
		c.refuse(fault)
		code = fault.Code
	} else {
		c.answer(out)
	}
	s.metrics.request(a, code, s.cfg.Now().Sub(began))
}

// accept reads a request as far as to know that it may be answered: not a byte of the body for a caller whose key is
// unknown. refused is to be called if the request was not carried out.
func (s *Server) accept(c *call, r *http.Request) (a *action, refused func(), err error) {
	refused = func() {}
	who, err := s.claim(r)
	if err != nil {
		return nil, refused, err
	}
	if err := s.readBody(c, r, who); err != nil {
		return nil, refused, err
	}
	if err := s.prove(who, r, c.body); err != nil {
		return nil, refused, err
	}
	if err := s.admitConn(r); err != nil {
		return nil, refused, err
	}
	a = actions[actionName(r)]
	if a == nil {
		return nil, refused, &fault{Code: "UnknownOperationException", Message: "", Status: http.StatusBadRequest}
	}
	if err := who.caller.May(a.name); err != nil {
		return nil, refused, denied("AccessDeniedException", err.Error())
	}
	if a.changes() {
		refused, err = s.replays.use(who, r)
	}
	return a, refused, err
}

// perform checks the input by its shape before the action sees it, so that actions may read members without asking.
func (s *Server) perform(ctx context.Context, c *call, a *action) (*value.Object, error) {
	in, err := parseBody(c.body)
	if err != nil {
		return nil, err
	}
	if err := a.input.check(in); err != nil {
		return nil, err
	}
	out, err := a.run(s, ctx, in)
	return out, store.Of(text(in, "executionArn"), err)
}

// fault is an error in AWS's terms.
type fault struct {
	Code, Message string
	Status        int
}

func (f *fault) Error() string { return f.Code + ": " + f.Message }

// refusal is the caller's fault: AWS answers these with status 400, whatever the code.
func refusal(code, message string) *fault { return &fault{code, message, http.StatusBadRequest} }

func invalid(message string) *fault { return refusal("ValidationException", message) }

// fault puts any error into AWS's terms. What is nobody's fault but ours is logged and told without its inside.
func (s *Server) fault(ctx context.Context, a *action, err error) *fault {
	var f *fault
	var c *catalog.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &c):
		return refusal(c.Code, c.Message)
	case ctx.Err() != nil:
		return &fault{"RequestAbortedException", "the request was given up", 499}
	}
	if f := engineFault(err); f != nil {
		return f
	}
	name := "unknown"
	if a != nil {
		name = a.name
	}
	s.cfg.Logger.Error("request failed", "action", name, "error", err)
	return &fault{"InternalServerException", reason(err), http.StatusInternalServerError}
}

// reason is what a client may know of an error that only the operator can do something about.
func reason(err error) string {
	var d *store.DamagedError
	if errors.As(err, &d) {
		return d.Summary() + "; rayorch store check on the server reports everything that is damaged"
	}
	return "the request failed: the server's log says why"
}

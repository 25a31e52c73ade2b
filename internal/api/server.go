// Package api serves the Step Functions API (AWS JSON 1.0) on top of an engine and a catalog. The AWS CLI, any AWS SDK and
// rayorch's own commands work against it with only an endpoint URL. Below /rayorch/v1/, it serves what has no action in the
// Step Functions API: logs, waiting for events, search, resume. It also serves health checks and metrics.
//
// The package authenticates and validates requests, translates them into calls of the engine and the catalog, and returns
// errors with AWS's codes and messages. Decisions about state machines belong to package catalog, decisions about executions
// to package engine.
//
// A request takes this path: Guard (guard.go) rejects requests of other sites. POST / goes to serveAction, which authenticates the
// caller (sigv4.go), checks the role (package access) and replays (replays.go), validates the input against the action's shape
// (shape.go), and calls the action (executions.go, machines.go, versions.go, tasks.go, mapruns.go, tags.go, teststate.go). All other
// paths go to the endpoints (extras.go). To add an action, register it in an init function and give it a role in package access.
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

// Config configures a Server. Engine and Catalog are required.
type Config struct {
	Engine  *engine.Engine
	Catalog *catalog.Catalog
	// Keys are the access keys of callers, with their roles. If there are none, the server does not check signatures, every
	// caller has the role admin, and only requests whose Host is a loopback name or in Hosts are accepted.
	Keys access.Keys
	// Hosts are host names, in addition to loopback names, that requests may use if there are no keys. Defaults to none.
	Hosts []string
	// Now is the clock that decides whether a signature has expired. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// SDK, if not nil, runs the engine's aws-sdk:sfn tasks against this server.
	SDK *SDKTasks
	// Owner is true if only the owner of the state directory can reach the server. Definitions and inputs then count as the
	// owner's. If it is false, the resources that tasks may use are limited (task.OriginLabel).
	Owner bool
	// Secrets receives the values of secrets from the clients that start executions. Set it only for a server that no other
	// user can reach. Defaults to none.
	Secrets Secrets
	// Code has the snapshots of the code that executions run. Defaults to none.
	Code Code
	// Version is returned by /rayorch/v1/info.
	Version string
	// Pprof enables /debug/pprof/. Defaults to false.
	Pprof bool
	// Console serves /console/: the pages for browsers, and sign-in. Defaults to none.
	Console http.Handler
	// Session returns the caller of a request from a browser that is signed in at the console. Such a request needs no
	// signature. Defaults to none.
	Session func(*http.Request) (access.Caller, bool)
	// Limits count failed sign-in attempts, connections and request bodies. Defaults to new limits for this server alone.
	Limits *limit.Limits
	// ConsoleLink creates a one-time link that signs a browser in at the console of this process. ok is false if the process
	// does not serve a console. Set it only for a server that no other user can reach. Defaults to none.
	ConsoleLink func() (link string, ok bool)
	// Closing is closed when the server is about to stop. Responses without an end of their own, such as event streams, then
	// end. Defaults to never.
	Closing <-chan struct{}
}

// Server is the API's http.Handler.
type Server struct {
	cfg         Config
	eng         *engine.Engine
	cat         *catalog.Catalog
	guard       Guard
	extras      http.Handler // everything but POST /
	metrics     *metrics
	limits      *limit.Limits
	replays     *replays
	viewHandler http.HandlerFunc // /rayorch/v1/view
}

// New returns a handler. It starts no goroutine and opens no listener: pass it to an http.Server.
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
	s.viewHandler = live.New(source{s.eng}).Handler(s.failExtra)
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

// ServeHTTP answers a request. Every action of the Step Functions API is POST /; all other requests go to the endpoints.
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

// action is an action of the Step Functions API: its name, the shape of its input, and its implementation. run is called
// only with an input that the shape accepts.
type action struct {
	name  string
	input structure
	run   func(s *Server, ctx context.Context, in *value.Object) (*value.Object, error)
}

// actions are all actions by name. Only init functions write to it, so that requests read it without a lock.
var actions = map[string]*action{}

// register adds actions. The init functions of the files that implement them call it.
func register(all ...action) {
	for i := range all {
		actions[all[i].name] = &all[i]
	}
}

// serveAction answers an action. Each request is answered by either answer or refuse, and counted in the metrics.
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

// accept authenticates and authorizes a request, in this order: the header, the body, the signature, the role, replays. It does
// not read the body of a caller whose key is unknown. The caller of accept must call refused if the request was not carried
// out, so that the client can send it again with the same signature.
func (s *Server) accept(c *call, r *http.Request) (a *action, refused func(), err error) {
	refused = func() {}
	who, err := s.claim(r)
	if err != nil {
		return nil, refused, err
	}
	if err := s.readBody(c, r, who); err != nil {
		return nil, refused, err
	}
	if err := s.verify(who, r, c.body); err != nil {
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

// perform parses and validates the input, and runs the action. Because of the validation, actions can read members without
// checking their types.
func (s *Server) perform(ctx context.Context, c *call, a *action) (*value.Object, error) {
	in, err := parseBody(c.body)
	if err != nil {
		return nil, err
	}
	if err := a.input.check(in); err != nil {
		return nil, err
	}
	out, err := a.run(s, ctx, in)
	return out, store.WithExecution(text(in, "executionArn"), err)
}

// fault is an error as AWS reports it: its code, its message, and the HTTP status.
type fault struct {
	Code, Message string
	Status        int
}

func (f *fault) Error() string { return f.Code + ": " + f.Message }

// refusal returns an error that the caller caused. AWS answers these with status 400, whatever the code.
func refusal(code, message string) *fault { return &fault{code, message, http.StatusBadRequest} }

func invalid(message string) *fault { return refusal("ValidationException", message) }

// fault converts any error to AWS's form. An internal error is logged in full; the client gets only its reason.
func (s *Server) fault(ctx context.Context, a *action, err error) *fault {
	var f *fault
	var c *catalog.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &c):
		return refusal(c.Code, c.Message)
	case ctx.Err() != nil:
		return &fault{"RequestAbortedException", "the client closed the request", 499}
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

// reason returns what a client may know about an internal error. Details could contain paths or inputs of other callers.
func reason(err error) string {
	var d *store.DamagedError
	if errors.As(err, &d) {
		return d.Summary() + "; to list all damage, run rayorch store check on the server"
	}
	return "the request failed; see the server's log"
}

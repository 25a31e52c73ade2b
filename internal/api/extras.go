package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/value"
)

// endpoint is an HTTP endpoint that is not an action of the Step Functions API. docs/serve.md documents all of them; package
// access has the role that each needs. Tests compare the three lists.
type endpoint struct {
	pattern string // for http.ServeMux
	serve   func(*Server, http.ResponseWriter, *http.Request)
	// open endpoints need no key.
	open bool
	// on reports whether a server with this configuration has the endpoint. Defaults to true.
	on func(*Config) bool
}

// endpoints returns all endpoints that a server can have.
func endpoints() []endpoint {
	return []endpoint{
		{pattern: "GET /healthz", serve: (*Server).healthz, open: true},
		{pattern: "GET /readyz", serve: (*Server).readyz, open: true},
		{pattern: "GET /metrics", serve: (*Server).serveMetrics},

		{pattern: "GET /rayorch/v1/aftermath", serve: (*Server).cleanupReport},
		{pattern: "GET /rayorch/v1/changes", serve: (*Server).changes},
		{pattern: "GET /rayorch/v1/code", serve: (*Server).code, on: hasCode},
		{pattern: "GET /rayorch/v1/counts", serve: (*Server).counts},
		{pattern: "GET /rayorch/v1/executions", serve: (*Server).search},
		{pattern: "GET /rayorch/v1/info", serve: (*Server).info},
		{pattern: "GET /rayorch/v1/left", serve: (*Server).left},
		{pattern: "GET /rayorch/v1/log", serve: (*Server).log},
		{pattern: "GET /rayorch/v1/logs", serve: (*Server).logs},
		{pattern: "GET /rayorch/v1/origin", serve: (*Server).origin},
		{pattern: "GET /rayorch/v1/pending", serve: (*Server).pending},
		{pattern: "GET /rayorch/v1/resting", serve: (*Server).resting},
		{pattern: "GET /rayorch/v1/view", serve: (*Server).view},
		{pattern: "GET /rayorch/v1/watch", serve: (*Server).watch},
		{pattern: "POST /rayorch/v1/resume", serve: (*Server).resume},

		{pattern: "GET /rayorch/v1/secrets", serve: (*Server).missingSecrets, on: hasSecrets},
		// Like the secrets, only for the user: the server reads the directories that the request names.
		{pattern: "POST /rayorch/v1/code", serve: (*Server).recordSources, on: func(c *Config) bool { return hasCode(c) && hasSecrets(c) }},
		{pattern: "POST /rayorch/v1/console", serve: (*Server).consoleLink, on: func(c *Config) bool { return c.ConsoleLink != nil }},
		{pattern: "POST /rayorch/v1/secrets", serve: (*Server).putSecrets, on: hasSecrets},

		{pattern: "GET /debug/pprof/", serve: ignoringServer(pprof.Index), on: hasPprof},
		{pattern: "GET /debug/pprof/profile", serve: ignoringServer(pprof.Profile), on: hasPprof},
		{pattern: "GET /debug/pprof/symbol", serve: ignoringServer(pprof.Symbol), on: hasPprof},
		{pattern: "GET /debug/pprof/trace", serve: ignoringServer(pprof.Trace), on: hasPprof},
	}
}

func hasCode(c *Config) bool    { return c.Code != nil }
func hasSecrets(c *Config) bool { return c.Secrets != nil }
func hasPprof(c *Config) bool   { return c.Pprof }

// ignoringServer adapts a handler that does not use the Server.
func ignoringServer(h http.HandlerFunc) func(*Server, http.ResponseWriter, *http.Request) {
	return func(_ *Server, w http.ResponseWriter, r *http.Request) { h(w, r) }
}

// has reports whether this server has an endpoint.
func (s *Server) has(e endpoint) bool { return e.on == nil || e.on(&s.cfg) }

// newExtras returns the handler of all endpoints. It needs two muxes, because every path that is not open needs authentication,
// even one that does not exist: unauthenticated callers cannot find out what a server has.
func (s *Server) newExtras() http.Handler {
	open, closed := http.NewServeMux(), http.NewServeMux()
	for _, e := range endpoints() {
		mux := closed
		if e.open {
			mux = open
		}
		if s.has(e) {
			mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) { e.serve(s, w, r) })
		}
	}
	if s.cfg.Console != nil {
		open.Handle("/console/", s.cfg.Console)
		open.Handle("GET /{$}", http.RedirectHandler("/console/", http.StatusFound))
	}
	open.Handle("/", s.withKeys(closed))
	return open
}

// withKeys requires a signature, Basic authentication with the key and its secret, or a session, if keys are configured. It
// also checks that the caller's role is sufficient for the endpoint.
func (s *Server) withKeys(next *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := s.admit(r)
		if err != nil {
			s.refuseExtra(w, r, err)
			return
		}
		if _, endpoint := next.Handler(r); endpoint != "" { // if empty, next answers with 404 or 405
			if err := caller.May(endpoint); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// admit authenticates the caller of an endpoint. A signature must not cover a body: endpoints with a body exist only on the
// socket, where nothing is signed.
func (s *Server) admit(r *http.Request) (access.Caller, error) {
	if key, secret, ok := r.BasicAuth(); ok {
		if caller, open := s.callerWithoutSignature(r); open {
			return caller, s.admitConn(r)
		}
		var caller access.Caller
		err := s.checkAttempt(r, limit.Password, key, func() (ok bool) {
			caller, ok = s.cfg.Keys.Check(key, secret)
			return ok
		})
		if err != nil {
			return caller, err
		}
		return caller, s.admitConn(r)
	}
	c, err := s.claim(r)
	if err != nil {
		return access.Caller{}, err
	}
	if err := s.verify(c, r, nil); err != nil {
		return access.Caller{}, err
	}
	if r.Method == http.MethodPost {
		if _, err := s.replays.use(c, r); err != nil {
			return access.Caller{}, err
		}
	}
	return c.caller, s.admitConn(r)
}

// refuseExtra answers a request that admit rejected. Requests of scripts in a browser (Sec-Fetch-Mode) get no WWW-Authenticate
// header: the browser would open its own password dialog in addition to the console's sign-in form.
func (s *Server) refuseExtra(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusUnauthorized
	var f *fault
	if errors.As(err, &f) && f.Status != http.StatusForbidden {
		status = f.Status
	} else if r.Header.Get("Sec-Fetch-Mode") == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="rayorch"`)
	}
	http.Error(w, err.Error(), status)
}

// consoleLink returns a link that signs a browser in at the console of this process. `rayorch console` requests it.
func (s *Server) consoleLink(w http.ResponseWriter, _ *http.Request) {
	link, ok := s.cfg.ConsoleLink()
	if !ok {
		http.Error(w, "this process does not serve a console", http.StatusNotFound)
		return
	}
	writeJSON(w, map[string]string{"link": link})
}

// healthz is the liveness probe: it succeeds while the process can answer requests.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readyz is the readiness probe: it fails if the database cannot be read, or if there is no disk space for new work.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	why := "not ready: "
	_, err := s.eng.List(engine.ListFilter{Limit: 1})
	if full := s.eng.Store().Admit(); full != nil {
		why, err = "not ready, refusing new work: ", full
	}
	if err != nil {
		http.Error(w, why+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// info identifies the server as rayorch rather than AWS, with its release and its endpoints.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"name": "rayorch", "version": s.cfg.Version, "api": "states-2016-11-23", "features": s.features(),
	})
}

// features returns the names of this server's endpoints below /rayorch/v1/, sorted, each once.
func (s *Server) features() []string {
	var names []string
	for _, e := range endpoints() {
		if _, name, ours := strings.Cut(e.pattern, " /rayorch/v1/"); ours && s.has(e) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // fails only if the client has disconnected
}

// failExtra answers an endpoint's request with an error: a status and one line of text.
func (s *Server) failExtra(w http.ResponseWriter, r *http.Request, err error) {
	err = store.WithExecution(r.URL.Query().Get("execution"), err)
	switch {
	case errors.Is(err, engine.ErrExecutionDoesNotExist), errors.Is(err, engine.ErrNoLog):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, store.ErrFull), errors.Is(err, engine.ErrClosing):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, engine.ErrInvalidPage), errors.Is(err, engine.ErrExpress):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case r.Context().Err() != nil: // the client has disconnected
	default:
		s.cfg.Logger.Error("request failed", "path", r.URL.Path, "error", err)
		http.Error(w, s.reasonOf(err), http.StatusInternalServerError)
	}
}

// reasonOf returns what the caller may know about an internal error. The owner of the state directory gets the error itself.
func (s *Server) reasonOf(err error) string {
	var damaged *store.DamagedError
	if s.cfg.Owner && !errors.As(err, &damaged) {
		return err.Error()
	}
	return reason(err)
}

// logs lists the stored logs of an execution: ?execution=ARN.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	kept, err := s.eng.Logs(r.URL.Query().Get("execution"))
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	type entry struct {
		Task, State   string
		Attempt       int
		Started       time.Time
		Size, Dropped int64
		Event         int64 `json:",omitempty"`
	}
	out := make([]entry, len(kept))
	for i, l := range kept {
		out[i] = entry(l)
	}
	writeJSON(w, map[string]any{"logs": out})
}

// log sends one log: ?execution=ARN, and task=ID, event=ID (of the TaskScheduled event), or state=NAME[&attempt=N]. With
// follow=true, the response continues until the task has ended.
func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	attempt, err := strconv.Atoi(cmp.Or(q.Get("attempt"), "0"))
	event, eventErr := strconv.ParseInt(cmp.Or(q.Get("event"), "0"), 10, 64)
	if err != nil || eventErr != nil {
		http.Error(w, "attempt and event must be integers", http.StatusBadRequest)
		return
	}
	r, stop := s.untilClosing(r)
	defer stop()
	log, err := s.eng.OpenLog(r.Context(), q.Get("execution"), engine.LogQuery{
		Task: q.Get("task"), Event: event, State: q.Get("state"), Attempt: attempt, Follow: q.Get("follow") == "true",
	})
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	defer log.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff") // or a browser could render a job's output as a page
	stream(r.Context(), w, log)
}

// untilClosing returns the request with a context that also ends when the server is about to stop. Otherwise, a browser that
// follows an execution would keep the server from exiting. The caller must call the returned function.
func (s *Server) untilClosing(r *http.Request) (*http.Request, func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.cfg.Closing: // if nil, never
			cancel()
		case <-ctx.Done():
		}
	}()
	return r.WithContext(ctx), func() { cancel(); <-done }
}

// stream copies from to the response, and flushes after each read. If a read fails, it aborts the connection: a regular end
// would look as if the client had received everything.
func stream(ctx context.Context, w http.ResponseWriter, from io.Reader) {
	flush := http.NewResponseController(w)
	flush.Flush()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
			flush.Flush()
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				panic(http.ErrAbortHandler)
			}
			return
		}
	}
}

// maxWatch is the longest duration of a long poll; a client that wants to wait longer sends another request.
const maxWatch = time.Minute

// watch waits for events of an execution: ?execution=ARN&after=EVENT. By default it responds once: when there is an event later
// than after, when the execution is closed, or after timeout seconds. With Accept: text/event-stream it sends every event.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	r, stop := s.untilClosing(r)
	defer stop()
	q := r.URL.Query()
	after, err1 := strconv.ParseInt(cmp.Or(q.Get("after"), "0"), 10, 64)
	seconds, err2 := strconv.ParseFloat(cmp.Or(q.Get("timeout"), "20"), 64)
	if err1 != nil || err2 != nil || seconds < 0 {
		http.Error(w, "after must be an integer, and timeout a number of seconds", http.StatusBadRequest)
		return
	}
	arn := q.Get("execution")
	if r.Header.Get("Accept") == "text/event-stream" {
		s.sendEvents(w, r, arn, after)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(maxWatch, time.Duration(seconds*float64(time.Second))))
	defer cancel()
	news, err := s.eng.Watch(ctx, arn, after)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.failExtra(w, r, err)
		return
	}
	if err != nil { // timeout: return the current state
		x, err := s.eng.Describe(arn)
		if err != nil {
			s.failExtra(w, r, err)
			return
		}
		news = engine.WatchResult{LastEventID: x.LastEventID, Status: x.Status, Closed: x.Closed()}
	}
	writeJSON(w, map[string]any{"lastEventId": news.LastEventID, "status": news.Status, "closed": news.Closed})
}

// sendEvents sends an execution's events as server-sent events, with their ids, until the execution is closed. A browser that
// reconnects continues after the last event that it received (Last-Event-ID).
func (s *Server) sendEvents(w http.ResponseWriter, r *http.Request, arn string, after int64) {
	if id, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		after = id
	}
	if _, err := s.eng.History(arn, engine.HistoryQuery{Limit: 1}); err != nil {
		s.failExtra(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	flush.Flush()
	for {
		news, err := s.eng.Watch(r.Context(), arn, after)
		if err != nil {
			return
		}
		for {
			events, err := s.eng.History(arn, engine.HistoryQuery{After: after, Limit: 1000})
			if err != nil {
				return
			}
			for i := range events {
				after = events[i].ID
				fmt.Fprintf(w, "id: %d\ndata: %s\n\n", after, value.Text(history.ToAPI(&events[i], true)))
			}
			if len(events) < 1000 {
				break
			}
		}
		flush.Flush()
		if news.Closed && after >= news.LastEventID {
			fmt.Fprintf(w, "event: closed\ndata: {\"status\":%q}\n\n", news.Status)
			flush.Flush()
			return
		}
	}
}

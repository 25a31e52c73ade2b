package api

import (
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

// endpoint is what the server answers that is no action of the Step Functions API. docs/serve.md documents each; the role that it needs is in
// the table of package access.
type endpoint struct {
	pattern string // of http.ServeMux
	serve   func(*Server, http.ResponseWriter, *http.Request)
	// open endpoints answer without a key.
	open bool
	// on says whether a server has the endpoint. Defaults to yes.
	on func(*Config) bool
}

// endpoints are all that a server may have.
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

		{pattern: "GET /rayorch/v1/secrets", serve: (*Server).wantedSecrets, on: hasSecrets},
		{pattern: "POST /rayorch/v1/code", serve: (*Server).nameCode, on: func(c *Config) bool { return hasCode(c) && hasSecrets(c) }}, // it reads directories
		{pattern: "POST /rayorch/v1/console", serve: (*Server).consoleLink, on: func(c *Config) bool { return c.ConsoleLink != nil }},
		{pattern: "POST /rayorch/v1/secrets", serve: (*Server).giveSecrets, on: hasSecrets},

		{pattern: "GET /debug/pprof/", serve: without(pprof.Index), on: hasPprof},
		{pattern: "GET /debug/pprof/profile", serve: without(pprof.Profile), on: hasPprof},
		{pattern: "GET /debug/pprof/symbol", serve: without(pprof.Symbol), on: hasPprof},
		{pattern: "GET /debug/pprof/trace", serve: without(pprof.Trace), on: hasPprof},
	}
}

func hasCode(c *Config) bool    { return c.Code != nil }
func hasSecrets(c *Config) bool { return c.Secrets != nil }
func hasPprof(c *Config) bool   { return c.Pprof }

// without is a handler that needs no server.
func without(h http.HandlerFunc) func(*Server, http.ResponseWriter, *http.Request) {
	return func(_ *Server, w http.ResponseWriter, r *http.Request) { h(w, r) }
}

// has says whether this server has an endpoint.
func (s *Server) has(e endpoint) bool { return e.on == nil || e.on(&s.cfg) }

// newExtras routes everything that is no action of the Step Functions API.
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

// withKeys wants a signature, or the key and its secret as Basic authentication, when keys are configured; and a role that may
// use the endpoint.
func (s *Server) withKeys(next *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := s.admit(r)
		if err != nil {
			s.refuseExtra(w, r, err)
			return
		}
		if _, endpoint := next.Handler(r); endpoint != "" { // none: the answer is 404 or 405
			if err := caller.May(endpoint); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// admit returns an authenticated caller.
func (s *Server) admit(r *http.Request) (access.Caller, error) {
	if key, secret, ok := r.BasicAuth(); ok {
		if caller, open := s.callerWithoutSignature(r); open {
			return caller, s.admitConn(r)
		}
		var caller access.Caller
		err := s.checked(r, limit.Password, key, func() (ok bool) {
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
	if err := s.prove(c, r, nil); err != nil {
		return access.Caller{}, err
	}
	if r.Method == http.MethodPost {
		if _, err := s.replays.use(c, r); err != nil {
			return access.Caller{}, err
		}
	}
	return c.caller, s.admitConn(r)
}

// refuseExtra answers who was not admitted. The console has a form of its own: a browser must not ask as well.
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

// consoleLink answers the owner's `rayorch console` with a link to the console that this process serves.
func (s *Server) consoleLink(w http.ResponseWriter, _ *http.Request) {
	link, ok := s.cfg.ConsoleLink()
	if !ok {
		http.Error(w, "this process serves no console", http.StatusNotFound)
		return
	}
	writeJSON(w, map[string]string{"link": link})
}

// healthz says that the process answers; an orchestrator restarts it when it does not.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readyz asks the store for something: a server that cannot read its disk is not ready, nor is one that has no disk space for new work.
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

// info lets a client tell this server from AWS, and see its release and what else it answers.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"name": "rayorch", "version": s.cfg.Version, "api": "states-2016-11-23", "features": s.features(),
	})
}

// features are the endpoints of this server below /rayorch/v1/, without the path, in alphabetical order.
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
	_ = json.NewEncoder(w).Encode(v) // the client is gone when this fails
}

// failExtra answers an error outside of the Step Functions API: a status and one line.
func (s *Server) failExtra(w http.ResponseWriter, r *http.Request, err error) {
	err = store.Of(r.URL.Query().Get("execution"), err)
	switch {
	case errors.Is(err, engine.ErrExecutionDoesNotExist), errors.Is(err, engine.ErrNoLog):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, store.ErrFull), errors.Is(err, engine.ErrClosing):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, engine.ErrInvalidPage), errors.Is(err, engine.ErrExpress):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case r.Context().Err() != nil: // nobody is there to read an answer
	default:
		s.cfg.Logger.Error("request failed", "path", r.URL.Path, "error", err)
		http.Error(w, s.reasonOf(err), http.StatusInternalServerError)
	}
}

// reasonOf is what the caller may know of an error. The owner of the state directory reads the log itself, and may be this process.
func (s *Server) reasonOf(err error) string {
	var damaged *store.DamagedError
	if s.cfg.Owner && !errors.As(err, &damaged) {
		return err.Error()
	}
	return reason(err)
}

// logs lists the kept logs of an execution: ?execution=ARN.
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

// log sends one log: ?execution=ARN, and task=ID, event=ID of the TaskScheduled event, or state=NAME[&attempt=N]; follow=true goes on
// until the task has ended.
func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	attempt, err := strconv.Atoi(or(q.Get("attempt"), "0"))
	event, eventErr := strconv.ParseInt(or(q.Get("event"), "0"), 10, 64)
	if err != nil || eventErr != nil {
		http.Error(w, "attempt and event must be numbers", http.StatusBadRequest)
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
	w.Header().Set("X-Content-Type-Options", "nosniff") // a browser shall not take a job's output for a page
	stream(r.Context(), w, log)
}

// untilClosing is a request that also ends when the server is about to: a browser would listen on for hours.
func (s *Server) untilClosing(r *http.Request) (*http.Request, func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.cfg.Closing: // for ever, where it is nil
			cancel()
		case <-ctx.Done():
		}
	}()
	return r.WithContext(ctx), func() { cancel(); <-done }
}

func or(s, without string) string {
	if s == "" {
		return without
	}
	return s
}

// stream copies what comes as it comes. A failed read cuts the response off: its end would look like the end of what is read.
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

// maxWatch bounds a long poll; the client asks again.
const maxWatch = time.Minute

// watch waits for news of an execution: ?execution=ARN&after=EVENT. By default it answers once, when there is an event later
// than after, when the execution is closed, or after timeout seconds. With Accept: text/event-stream it sends every event.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	r, stop := s.untilClosing(r)
	defer stop()
	q := r.URL.Query()
	after, err1 := strconv.ParseInt(or(q.Get("after"), "0"), 10, 64)
	seconds, err2 := strconv.ParseFloat(or(q.Get("timeout"), "20"), 64)
	if err1 != nil || err2 != nil || seconds < 0 {
		http.Error(w, "after and timeout must be numbers", http.StatusBadRequest)
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
	if err != nil { // nothing new in time: say how it stands
		x, err := s.eng.Describe(arn)
		if err != nil {
			s.failExtra(w, r, err)
			return
		}
		news = engine.WatchResult{LastEventID: x.LastEventID, Status: x.Status, Closed: x.Closed()}
	}
	writeJSON(w, map[string]any{"lastEventId": news.LastEventID, "status": news.Status, "closed": news.Closed})
}

// sendEvents sends an execution's events as server-sent events, with their ids, until it is closed.
func (s *Server) sendEvents(w http.ResponseWriter, r *http.Request, arn string, after int64) {
	if id, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		after = id // a browser that comes back
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

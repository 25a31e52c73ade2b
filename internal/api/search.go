package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// This file has what AWS's lists of executions lack: search over all state machines, by name and by time, and counts.

// searchQuery parses the parameters machine, status, name, after and before (Unix time in seconds, or RFC 3339), limit, next, and
// all, which includes cleanup machines.
func (s *Server) searchQuery(q url.Values) (engine.ListFilter, error) {
	out := engine.ListFilter{
		MachineARN: stepfn.Unqualified(q.Get("machine")), Status: stepfn.Status(q.Get("status")), Name: q.Get("name"), Token: q.Get("next"),
	}
	var errs [3]error
	out.After, errs[0] = timeParam(q, "after")
	out.Before, errs[1] = timeParam(q, "before")
	if limit := q.Get("limit"); limit != "" {
		if out.Limit, errs[2] = strconv.Atoi(limit); errs[2] != nil {
			errs[2] = errors.New("limit must be an integer")
		}
	}
	if out.Status != "" && !slices.Contains(executionStatus.enum, string(out.Status)) {
		return out, fmt.Errorf("status must be one of %s", strings.Join(executionStatus.enum, ", "))
	}
	if q.Get("all") != "true" {
		out.Without = isCleanupMachine
	}
	return out, errors.Join(errs[:]...)
}

// isCleanupMachine recognizes a cleanup machine by the suffix of its name, which the commands choose.
func isCleanupMachine(machineARN string) bool {
	return strings.HasSuffix(machineARN, stepfn.CleanupSuffix)
}

// timeParam parses a time: Unix time in seconds, or RFC 3339. It returns the zero time if the parameter is missing.
func timeParam(q url.Values, name string) (time.Time, error) {
	text := q.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1<<40 {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Unix() < 0 {
		return time.Time{}, fmt.Errorf("%s must be a Unix time in seconds or an RFC 3339 time", name)
	}
	return at, nil
}

// search returns a page of executions, newest first, with the members of ListExecutions. A search by name reads a limited number
// of executions for each page; reached is the start time of the last one that it read.
func (s *Server) search(w http.ResponseWriter, r *http.Request) {
	q, err := s.searchQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	page, err := s.eng.List(q)
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	items := make([]any, len(page.Executions))
	for i := range page.Executions {
		o := value.NewObject(10)
		summary(o, &page.Executions[i])
		o.Set("redriveCount", value.Int(int64(page.Executions[i].RedriveCount)))
		items[i] = o
	}
	out := value.Obj("executions", items)
	setText(out, "next", page.Next)
	if !page.Reached.IsZero() {
		out.Set("reached", value.Int(page.Reached.Unix()))
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(value.Append(nil, out)) // fails only if the client has disconnected
}

// counts returns the number of executions by status: of all executions that match the query, and for each state machine. whole
// is false if a search by name read only the newest executions.
func (s *Server) counts(w http.ResponseWriter, r *http.Request) {
	q, err := s.searchQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	by, whole, err := s.eng.Counts(q)
	if err != nil {
		s.failExtra(w, r, err)
		return
	}
	total := engine.Count{}
	for _, counts := range by {
		for status, n := range counts {
			total[status] += n
		}
	}
	writeJSON(w, map[string]any{"counts": total, "machines": by, "whole": whole})
}

// changesEvery is how often changes compares the engine's counts.
const changesEvery = time.Second

// changes sends a server-sent event when executions have started or ended, at most one per second, so that clients reload their
// lists. If there is no event for 15 seconds, it sends a comment, which keeps the connection open and detects a client that
// has disconnected.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	r, stop := s.untilClosing(r)
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	tick := time.NewTicker(changesEvery)
	defer tick.Stop()
	last, quiet := [...]int64{5: -1}, 0
	for {
		m := s.eng.Metrics()
		now := [...]int64{m.Started, m.Succeeded, m.Failed, m.TimedOut, m.Aborted, m.OpenRuns}
		switch {
		case now != last:
			fmt.Fprintf(w, "data: {\"open\":%d}\n\n", m.OpenRuns)
			last, quiet = now, 0
		case quiet >= 15:
			fmt.Fprint(w, ": still here\n\n")
			quiet = 0
		default:
			quiet++
		}
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// view answers how an execution is shown: ?execution=ARN&after=EVENT. Package live has the rest.
func (s *Server) view(w http.ResponseWriter, r *http.Request) {
	r, stop := s.untilClosing(r)
	defer stop()
	s.viewHandler(w, r)
}

// source is the engine's executions, for live.
type source struct{ eng *engine.Engine }

func (s source) Definition(_ context.Context, arn string) ([]byte, error) {
	return s.eng.Definition(arn)
}

func (s source) Events(_ context.Context, arn string, after int64, do func(*progress.Event)) error {
	const page = 1000
	for {
		events, err := s.eng.History(arn, engine.HistoryQuery{After: after, Limit: page})
		if err != nil {
			return err
		}
		for i := range events {
			do(progressEvent(&events[i]))
			after = events[i].ID
		}
		if len(events) < page {
			return nil
		}
	}
}

// progressEvent is an event as the fold reads it.
func progressEvent(e *history.Event) *progress.Event {
	name := e.Name
	if name == "" {
		name = e.State // of the failure of an expression
	}
	return &progress.Event{
		ID: e.ID, Previous: e.Previous, Type: string(e.Type), Time: e.Time, Name: name, Resource: e.Resource, Input: string(e.Input),
		Output: string(e.Output), Error: e.Error, Cause: e.Cause, MapRun: e.MapRunARN, Index: int(e.Index), Length: int(e.Length),
		Assigned: e.AssignedVariables,
	}
}

func (s source) Wait(ctx context.Context, arn string, after int64, most time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if _, err := s.eng.Watch(bounded, arn, after); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return ctx.Err()
}

func (s source) Outside(_ context.Context, arn string) (waiting []progress.Waiting, parked string, err error) {
	all, err := s.eng.Pending(arn)
	for _, p := range all {
		waiting = append(waiting, progress.Waiting{Event: p.Event, Since: p.Since, Reason: p.Reason})
	}
	for _, p := range s.eng.Parked() {
		if p.ARN == arn {
			parked = p.Reason
		}
	}
	return waiting, parked, err
}

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

// view returns the changes of an execution's view: ?execution=ARN&after=EVENT. Package live implements it.
func (s *Server) view(w http.ResponseWriter, r *http.Request) {
	r, stop := s.untilClosing(r)
	defer stop()
	s.viewHandler(w, r)
}

// source implements live.Source with the engine's executions.
type source struct{ eng *engine.Engine }

// Definition returns the definition of an execution.
func (s source) Definition(_ context.Context, arn string) ([]byte, error) {
	return s.eng.Definition(arn)
}

// Events calls do for each event after the given one, in order.
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

// progressEvent converts an event to the form that package progress uses.
func progressEvent(e *history.Event) *progress.Event {
	name := e.Name
	if name == "" {
		name = e.State // an event about an expression that failed has no Name
	}
	return &progress.Event{
		ID: e.ID, Previous: e.Previous, Type: string(e.Type), Time: e.Time, Name: name, Resource: e.Resource, Input: string(e.Input),
		Output: string(e.Output), Error: e.Error, Cause: e.Cause, MapRun: e.MapRunARN, Index: int(e.Index), Length: int(e.Length),
		Assigned: e.AssignedVariables,
	}
}

// Wait waits until there is an event after the given one or the execution is closed, at most for the given duration.
func (s source) Wait(ctx context.Context, arn string, after int64, most time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if _, err := s.eng.Watch(bounded, arn, after); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return ctx.Err()
}

// Outside returns the current facts about an execution that its history does not contain: its pending tasks, and why it is
// parked.
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

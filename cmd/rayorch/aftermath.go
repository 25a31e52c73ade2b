package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/terminal"
)

// aftermath is what the engine did for an execution and no event tells: what became of work that was stopped, and which
// execution clears away. AWS has nothing of the kind.
func (s *session) aftermath(ctx context.Context, arn string) ([]engine.Aftermath, error) {
	switch {
	case s.owner != nil:
		return s.owner.eng.Aftermath(arn)
	case s.http == nil:
		return nil, nil
	}
	resp, err := s.extension(ctx, "aftermath", url.Values{"execution": {arn}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		Aftermath []struct {
			Type      string
			Timestamp time.Time
			Stopped   struct {
				Name, Resource, Outcome string
				Attempt                 int
			} `json:"taskStoppedEventDetails"`
			Cleanup struct{ Execution string } `json:"cleanupStartedEventDetails"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("read the aftermath: %w", err)
	}
	var all []engine.Aftermath
	for _, d := range out.Aftermath {
		all = append(all, engine.Aftermath{
			Time: d.Timestamp, Type: d.Type, State: d.Stopped.Name, Resource: d.Stopped.Resource,
			Outcome: d.Stopped.Outcome, Attempt: d.Stopped.Attempt, Execution: d.Cleanup.Execution,
		})
	}
	return all, nil
}

// eventTime is how the time of an event is shown.
const eventTime = "2006-01-02T15:04:05.000Z"

// aftermathDetails are shaped as an event's.
func aftermathDetails(a *engine.Aftermath) (key string, details map[string]any) {
	if a.Type == engine.CleanupStarted {
		return "cleanupStartedEventDetails", map[string]any{"execution": a.Execution}
	}
	return "taskStoppedEventDetails", map[string]any{
		"name": a.State, "attempt": a.Attempt, "resource": a.Resource, "outcome": a.Outcome,
	}
}

// aftermathJSON is an event without an id: it is none of the history's.
func aftermathJSON(a *engine.Aftermath) map[string]any {
	key, details := aftermathDetails(a)
	return map[string]any{"type": a.Type, "timestamp": a.Time.UTC().Format(time.RFC3339Nano), key: details}
}

func aftermathLine(a *engine.Aftermath) string {
	line := fmt.Sprintf("%5s  %s  %-24s", "-", a.Time.UTC().Format(eventTime), a.Type)
	_, d := aftermathDetails(a)
	for _, k := range []string{"name", "resource", "outcome", "execution"} {
		if v, ok := d[k]; ok {
			line += "  " + k + "=" + terminal.Clean(fmt.Sprint(v))
		}
	}
	return line
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// aftermath is the cleanup report of an execution: what became of stopped work, which no event of the history records.
func (s *session) aftermath(ctx context.Context, arn string) ([]engine.Aftermath, error) {
	return s.client.Aftermath(ctx, arn)
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

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// cleanupReport is the cleanup report of an execution: what became of stopped work, which no event of the history records.
func (s *session) cleanupReport(ctx context.Context, arn string) ([]engine.CleanupEntry, error) {
	return s.client.CleanupReport(ctx, arn)
}

// eventTime is how the time of an event is shown.
const eventTime = "2006-01-02T15:04:05.000Z"

// cleanupDetails are shaped as an event's.
func cleanupDetails(a *engine.CleanupEntry) (key string, details map[string]any) {
	if a.Type == engine.CleanupStarted {
		return "cleanupStartedEventDetails", map[string]any{"execution": a.Execution}
	}
	return "taskStoppedEventDetails", map[string]any{
		"name": a.State, "attempt": a.Attempt, "resource": a.Resource, "outcome": a.Outcome,
	}
}

// cleanupJSON is an event without an id: it is none of the history's.
func cleanupJSON(a *engine.CleanupEntry) map[string]any {
	key, details := cleanupDetails(a)
	return map[string]any{"type": a.Type, "timestamp": a.Time.UTC().Format(time.RFC3339Nano), key: details}
}

func cleanupLine(a *engine.CleanupEntry) string {
	line := fmt.Sprintf("%5s  %s  %-24s", "-", a.Time.UTC().Format(eventTime), a.Type)
	_, d := cleanupDetails(a)
	for _, k := range []string{"name", "resource", "outcome", "execution"} {
		if v, ok := d[k]; ok {
			line += "  " + k + "=" + terminal.Clean(fmt.Sprint(v))
		}
	}
	return line
}

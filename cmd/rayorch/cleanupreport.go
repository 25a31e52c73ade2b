package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// cleanupReport returns the cleanup report of an execution: the outcome of stopping its work, which the history does not record.
func (s *session) cleanupReport(ctx context.Context, arn string) ([]engine.CleanupEntry, error) {
	return s.client.CleanupReport(ctx, arn)
}

// eventTime is the format of an event's time, in UTC.
const eventTime = "2006-01-02T15:04:05.000Z"

// cleanupDetails returns the details of an entry in the form of an event's details.
func cleanupDetails(a *engine.CleanupEntry) (key string, details map[string]any) {
	if a.Type == engine.CleanupStarted {
		return "cleanupStartedEventDetails", map[string]any{"execution": a.Execution}
	}
	return "taskStoppedEventDetails", map[string]any{
		"name": a.State, "attempt": a.Attempt, "resource": a.Resource, "outcome": a.Outcome,
	}
}

// cleanupJSON returns an entry as an event without an id, because it is not part of the history.
func cleanupJSON(a *engine.CleanupEntry) map[string]any {
	key, details := cleanupDetails(a)
	return map[string]any{"type": a.Type, "timestamp": a.Time.UTC().Format(time.RFC3339Nano), key: details}
}

// cleanupLine returns an entry as a line of history, with - in place of the id.
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

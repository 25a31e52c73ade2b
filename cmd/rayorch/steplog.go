package main

import (
	"context"
	"slices"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/progress"
)

// logsOf lists the logs that are kept of an execution.
func (s *session) logsOf(ctx context.Context, arn string) ([]engine.LogInfo, error) {
	return s.client.Logs(ctx, arn)
}

// stepLogs finds the log of a step's attempt by the events of its tasks. Logs of earlier releases are kept without an event: those of
// the state and the attempt are found, which may be several, of iterations of a Map.
func stepLogs(logs []engine.LogInfo, st *progress.Entry, attempt int) []engine.LogInfo {
	for _, event := range slices.Backward(st.Tasks(attempt)) {
		for _, l := range logs {
			if l.Event == event {
				return []engine.LogInfo{l}
			}
		}
	}
	var old []engine.LogInfo
	for _, l := range logs {
		if l.Event == 0 && l.State == st.State && l.Attempt == attempt {
			old = append(old, l)
		}
	}
	return old
}

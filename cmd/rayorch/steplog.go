package main

import (
	"context"
	"slices"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// logsOf lists the logs that are kept of an execution.
func (s *session) logsOf(ctx context.Context, arn string) ([]engine.LogInfo, error) {
	return s.client.Logs(ctx, arn)
}

// stepLogs returns the log of a step's attempt, which it finds by the events of the step's tasks. Logs of earlier releases have no event:
// of these, it returns the logs of the state that began during the attempt. There may be several, of different iterations of a Map.
func stepLogs(logs []engine.LogInfo, st *progress.Entry, attempt int) []engine.LogInfo {
	for _, event := range slices.Backward(st.Tasks(attempt)) {
		for _, l := range logs {
			if l.Event == event {
				return []engine.LogInfo{l}
			}
		}
	}
	var during, same []engine.LogInfo
	for _, l := range logs {
		if l.Event != 0 || l.State != st.State || !beganDuring(l, st, attempt) {
			continue
		}
		during = append(during, l)
		if l.Attempt == attempt {
			same = append(same, l)
		}
	}
	if len(same) == 0 { // after a redrive, the task counts its attempts from 1 again, but the step does not
		return during
	}
	return same
}

// beganDuring reports whether a log began between the beginning and the end of a step's attempt.
func beganDuring(l engine.LogInfo, st *progress.Entry, attempt int) bool {
	for _, a := range st.Attempts {
		if a.N == attempt {
			return !l.Started.Before(a.Scheduled) && (a.Ended.IsZero() || !l.Started.After(a.Ended))
		}
	}
	return false
}

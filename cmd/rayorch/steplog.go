package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/progress"
)

// logsOf lists the logs that are kept of an execution.
func (s *session) logsOf(ctx context.Context, arn string) ([]engine.LogInfo, error) {
	if s.owner != nil {
		return s.owner.eng.Logs(arn)
	}
	resp, err := s.extension(ctx, "logs", url.Values{"execution": {arn}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct{ Logs []engine.LogInfo }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("read the list of logs: %w", err)
	}
	return out.Logs, nil
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

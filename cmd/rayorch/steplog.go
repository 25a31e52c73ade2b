package main

import (
	"cmp"
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

// stepLog finds the log of a step's attempt. The history does not name tasks, so that the entries of one state (a Map's
// iterations) are told apart by their order, which is the same in both; ok is false until every one of them has a log.
func stepLog(steps []*progress.Step, logs []engine.LogInfo, st *progress.Step, attempt int) (taskID string, ok bool) {
	nth, entries := 0, 0
	for _, other := range steps {
		if other.State != st.State || other.Attempt < attempt {
			continue
		}
		if other == st {
			nth = entries
		}
		entries++
	}
	var mine []engine.LogInfo
	for _, l := range logs {
		if l.State == st.State && l.Attempt == attempt {
			mine = append(mine, l)
		}
	}
	slices.SortFunc(mine, func(a, b engine.LogInfo) int { return byFrame(a.Task, b.Task) })
	if len(mine) < entries {
		return "", false
	}
	return mine[nth].Task, true
}

// byFrame orders task ids, FRAME-ENTRY-ATTEMPT, as their states were entered.
func byFrame(a, b string) int {
	var af, ae, bf, be uint64
	_, _ = fmt.Sscanf(a, "%d-%d", &af, &ae)
	_, _ = fmt.Sscanf(b, "%d-%d", &bf, &be)
	return cmp.Or(cmp.Compare(af, bf), cmp.Compare(ae, be))
}

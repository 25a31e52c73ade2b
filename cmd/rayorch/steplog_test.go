package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// TestStepLogs finds the logs of a step that was redriven: its tasks count their attempts from 1 again. Logs are found by event, those of
// earlier releases by time.
func TestStepLogs(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	step := &progress.Entry{State: "train", Attempts: []progress.Attempt{
		{N: 1, Scheduled: at(10), Ended: at(20), Tasks: []int64{5}},
		{N: 2, Scheduled: at(30), Ended: at(40), Tasks: []int64{9}},
		{N: 3, Scheduled: at(50), Tasks: []int64{13}}, // still running
	}}
	log := func(task string, attempt, started int, event int64) engine.LogInfo {
		return engine.LogInfo{Task: task, State: "train", Attempt: attempt, Started: at(started), Event: event}
	}
	for name, c := range map[string]struct {
		logs []engine.LogInfo
		want map[int][]string // by attempt
	}{
		"events":            {[]engine.LogInfo{log("a", 1, 10, 5), log("b", 1, 30, 9), log("c", 2, 50, 13)}, map[int][]string{1: {"a"}, 2: {"b"}, 3: {"c"}}},
		"an old release":    {[]engine.LogInfo{log("a", 1, 10, 0), log("b", 1, 30, 0), log("c", 2, 50, 0)}, map[int][]string{1: {"a"}, 2: {"b"}, 3: {"c"}}},
		"redriven by one":   {[]engine.LogInfo{log("a", 1, 10, 5), log("b", 1, 31, 0)}, map[int][]string{1: {"a"}, 2: {"b"}, 3: nil}},
		"another iteration": {[]engine.LogInfo{log("a", 1, 11, 0), log("b", 1, 12, 0), log("c", 2, 13, 0)}, map[int][]string{1: {"a", "b"}, 2: nil, 3: nil}},
	} {
		t.Run(name, func(t *testing.T) {
			for attempt, want := range c.want {
				var got []string
				for _, l := range stepLogs(c.logs, step, attempt) {
					got = append(got, l.Task)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("attempt %d (-want +got):\n%s", attempt, diff)
				}
			}
		})
	}
}

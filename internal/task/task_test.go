package task_test

import (
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/task"
)

func TestTimedOut(t *testing.T) {
	for want, d := range map[string][2]time.Duration{
		"the job timed out after 4 s (limit 4 s)":       {4030 * time.Millisecond, 4 * time.Second},
		"the job timed out after 4.1 s (limit 0.5 s)":   {4060 * time.Millisecond, time.Second / 2},
		"the job timed out after 7201 s (limit 7200 s)": {7201 * time.Second, 2 * time.Hour},
	} {
		if got := task.TimedOut("the job", d[0], d[1]); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

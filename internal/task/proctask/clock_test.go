package proctask_test

import (
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/task/proctask"
)

// TestRunTimeIgnoresClockSteps: the run time of a process does not depend on the wall clock, unless there is no recorded uptime of this
// boot.
func TestRunTimeIgnoresClockSteps(t *testing.T) {
	boot, minute := proc.Boot(), proc.Uptime()-time.Minute
	for _, c := range []struct {
		name   string
		boot   string
		uptime time.Duration
		start  time.Time // by the wall clock, which was set after the start
		want   time.Duration
	}{
		{"clock set forward", boot, minute, time.Now().Add(-61 * time.Minute), time.Minute},
		{"clock set back", boot, minute, time.Now().Add(time.Hour), time.Minute},
		{"record of an earlier release", "", 0, time.Now().Add(-time.Minute), time.Minute},
		{"another boot", "another", minute, time.Now().Add(-2 * time.Minute), 2 * time.Minute},
		{"another boot, clock set back", "another", minute, time.Now().Add(time.Hour), 0},
	} {
		if c.boot != "" && boot == "" {
			continue // this system has no boot id: only the wall clock is available
		}
		if ran := proctask.Ran(c.boot, c.uptime, c.start); (ran - c.want).Abs() > 30*time.Second {
			t.Errorf("%s: got a run time of %s, want %s", c.name, ran, c.want)
		}
	}
}

package proctask_test

import (
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/task/proctask"
)

// How long a process has run does not depend on the wall clock, unless nothing else is known.
func TestClockStepsDoNotAgeAProcess(t *testing.T) {
	boot, minute := proc.Boot(), proc.Uptime()-time.Minute
	for _, c := range []struct {
		name   string
		boot   string
		uptime time.Duration
		start  time.Time // as the wall clock, set since, makes it look
		want   time.Duration
	}{
		{"set forward", boot, minute, time.Now().Add(-61 * time.Minute), time.Minute},
		{"set back", boot, minute, time.Now().Add(time.Hour), time.Minute},
		{"of an earlier release", "", 0, time.Now().Add(-time.Minute), time.Minute},
		{"of another boot", "another", minute, time.Now().Add(-2 * time.Minute), 2 * time.Minute},
		{"of another boot, set back", "another", minute, time.Now().Add(time.Hour), 0},
	} {
		if c.boot != "" && boot == "" {
			continue // this system knows no boots: the wall clock is all there is
		}
		if ran := proctask.Ran(c.boot, c.uptime, c.start); (ran - c.want).Abs() > 30*time.Second {
			t.Errorf("%s: it ran %s, want %s", c.name, ran, c.want)
		}
	}
}

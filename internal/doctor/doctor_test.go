package doctor

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRun verifies what a finding inherits from its check, and that a failed gate ends the list.
func TestRun(t *testing.T) {
	look := func(findings ...Finding) func(context.Context) []Finding {
		return func(context.Context) []Finding { return findings }
	}
	got := Run(t.Context(), []Check{
		{Name: "passes", Severity: Required, Fix: "fix", Gate: true, Run: look(Finding{OK: true, Text: "there"})},
		{Name: "passes by itself", Severity: Advisory, Fix: "fix", Run: look(Finding{OK: true, Text: "later", Advice: "wait"})},
		{Name: "does not apply", Severity: Required, Fix: "fix", Gate: true, Run: look()},
		{Name: "one of", Severity: Advisory, Fix: "fix", Run: look(Finding{Object: "a", Text: "bad"}, Finding{Object: "b", OK: true})},
		{Name: "unknown", Severity: Required, Fix: "fix", Run: look(Finding{Text: "forbidden", Severity: Advisory, Advice: "ask"})},
		{Name: "worse", Severity: Advisory, Fix: "fix", Run: look(Finding{Text: "full", Severity: Required})},
		{Name: "error", Severity: Required, Fix: "fix", Run: look(Finding{Err: errors.New("broken")})},
		{Name: "gate", Severity: Required, Fix: "fix", Gate: true, Run: look(Finding{Text: "unreachable"})},
		{Name: "after the gate", Severity: Required, Run: func(context.Context) []Finding { t.Error("a check after a failed gate was run"); return nil }},
	})
	want := []Result{
		{Name: "passes", OK: true, Found: "there", Needed: true},
		{Name: "passes by itself", OK: true, Found: "later", Advice: "wait"},
		{Name: "one of a", Found: "bad", Advice: "fix"},
		{Name: "one of b", OK: true},
		{Name: "unknown", Found: "forbidden", Advice: "ask"},
		{Name: "worse", Found: "full", Advice: "fix", Needed: true},
		{Name: "error", Found: "broken", Needed: true},
		{Name: "gate", Found: "unreachable", Advice: "fix", Needed: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestStateSpace verifies the thresholds of free space: less than 256 MiB is a note, less than 64 MiB prevents runs.
func TestStateSpace(t *testing.T) {
	check := Check{Name: "disk", Severity: Advisory}
	for free, want := range map[uint64]Result{
		1 << 30:   {Name: "disk", OK: true, Found: "1.0 GiB free in /d"},
		200 << 20: {Name: "disk", Found: "0.2 GiB free in /d"},
		63 << 20:  {Name: "disk", Found: "0.1 GiB free in /d", Needed: true},
	} {
		if diff := cmp.Diff(want, check.result(stateSpace(free, "/d")[0])); diff != "" {
			t.Errorf("%d bytes: %s", free, diff)
		}
	}
}

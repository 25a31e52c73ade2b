package raytask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task/raytask"
)

// TestLimitsOfAProcess runs jobs with values around the limits of Linux for an environment variable and an argument.
func TestLimitsOfAProcess(t *testing.T) {
	text := func(n int, what string) string { return strings.Repeat(what, n) }
	vars := func(pairs ...string) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return map[string]any{"env_vars": m}
	}
	size := func(name string) string { return `echo "` + name + ` $(printf %s "$` + name + `" | wc -c)"; ` }
	long := ""
	for i := range 20_000 {
		long += fmt.Sprintf(": %06d\n", i)
	}
	for _, c := range []struct {
		name, entrypoint string
		args             map[string]any
		want             string
		fails            string
	}{
		{"just below the limit", size("A"), map[string]any{"RuntimeEnv": vars("A", text(118_500, "x"))}, "A 118500\n", ""},
		{"just below the limit, escaped", size("A"), map[string]any{"RuntimeEnv": vars("A", text(59_000, `"`))}, "A 59000\n", ""},
		{"just below the limit, not ASCII", size("A"), map[string]any{"RuntimeEnv": vars("A", text(19_000, "é"))}, "A 38000\n", ""},
		{"several variables", size("A") + size("B") + `[ "$Q" = "it's" ]`, map[string]any{"RuntimeEnv": vars("A", text(120_000, "a"), "B", text(120_000, "\n"), "Q", "it's")}, "A 120000\nB 120000\n", ""},
		{"parameters", size("RAYORCH_PARAM_A") + size("RAYORCH_PARAMS"), map[string]any{"Params": map[string]any{"a": text(34_000, `"`), "b": text(34_000, "x")}}, "RAYORCH_PARAM_A 34000\nRAYORCH_PARAMS 102015\n", ""},
		{"long parameter", size("RAYORCH_PARAM_A") + size("RAYORCH_PARAM_B") + `wc -c <$RAYORCH_PARAMS_FILE; wc -c <"$RAYORCH_PARAM_A_FILE"`, map[string]any{"Params": map[string]any{"a": text(200_000, "x"), "b": 1}},
			"RAYORCH_PARAM_A 0\nRAYORCH_PARAM_B 1\n200014\n200000\n", ""},
		{"entrypoint", long + "echo done; exit 3", nil, "done\n", "exit code 3"},
		{"entrypoint of one line", "echo start; " + strings.Repeat(": 000000; ", 6600) + "echo done", nil, "start\ndone\n", ""},
		{"entrypoint with a here-document", "cat >/dev/null <<'END'\n" + text(70_000, "x") + "\nEND\necho done", nil, "done\n", ""},
		{"long output", "head -c 70000 /dev/zero | tr '\\0' x; echo; echo done", nil, text(70_000, "x") + "\ndone\n", ""},
		{"longer output", "head -c 1048580 /dev/zero | tr '\\0' x; echo; echo done", nil, text(1<<20, "x") + "... (4 more bytes)\ndone\n", ""},
		{"long variable", "true", map[string]any{"RuntimeEnv": vars("MINE", text(140_000, "x"))}, "", "the environment variable MINE has 140006 bytes including its name, but Linux allows at most 131072: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			raytest.Each(t, func(t *testing.T, r raytest.Ray) {
				if r.Fake == nil && (r.Found.Token != "" || c.name == "longer output") {
					return // a Ray with a token behaves the same; into a very long line, Ray may print a line of its own
				}
				b := newBench(t, r)
				args := map[string]any{"SubmissionId": newID(), "Entrypoint": c.entrypoint}
				for k, v := range c.args {
					args[k] = v
				}
				got := b.submit(t.Context(), args)
				if (got.Error != "") != (c.fails != "") || !strings.Contains(got.Cause, c.fails) || got.Error == stepfn.RayPendingTimeout {
					t.Errorf("got %.300s: %.600s", got.Error, got.Cause)
				}
				// Ray may print a line into the middle of a line of the job, which splits it: so the test ignores line ends.
				if log := b.log.String(); strings.ReplaceAll(log, "\n", "") != strings.ReplaceAll(c.want, "\n", "") {
					t.Errorf("got a log of %d bytes: %.400q, want %q", len(log), log, c.want)
				}
			})
		})
	}
}

// TestJobLines removes the lines that Ray wrote from a log, also if they start in the middle of a line.
func TestJobLines(t *testing.T) {
	own := raytask.JobLines("r1", "echo a\r\necho b\n")
	var got []string
	for _, line := range []string{"2026-01-01 INFO job_manager.py:581 -- Runtime env is setting up.", "loading: Running entrypoint for job r1: echo a",
		"echo b", "", "10 %", "echo b", "Running entrypoint for job r2: echo a"} {
		if text, ok := own(line); ok {
			got = append(got, text)
		}
	}
	want := []string{"loading: ", "10 %", "echo b", "Running entrypoint for job r2: echo a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

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

// TestMoreThanAProcessTakes gives jobs more than Linux takes as a variable or an argument, and just less.
func TestMoreThanAProcessTakes(t *testing.T) {
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
		{"just less", size("A"), map[string]any{"RuntimeEnv": vars("A", text(118_500, "x"))}, "A 118500\n", ""},
		{"just less, escaped", size("A"), map[string]any{"RuntimeEnv": vars("A", text(59_000, `"`))}, "A 59000\n", ""},
		{"just less, not ASCII", size("A"), map[string]any{"RuntimeEnv": vars("A", text(19_000, "é"))}, "A 38000\n", ""},
		{"together", size("A") + size("B") + `[ "$Q" = "it's" ]`, map[string]any{"RuntimeEnv": vars("A", text(120_000, "a"), "B", text(120_000, "\n"), "Q", "it's")}, "A 120000\nB 120000\n", ""},
		{"parameters", size("RAYORCH_PARAM_A") + size("RAYORCH_PARAMS"), map[string]any{"Params": map[string]any{"a": text(34_000, `"`), "b": text(34_000, "x")}}, "RAYORCH_PARAM_A 34000\nRAYORCH_PARAMS 102015\n", ""},
		{"long parameter", size("RAYORCH_PARAM_A") + size("RAYORCH_PARAM_B") + `wc -c <$RAYORCH_PARAMS_FILE; wc -c <"$RAYORCH_PARAM_A_FILE"`, map[string]any{"Params": map[string]any{"a": text(200_000, "x"), "b": 1}},
			"RAYORCH_PARAM_A 0\nRAYORCH_PARAM_B 1\n200014\n200000\n", ""},
		{"entrypoint", long + "echo done; exit 3", nil, "done\n", "exit code 3"},
		{"one line", "echo start; " + strings.Repeat(": 000000; ", 6600) + "echo done", nil, "start\ndone\n", ""},
		{"a here-document", "cat >/dev/null <<'END'\n" + text(70_000, "x") + "\nEND\necho done", nil, "done\n", ""},
		{"long output", "head -c 70000 /dev/zero | tr '\\0' x; echo; echo done", nil, text(70_000, "x") + "\ndone\n", ""},
		{"longer output", "head -c 1048580 /dev/zero | tr '\\0' x; echo; echo done", nil, text(1<<20, "x") + "... (4 more bytes)\ndone\n", ""},
		{"long variable", "true", map[string]any{"RuntimeEnv": vars("MINE", text(140_000, "x"))}, "", "the environment variable MINE has 140006 bytes with its name, more than the 131072 that Linux takes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			raytest.Each(t, func(t *testing.T, r raytest.Ray) {
				if r.Fake == nil && (r.Found.Token != "" || c.name == "longer output") {
					return // the same, or Ray may write its own line into the middle of it
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
				// A line of Ray's own in the middle of a line makes two of it.
				if log := b.log.String(); strings.ReplaceAll(log, "\n", "") != strings.ReplaceAll(c.want, "\n", "") {
					t.Errorf("the log has %d bytes: %.400q, want %q", len(log), log, c.want)
				}
			})
		})
	}
}

// TestLinesOfRay takes Ray's own lines out of a log, wherever Ray wrote them.
func TestLinesOfRay(t *testing.T) {
	own := raytask.NotOfRay("r1", "echo a\r\necho b\n")
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

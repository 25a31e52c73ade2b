package proctask_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// TestInheritedVariables checks which variables of rayorch's environment reach a process, and its supervisor, whose environment the
// process can read.
func TestInheritedVariables(t *testing.T) {
	for name, v := range map[string]string{
		"AWS_SECRET_ACCESS_KEY": "in-the-shell", "AWS_PROFILE": "dev", "OTHER_TOKEN": "in-the-shell", "LC_TEST": "C", "CUDA_TEST": "0",
	} {
		t.Setenv(name, v)
	}
	tests := []struct {
		name    string
		inherit any
		want    []string
	}{
		{"by default", nil, nil},
		{"by prefix", []string{"AWS_*"}, []string{"AWS_SECRET_ACCESS_KEY=in-the-shell", "AWS_PROFILE=dev"}},
		{"all", true, []string{"AWS_SECRET_ACCESS_KEY=in-the-shell", "AWS_PROFILE=dev", "OTHER_TOKEN=in-the-shell"}},
		{"all, one is overridden", map[string]any{"OTHER_TOKEN": "given"}, []string{"AWS_PROFILE=dev", "OTHER_TOKEN=given"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			args := map[string]any{"Id": newID(), "Shell": "env"}
			if env, ok := test.inherit.(map[string]any); ok {
				args["Environment"], args["InheritEnv"] = env, true
			} else if test.inherit != nil {
				args["InheritEnv"] = test.inherit
			}
			if got := b.run(t.Context(), t, stepfn.ProcessRun, args); got.Error != "" {
				t.Fatalf("got %+v", got)
			}
			got := strings.Split(b.log.String(), "\n")
			for _, want := range append([]string{"LC_TEST=C", "CUDA_TEST=0"}, test.want...) {
				if !slices.Contains(got, want) {
					t.Errorf("%s is missing", want)
				}
			}
			for _, entry := range got {
				if (strings.HasPrefix(entry, "AWS_") || strings.HasPrefix(entry, "OTHER_")) && !slices.Contains(test.want, entry) && test.inherit == nil {
					t.Errorf("the process got %s", entry)
				}
			}
		})
	}
	t.Run("the supervisor", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux has the environment of a process in a file")
		}
		b := newBench(t)
		got := b.run(t.Context(), t, stepfn.ProcessRun, map[string]any{"Id": newID(), "Shell": `tr '\0' '\n' </proc/$PPID/environ`})
		if log := b.log.String(); got.Error != "" || !strings.Contains(log, "PATH=") || strings.Contains(log, "in-the-shell") {
			t.Errorf("got %+v, log %q", got, log)
		}
	})
}

// TestSecretsOfOtherStepsAreRedacted prints a secret that is listed only in Redact.
func TestSecretsOfOtherStepsAreRedacted(t *testing.T) {
	b := newBench(t)
	b.getenv = map[string]string{"HOST_KEY": "s3cr3t-value"}
	got := b.run(t.Context(), t, stepfn.ProcessRun, map[string]any{
		"Id": newID(), "Shell": `echo "key ${KEY-none} ${HOST_KEY-none} s3cr3t-value"; printf czNjcjN0LXZhbHVl; exit 3`,
		"Redact": []any{map[string]string{"Env": "HOST_KEY"}, map[string]string{"Env": "NOT_SET"}},
	})
	if got.Error != stepfn.JobFailed || strings.Contains(got.Cause, "s3cr3t") || b.log.String() != "key none none ***\n***\n" {
		t.Errorf("got %+v, log %q", got, b.log.String())
	}
}

// TestHintAboutAVariableThatIsNotInherited fails a process whose last lines name a variable that it did not inherit.
func TestHintAboutAVariableThatIsNotInherited(t *testing.T) {
	t.Setenv("OTHER_TOKEN", "in-the-shell")
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{{nil, true}, {map[string]string{"OTHER_TOKEN": "mine"}, false}} {
		b := newBench(t)
		got := b.run(t.Context(), t, stepfn.ProcessRun, map[string]any{"Id": newID(), "Shell": "echo OTHER_TOKEN is bad; exit 1", "Environment": test.env})
		if got.Error != stepfn.JobFailed || strings.Contains(got.Cause, "hint: jobs do not inherit OTHER_TOKEN ") != test.want || strings.Contains(got.Cause, "in-the-shell") {
			t.Errorf("%v: got %+v", test.env, got)
		}
	}
}

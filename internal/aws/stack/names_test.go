package stack_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/aws/stack"
)

// limits returns each name with the pattern and the maximum length that AWS or Kubernetes allows.
func limits(n stack.Names) map[string]struct {
	name, pattern string
	most          int
} {
	type limit = struct {
		name, pattern string
		most          int
	}
	role := func(s string) limit {
		return limit{strings.ReplaceAll(s, "${AWS::Region}", "ap-southeast-1x"), `[\w+=,.@-]+`, 64}
	}
	return map[string]limit{
		"stack": {n.Stack, `[A-Za-z][A-Za-z0-9-]*`, 128}, "machine": {n.Machine, `[A-Za-z0-9_-]+`, 80}, "clean": {n.Clean, `[A-Za-z0-9_-]+`, 80},
		"log group": {n.LogGroup, `/aws/vendedlogs/[\w./#-]+`, 512}, "user": {n.User, `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, 63},
		"machine role": role(n.MachineRole), "pod role": role(n.PodRole), "event role": role(n.EventRole), "schedule role": role(n.ScheduleRole),
		"rule": {n.Rule, `[\w.-]+`, 64}, "schedule": {n.Schedule, `[\w.-]+`, 64}, "alarm": {n.Alarm, `.+`, 255},
		"topic": {n.Topic, `[\w-]+`, 256}, "alias": {n.Alias, `alias/[\w/-]+`, 256},
	}
}

// check verifies that all names are within their limits.
func check(t *testing.T, n stack.Names) {
	t.Helper()
	for what, l := range limits(n) {
		if len(l.name) > l.most || !regexp.MustCompile(`^(?:`+l.pattern+`)$`).MatchString(l.name) {
			t.Errorf("%s %q: want at most %d characters that match %s", what, l.name, l.most, l.pattern)
		}
	}
}

func TestNames(t *testing.T) {
	n := stack.NewNames(seedfarmer, "")
	check(t, n)
	if n.Stack != "aiops-ray-on-eks-ray-orchestrator" || n.User != "ray-orchestrator" || !strings.HasPrefix(n.Machine, "TrainingOnEks") {
		t.Errorf("%+v: want the names of the published module", n)
	}
	if n := stack.NewNames(stack.Identity{Pipeline: "shakespeare"}, ""); n.Stack != "rayorch-shakespeare" || n.User != "rayorch-shakespeare" {
		t.Errorf("%+v", n)
	}
}

// TestLongNames verifies that names stay distinct if they have a common prefix that is longer than every limit.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("deployment-", 20)
	seen := map[string]string{}
	for _, end := range []string{"one", "two", "ONE", "one-", "on-e"} {
		n := stack.NewNames(stack.Identity{Project: "p", Deployment: long, Module: "group-" + strings.Repeat("m", 60) + end}, "")
		check(t, n)
		for what, l := range limits(n) {
			if what == "stack" && end == "one-" {
				continue
			}
			if other, ok := seen[what+l.name]; ok && end != "one-" {
				t.Errorf("%s %s: the same for %s and %s", what, l.name, other, end)
			}
			seen[what+l.name] = end
		}
	}
}

// FuzzNames verifies that all names are valid for any identity.
func FuzzNames(f *testing.F) {
	f.Add("p", "d", "m", "pipeline", "")
	f.Add("", "", "", "x", "My_Machine")
	f.Add("Ä", "--", "9", strings.Repeat("x", 300), "")
	f.Fuzz(func(t *testing.T, project, deployment, module, pipeline, machine string) {
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{0,80}$`).MatchString(machine) {
			return // Read rejects it
		}
		check(t, stack.NewNames(stack.Identity{Project: project, Deployment: deployment, Module: module, Pipeline: pipeline}, machine))
	})
}

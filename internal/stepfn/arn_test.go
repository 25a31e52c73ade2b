package stepfn_test

import (
	"testing"

	"github.com/rayorch/rayorch/internal/stepfn"
)

const (
	machine   = "arn:aws:states:eu-west-1:123456789012:stateMachine:m"
	execution = "arn:aws:states:eu-west-1:123456789012:execution:m:one"
	mapRun    = "arn:aws:states:eu-west-1:123456789012:mapRun:m/L:9f86"
	child     = "arn:aws-cn:states:cn-north-1:123456789012:express:m/L:one:two"
	function  = "arn:aws:lambda:eu-west-1:123456789012:function:f"
)

func TestARN(t *testing.T) {
	for _, c := range []struct{ arn, kind, name, machine, unqualified string }{
		{machine, "stateMachine", "m", machine, machine},
		{machine + ":7", "stateMachine", "7", machine, machine},
		{execution, "execution", "one", machine, "arn:aws:states:eu-west-1:123456789012:execution:m"},
		{mapRun, "mapRun", "9f86", machine + "/L", "arn:aws:states:eu-west-1:123456789012:mapRun:m/L"},
		{child, "express", "two", "arn:aws-cn:states:cn-north-1:123456789012:stateMachine:m/L", "arn:aws-cn:states:cn-north-1:123456789012:express:m/L"},
		{function, "", "f", "", function},
		{"arn:aws:states:eu-west-1:123456789012:stateMachine:", "", "", "", "arn:aws:states:eu-west-1:123456789012:stateMachine:"},
		{"m", "", "m", "", "m"},
		{"", "", "", "", ""},
	} {
		got := [...]string{stepfn.KindOf(c.arn), stepfn.NameOf(c.arn), stepfn.MachineOf(c.arn), stepfn.Unqualified(c.arn)}
		if want := [...]string{c.kind, c.name, c.machine, c.unqualified}; got != want {
			t.Errorf("%s:\n got %q\nwant %q", c.arn, got, want)
		}
		if a, ok := stepfn.ParseARN(c.arn); ok && a.String() != c.arn {
			t.Errorf("%s: String() is %s after ParseARN", c.arn, a)
		}
	}
}

func TestExecutionOf(t *testing.T) {
	for _, m := range []string{machine, machine + ":7"} {
		if got := stepfn.ExecutionOf(m, "one"); got != execution {
			t.Errorf("ExecutionOf(%q): got %s", m, got)
		}
	}
}

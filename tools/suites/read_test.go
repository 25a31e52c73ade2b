package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

var errExit = errors.New("exit status 1")

func TestReadGo(t *testing.T) {
	const pkg = "github.com/rayorch/rayorch/internal/x"
	event := func(action, test, output string) string {
		return `{"Action":"` + action + `","Package":"` + pkg + `","Test":"` + test + `","Output":"` + output + `"}` + "\n"
	}
	output := event("output", "TestSkips", `    x_test.go:9: no ray here\n`) + event("skip", "TestSkips", "") +
		event("pass", "TestPasses", "") + event("pass", "TestPasses/sub", "") +
		event("output", "TestFails", `    x_test.go:12: got 1, want 2\n`) + event("fail", "TestFails", "") +
		event("fail", "", "")
	r := readGo([]byte(output), errExit)
	if r.passed != 2 || r.failed != 1 {
		t.Errorf("passed %d, failed %d, want 2 and 1", r.passed, r.failed)
	}
	if want := "internal/x TestSkips: no ray here"; len(r.skips) != 1 || r.skips[0] != want {
		t.Errorf("skips %q, want %q", r.skips, want)
	}
	if len(r.failures) != 1 || !strings.HasPrefix(r.failures[0], "internal/x TestFails: got 1, want 2\n") {
		t.Errorf("failures %q do not say why", r.failures)
	}
}

// TestReadGoKeepsBothEnds prints more than is shown: the error first, then the log of what went before, or the reverse.
func TestReadGoKeepsBothEnds(t *testing.T) {
	var output strings.Builder
	for n := range 500 {
		fmt.Fprintf(&output, `{"Action":"output","Package":"m/x","Test":"TestLong","Output":"line %d\n"}`+"\n", n)
	}
	output.WriteString(`{"Action":"fail","Package":"m/x","Test":"TestLong"}`)
	got := readGo([]byte(output.String()), errExit).failures[0]
	for _, want := range []string{"\nline 0\n", "... 430 lines ...", "line 499"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestReadGoCountsABrokenBuild(t *testing.T) {
	output := `{"ImportPath":"m/x [m/x.test]","Action":"build-output","Output":"x.go:3: undefined: y\n"}
{"ImportPath":"m/x [m/x.test]","Action":"build-fail"}
{"Action":"fail","Package":"m/x","FailedBuild":"m/x [m/x.test]"}`
	r := readGo([]byte(output), errExit)
	if r.failed != 1 || !strings.Contains(r.failures[0], "undefined: y") {
		t.Errorf("%d failed: %q", r.failed, r.failures)
	}
}

func TestReadGoCountsAPackageThatDies(t *testing.T) {
	output := `{"Action":"output","Package":"m/x","Output":"panic: in TestMain\n"}
{"Action":"fail","Package":"m/x"}`
	r := readGo([]byte(output), errExit)
	if r.failed != 1 || !strings.Contains(r.failures[0], "in TestMain") {
		t.Errorf("%d failed: %q", r.failed, r.failures)
	}
}

func TestACommandThatIsMissingFails(t *testing.T) {
	err := exec.Command("rayorch-no-such-command").Run()
	for name, read := range map[string]func([]byte, error) result{"plain": readPlain, "go": readGo, "unittest": readUnittest} {
		if r := read(nil, err); r.failed != 1 || r.passed != 0 {
			t.Errorf("%s: passed %d, failed %d", name, r.passed, r.failed)
		}
	}
}

func TestReadUnittest(t *testing.T) {
	const ok = "test_a (tests.t.T.test_a) ... ok\ntest_b (tests.t.T.test_b)\nWhat it does. ... skipped 'no ray'\n" +
		"\n----\nRan 2 tests in 0.1s\n\nOK (skipped=1)\n"
	r := readUnittest([]byte(ok), nil)
	if r.passed != 1 || r.failed != 0 || len(r.skips) != 1 || r.skips[0] != "tests.t.T.test_b: no ray" {
		t.Errorf("%+v", r)
	}
	const bad = "test_a (t.T.test_a) ... FAIL\ntest_b (t.T.test_b) ... ERROR\n\nRan 3 tests in 0.1s\n\nFAILED (failures=1, errors=1)\n"
	if r := readUnittest([]byte(bad), errExit); r.passed != 1 || r.failed != 2 {
		t.Errorf("passed %d, failed %d, want 1 and 2", r.passed, r.failed)
	}
	if r := readUnittest([]byte("Traceback"), errExit); r.failed != 1 {
		t.Errorf("a crash of unittest: failed %d", r.failed)
	}
}

func TestReadPlain(t *testing.T) {
	if r := readPlain([]byte("all fine\n"), nil); r.passed != 1 || len(r.skips) != 0 {
		t.Errorf("%+v", r)
	}
	if r := readPlain([]byte("SKIP: the database is out of reach\n"), nil); r.passed != 0 || len(r.skips) != 1 {
		t.Errorf("%+v", r)
	}
	if r := readPlain([]byte("x.go:1: bad\n"), errExit); r.failed != 1 || !strings.Contains(r.failures[0], "bad") {
		t.Errorf("%+v", r)
	}
}

// TestALeftoverProcessFails starts a process that outlives its suite.
func TestALeftoverProcessFails(t *testing.T) {
	r := runner{mark: "RAYORCH_TEST_RUN=" + t.Name()}
	s := suite{command: []string{"sh", "-c", "sleep 60 >/dev/null 2>&1 & echo started"}, read: readPlain, limit: 1 << 36}
	res := r.runSuite(t.Context(), s)
	if res.failed != 1 || !strings.Contains(res.failures[0], "sleep 60") {
		t.Errorf("%+v", res)
	}
	if left := r.marked(nil); len(left) != 0 {
		t.Errorf("still there: %q", left)
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const pkg = "github.com/rayorch/rayorch/internal/x"

func line(action, test, output string) string {
	return fmt.Sprintf(`{"Action":%q,"Package":%q,"Test":%q,"Output":%q}`+"\n", action, pkg, test, output)
}

func of(events string) *summary {
	s := &summary{}
	s.goTests([]byte(events))
	return s
}

func TestGoTests(t *testing.T) {
	s := of(line("output", "TestSkips", "    x_test.go:9: no ray here\n") + line("skip", "TestSkips", "") +
		line("pass", "TestPasses", "") + line("pass", "TestPasses/sub", "") +
		line("output", "TestFails", "    x_test.go:12: got 1, want 2\n") + line("fail", "TestFails", "") +
		line("fail", "", ""))
	if s.passed != 2 || s.failed != 1 {
		t.Errorf("passed %d, failed %d, want 2 and 1", s.passed, s.failed)
	}
	if want := "internal/x TestSkips: no ray here"; len(s.skips) != 1 || s.skips[0] != want {
		t.Errorf("skips %q, want %q", s.skips, want)
	}
	if want := "internal/x TestFails: got 1, want 2"; len(s.failures) != 1 || s.failures[0].what != want {
		t.Errorf("failures %q, want %q", s.failures, want)
	}
}

// TestFlaky checks a test that failed and then passed when gotestsum ran it again: it counts as passed, and the summary shows the output
// of its first run.
func TestFlaky(t *testing.T) {
	s := of(line("run", "TestA", "") + line("output", "TestA", "    x_test.go:3: first\n") + line("fail", "TestA", "") + line("fail", "", "") +
		line("run", "TestA", "") + line("output", "TestA", "    x_test.go:3: second\n") + line("pass", "TestA", "") + line("pass", "", ""))
	if s.passed != 1 || s.failed != 0 || len(s.flaky) != 1 || s.flaky[0].what != "internal/x TestA: first" {
		t.Errorf("got %+v, want 1 passed, 0 failed and the first failure as flaky", s)
	}
	var out bytes.Buffer
	s.out = &out
	if code := s.print(time.Second, false); code != 0 || !strings.Contains(out.String(), "FLAKY") ||
		!strings.Contains(out.String(), "internal/x TestA: first") {
		t.Errorf("exit status %d, want 0 and a section FLAKY:\n%s", code, &out)
	}
}

// TestFailsAgain checks that a test that fails in each of its runs counts as one failure.
func TestFailsAgain(t *testing.T) {
	again := line("run", "TestA", "") + line("output", "TestA", "    x_test.go:3: no\n") + line("fail", "TestA", "") + line("fail", "", "")
	if s := of(again + again); s.passed != 0 || s.failed != 1 || len(s.flaky) != 0 {
		t.Errorf("got %+v, want 0 passed, 1 failed and none flaky", s)
	}
}

// TestBothEnds checks that the start and the end of a long output are shown.
func TestBothEnds(t *testing.T) {
	var events strings.Builder
	for n := range 500 {
		events.WriteString(line("output", "TestLong", fmt.Sprintf("line %d\n", n)))
	}
	events.WriteString(line("fail", "TestLong", ""))
	got := of(events.String()).failures[0].printed
	for _, want := range []string{"line 0\n", "... 430 lines ...", "line 499"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// TestPackageThatFails checks packages that fail although none of their tests does: a build error, and a panic in TestMain.
func TestPackageThatFails(t *testing.T) {
	for name, events := range map[string]string{
		"undefined: y": `{"ImportPath":"m/x [m/x.test]","Action":"build-output","Output":"x.go:3: undefined: y\n"}
{"ImportPath":"m/x [m/x.test]","Action":"build-fail"}
{"Action":"fail","Package":"m/x","FailedBuild":"m/x [m/x.test]"}`,
		"panic: in TestMain": `{"Action":"output","Package":"m/x","Output":"panic: in TestMain\n"}
{"Action":"fail","Package":"m/x"}`,
	} {
		s := of(events)
		if s.failed == 0 || !strings.Contains(texts(s.failures), name) {
			t.Errorf("got %d failures, want one with %q: %+v", s.failed, name, s.failures)
		}
	}
}

// TestParts checks the results of parts that are not Go tests.
func TestParts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.log": "fine\n", "a.status": "0\n",
		"b.log": "SKIP: cannot reach the database\n", "b.status": "0\n",
		"c.log": "no such file\n", "c.status": "2\n",
		"d.log": "cut short\n",
		"e.log": "test_a (tests.t.T.test_a) ... ok\ntest_b (tests.t.T.test_b)\nWhat it does. ... skipped 'no ray'\n", "e.status": "0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := read(dir)
	if s.passed != 3 || s.failed != 2 {
		t.Errorf("passed %d, failed %d, want 3 and 2: %+v", s.passed, s.failed, s)
	}
	if got, want := strings.Join(s.skips, "; "), "b: cannot reach the database; e: test_b (tests.t.T.test_b): no ray"; got != want {
		t.Errorf("skips %q, want %q", got, want)
	}
	if all := texts(s.failures); !strings.Contains(all, "c: exit status 2") || !strings.Contains(all, "no such file") ||
		!strings.Contains(all, "d: exit status missing: it did not end") {
		t.Errorf("the failures of c and d are missing in\n%s", all)
	}
}

func TestClosingLine(t *testing.T) {
	var out bytes.Buffer
	s := summary{passed: 2, skips: []string{"x: y"}, out: &out}
	if code := s.print(time.Minute, false); code != 0 || !strings.HasSuffix(out.String(), "\n2 passed, 0 failed, 1 skipped\n") {
		t.Errorf("exit status %d, want 0 and the totals in the last line:\n%s", code, &out)
	}
	if code := s.print(time.Minute, true); code != 130 {
		t.Errorf("interrupted: exit status %d, want 130", code)
	}
	if code := (&summary{out: &out}).print(0, false); code != 1 {
		t.Errorf("no tests: exit status %d, want 1", code)
	}
}

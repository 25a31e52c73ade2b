package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// summary contains the results of all parts of a run.
type summary struct {
	passed, failed int
	skips          []string
	failures       []outcome
	flaky          []outcome
	slowest        []timed
	out            io.Writer // default: standard output
}

// outcome is a failure: what is the name of the test or part with the reason, printed is its output.
type outcome struct{ what, printed string }

type timed struct {
	name    string
	seconds float64
}

func (s *summary) fail(what, printed string) {
	s.failed++
	s.failures = append(s.failures, outcome{what, printed})
}

// step counts a command with the result err as one test.
func (s *summary) step(name string, err error) {
	if err != nil {
		s.fail(name+": "+err.Error(), "")
		return
	}
	s.passed++
}

// read returns the summary of the results in a directory.
func read(dir string) *summary {
	s := &summary{}
	events, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, path := range events {
		data, err := os.ReadFile(path)
		if err != nil {
			s.fail(err.Error(), "")
		}
		s.goTests(data)
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, path := range logs {
		log, _ := os.ReadFile(path)
		status, err := os.ReadFile(strings.TrimSuffix(path, ".log") + ".status")
		name := strings.TrimSuffix(filepath.Base(path), ".log")
		if err != nil {
			status = []byte("missing: it did not end")
		}
		s.part(name, string(log), strings.TrimSpace(string(status)))
	}
	return s
}

var skipLine = regexp.MustCompile(`(?m)^SKIP: (.*)$|^(\S+ \(\S+\))(?:\n.*)? \.\.\. skipped ['"](.*)['"]$`)

// part counts a part that is not a Go test as one test. It finds skipped tests by lines "SKIP: reason" in the log, or by unittest's own
// lines.
func (s *summary) part(name, log, status string) {
	for _, m := range skipLine.FindAllStringSubmatch(log, -1) {
		s.skips = append(s.skips, strings.TrimSpace(name+": "+strings.TrimLeft(m[2]+": "+m[3], ": ")+m[1]))
	}
	if status != "0" {
		s.fail(name+": exit status "+status, ends(log, 10, 60))
		return
	}
	s.passed++
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// tests collects the results of Go tests while they are read. gotestsum runs some tests again: the last result counts.
type tests struct {
	order  []string
	lines  map[string][]string
	result map[string]string
	first  map[string]outcome // the first failure of each test that failed
}

// goTests adds the results in a stream of events to the summary.
func (s *summary) goTests(data []byte) {
	t := tests{lines: map[string][]string{}, result: map[string]string{}, first: map[string]outcome{}}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			t.add(s, e)
		}
	}
	s.count(&t)
}

// add records an event. The names of tests are "PACKAGE TEST", those of packages "PACKAGE".
func (t *tests) add(s *summary, e event) {
	pkg := e.Package + e.ImportPath // a failed build has only ImportPath
	name := strings.TrimSpace(strings.TrimPrefix(pkg, "github.com/rayorch/rayorch/") + " " + e.Test)
	switch e.Action {
	case "run", "start":
		t.lines[name] = nil
	case "output", "build-output":
		t.lines[name] = append(t.lines[name], e.Output)
	case "pass", "skip", "fail", "build-fail":
		if t.result[name] == "" {
			t.order = append(t.order, name)
		}
		t.result[name] = e.Action
		if _, failed := t.first[name]; !failed && strings.HasSuffix(e.Action, "fail") {
			t.first[name] = outcome{name + ": " + reason(t.lines[name]), ends(strings.Join(t.lines[name], ""), 30, 40)}
		}
		if e.Test != "" && !strings.Contains(e.Test, "/") {
			s.slowest = append(s.slowest, timed{name, e.Elapsed})
		}
	}
}

// count adds the results of the tests to the summary. A failed package counts only if none of its tests failed: then the build, TestMain
// or a panic is the cause. A package without tests does not count as skipped.
func (s *summary) count(t *tests) {
	for _, name := range t.order {
		pkg, _, isTest := strings.Cut(name, " ")
		switch first, failed := t.first[name]; {
		case t.result[name] == "skip" && isTest:
			s.skips = append(s.skips, name+": "+reason(t.lines[name]))
		case strings.HasSuffix(t.result[name], "fail") && (isTest || !t.explains(pkg)):
			s.failed++
			s.failures = append(s.failures, first)
		case t.result[name] == "pass" && isTest:
			s.passed++
			if failed {
				s.flaky = append(s.flaky, first)
			}
		}
	}
}

// explains reports whether a test of the package failed, even if it passed later.
func (t *tests) explains(pkg string) bool {
	for name := range t.first {
		if strings.HasPrefix(name, pkg+" ") {
			return true
		}
	}
	return false
}

var placed = regexp.MustCompile(`^\s*\S+\.go:\d+: (.*)`)

// reason returns the first line that the test itself logged, as a short description of a skip or a failure.
func reason(lines []string) string {
	for _, line := range lines {
		if m := placed.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	return "no reason given"
}

// print prints the summary and returns the exit code: 130 after an interrupt, 1 after a failure or if no test passed.
func (s *summary) print(took time.Duration, interrupted bool) int {
	if s.out == nil {
		s.out = os.Stdout
	}
	slices.SortStableFunc(s.slowest, func(a, b timed) int { return int(b.seconds*1000) - int(a.seconds*1000) })
	s.section("SLOWEST", len(s.slowest), "")
	for _, t := range s.slowest[:min(20, len(s.slowest))] {
		fmt.Fprintf(s.out, "  %6.1f s %s\n", t.seconds, t.name)
	}
	s.section("SKIPPED, so not tested by this run", len(s.skips), "\n  "+strings.Join(s.skips, "\n  "))
	s.section("FLAKY: failed, then passed; a defect to fix", len(s.flaky), texts(s.flaky))
	s.section("FAILED", len(s.failures), texts(s.failures))
	if interrupted {
		fmt.Fprintln(s.out, "\ninterrupted: tests that did not run are not counted")
	}
	flaky := ""
	if len(s.flaky) > 0 {
		flaky = fmt.Sprintf(", %d FLAKY", len(s.flaky))
	}
	fmt.Fprintf(s.out, "\nin %s%s:\n%s", took.Round(time.Second), flaky, s.closing())
	switch {
	case interrupted:
		return 130
	case s.failed > 0 || s.passed == 0:
		return 1
	}
	return 0
}

// closing returns the last line of the summary, which .ci/run prints last.
func (s *summary) closing() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, len(s.skips))
}

func (s *summary) section(title string, n int, text string) {
	if n > 0 {
		fmt.Fprintf(s.out, "\n%s (%d):%s\n", title, n, text)
	}
}

func texts(all []outcome) string {
	var b strings.Builder
	for _, o := range all {
		b.WriteString("\n  " + o.what)
		if o.printed != "" {
			b.WriteString("\n      " + strings.ReplaceAll(strings.TrimRight(o.printed, "\n"), "\n", "\n      "))
		}
	}
	return b.String()
}

// ends returns the first and the last lines of a long text, because the error of a test can be at both ends of its output.
func ends(text string, first, last int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if left := len(lines) - first - last; left > 1 {
		lines = slices.Concat(lines[:first], []string{fmt.Sprintf("... %d lines ...", left)}, lines[len(lines)-last:])
	}
	return strings.Join(lines, "\n")
}

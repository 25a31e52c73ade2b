package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// readPlain counts a command as one test. A line that starts with "SKIP: " says what it left out.
func readPlain(output []byte, exit error) result {
	r := result{skips: skipLines(output)}
	switch text, missing := notStarted(exit); {
	case missing:
		r.fail(text)
	case exit != nil:
		r.fail(tail(output, 60))
	case len(r.skips) == 0:
		r.passed++
	}
	return r
}

func skipLines(output []byte) []string {
	var skips []string
	for line := range strings.Lines(string(output)) {
		if reason, ok := strings.CutPrefix(line, "SKIP: "); ok {
			skips = append(skips, strings.TrimSpace(reason))
		}
	}
	return skips
}

// goEvent is a line of `go test -json` (go doc test2json).
type goEvent struct {
	Action, Package, ImportPath, Test, Output string
}

// goOutput is what is kept while a Go suite's output is read: the printed lines by test, and by package.
type goOutput struct {
	result
	lines map[string][]string
}

func readGo(output []byte, exit error) result {
	g := goOutput{result: result{skips: skipLines(output)}, lines: map[string][]string{}}
	var other []string
	for lines := newScanner(output); lines.Scan(); {
		var e goEvent
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			other = append(other, lines.Text())
			continue
		}
		g.event(e)
	}
	if exit != nil && g.failed == 0 {
		text, missing := notStarted(exit)
		if !missing {
			text = exit.Error() + "\n" + tail([]byte(strings.Join(other, "\n")), 60)
		}
		g.fail(text)
	}
	return g.result
}

func (g *goOutput) event(e goEvent) {
	pkg := e.Package + e.ImportPath // a failed build has only ImportPath
	name := strings.TrimSpace(strings.TrimPrefix(pkg, "github.com/rayorch/rayorch/") + " " + e.Test)
	switch e.Action {
	case "output", "build-output":
		g.lines[name] = append(g.lines[name], e.Output)
	case "pass":
		if e.Test != "" {
			g.passed++
		}
		delete(g.lines, name)
	case "skip":
		if e.Test != "" { // a package without tests is no skip
			g.skips = append(g.skips, name+": "+reason(g.lines[name]))
		}
	case "fail", "build-fail":
		g.failedTest(e, name)
	}
}

// failedTest counts a failed test, and a failed package only when none of its tests says why: a build that failed, a
// TestMain, a panic.
func (g *goOutput) failedTest(e goEvent, name string) {
	if e.Test == "" && e.Action == "fail" {
		for _, f := range g.failures {
			if strings.HasPrefix(f, name+" ") || strings.HasPrefix(f, name+":") {
				return
			}
		}
	}
	printed := g.lines[name]
	g.fail(name + ": " + reason(printed) + "\n" + ends(strings.Join(printed, ""), 30, 40))
}

var placed = regexp.MustCompile(`^\s*\S+\.go:\d+: (.*)`)

// reason is the first line that the test itself printed, by which one knows a skip or a failure without its whole text.
func reason(lines []string) string {
	for _, line := range lines {
		if m := placed.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	return "no reason given"
}

var (
	ranTests = regexp.MustCompile(`(?m)^Ran (\d+) tests? in`)
	outcome  = regexp.MustCompile(`(?m)^(?:OK|FAILED)(?: \((.*)\))?$`)
	skipLine = regexp.MustCompile(`(?m)^(\w+) \(([\w.]+)\)(?:\n.*)? \.\.\. skipped ['"](.*)['"]$`)
)

// readUnittest reads what `python -m unittest -v` prints.
func readUnittest(output []byte, exit error) result {
	var r result
	ran, last := ranTests.FindSubmatch(output), outcome.FindSubmatch(output)
	if ran == nil || last == nil {
		text, missing := notStarted(exit)
		if !missing {
			text = tail(output, 60)
		}
		r.fail(text)
		return r
	}
	for _, m := range skipLine.FindAllSubmatch(output, -1) {
		r.skips = append(r.skips, string(m[2])+": "+string(m[3]))
	}
	total, _ := strconv.Atoi(string(ran[1]))
	counts := map[string]int{}
	for _, field := range strings.Split(string(last[1]), ", ") {
		if name, n, ok := strings.Cut(field, "="); ok {
			counts[name], _ = strconv.Atoi(n)
		}
	}
	r.failed = counts["failures"] + counts["errors"] + counts["unexpected successes"]
	r.passed = max(0, total-r.failed-counts["skipped"])
	if r.failed > 0 {
		r.failures = append(r.failures, string(last[0])+"\n"+tail(output, 80))
	} else if exit != nil {
		r.fail(exit.Error() + "\n" + tail(output, 60))
	}
	return r
}

// newScanner reads lines of any length that a test may print.
func newScanner(output []byte) *bufio.Scanner {
	s := bufio.NewScanner(bytes.NewReader(output))
	s.Buffer(nil, 64<<20)
	return s
}

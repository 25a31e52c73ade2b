package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a file. Line and Col count from 1; Path is empty for the file as a whole.
type Problem struct {
	File      string
	Line, Col int
	Path      string
	Message   string
}

func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Col)
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Message
}

// Problems are all mistakes of a file, in the order of their places. It is the error that Decode returns.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

type position struct{ line, col int }

// source knows where each path of the file was written, so that later checks can say so.
type source struct {
	file     string
	at       map[string]position
	broken   map[string]bool // paths that could not be read: what follows from that is not reported
	problems Problems
}

func newSource(file string) *source {
	return &source{file: file, at: map[string]position{}, broken: map[string]bool{}}
}

// written says whether the file itself holds the path (defaults are not written).
func (s *source) written(path string) bool {
	_, ok := s.at[path]
	return ok
}

// report adds a problem at the path, or at its nearest parent that is written.
func (s *source) report(path, format string, args ...any) {
	for at := path; at != ""; at = parentPath(at) {
		if s.broken[at] {
			return
		}
	}
	where := path
	pos, ok := s.at[where]
	for !ok && where != "" {
		where = parentPath(where)
		pos, ok = s.at[where]
	}
	s.reportAt(pos, path, format, args...)
}

func (s *source) reportAt(pos position, path, format string, args ...any) {
	if pos.line == 0 {
		pos = position{1, 1}
	}
	s.problems = append(s.problems, Problem{s.file, pos.line, pos.col, path, fmt.Sprintf(format, args...)})
}

// err is all problems in the order of their places, or nil.
func (s *source) err() error {
	if len(s.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(s.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return s.problems
}

// parentPath is the path of what holds a field or an element.
func parentPath(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// join is the path of a field, element that of an element of a list.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// near is the name that the user may have meant, as a hint to end a message with; empty when none is close.
func near(got string, names []string) string {
	if best := Nearest(got, names); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// Nearest is the name that the user may have meant: one that begins so, or one of few other letters. Empty when there is none.
func Nearest(got string, names []string) string {
	best, least := "", len(got)/3+2
	for _, name := range names {
		d := distance(strings.ToLower(got), strings.ToLower(name))
		if len(got) > 2 && strings.HasPrefix(name, got) {
			d = min(d, 1)
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// Problem makes a problem of the file at a path, for those who find one later than Decode.
func (p *Pipeline) Problem(path, message string) Problem {
	s := p.source
	if s == nil {
		return Problem{Line: 1, Col: 1, Path: path, Message: message}
	}
	found := newSource(s.file)
	found.at = s.at
	found.report(path, "%s", message)
	return found.problems[0]
}

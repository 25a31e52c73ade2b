package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is an error in a file. Line and Col count from 1. Path is empty for an error of the file as a whole.
type Problem struct {
	File      string
	Line, Col int
	Path      string
	Message   string
}

// String returns the problem as FILE:LINE:COLUMN: PATH: message.
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Col)
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Message
}

// Problems are all errors in a file, in the order of their positions. Decode returns them as its error.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

type position struct{ line, col int }

// source has the positions of the file's paths, so that checks after decoding can report them.
type source struct {
	file     string
	at       map[string]position
	broken   map[string]bool // paths that could not be decoded; errors below them are not reported
	problems Problems
}

func newSource(file string) *source {
	return &source{file: file, at: map[string]position{}, broken: map[string]bool{}}
}

// written reports whether the file contains the path. It is false for defaults.
func (s *source) written(path string) bool {
	_, ok := s.at[path]
	return ok
}

// report adds a problem at the position of the path, or of its nearest parent in the file.
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

// reportAt adds a problem at a position; the zero position is the start of the file.
func (s *source) reportAt(pos position, path, format string, args ...any) {
	if pos.line == 0 {
		pos = position{1, 1}
	}
	s.problems = append(s.problems, Problem{s.file, pos.line, pos.col, path, fmt.Sprintf(format, args...)})
}

// err returns all problems, sorted by position, or nil if there are none.
func (s *source) err() error {
	if len(s.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(s.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return s.problems
}

// parentPath returns the path of the map or list that contains a field or an element; "" is the file.
func parentPath(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// join returns the path of a field.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// element returns the path of an element of a list.
func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// didYouMean returns the end of a message that suggests the name that the user may have meant, or "".
func didYouMean(got string, names []string) string {
	if best := Nearest(got, names); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// Nearest returns the name that the user may have meant: one that starts with got, or one within a small edit distance. It
// returns "" if there is none.
func Nearest(got string, names []string) string {
	best, least := "", min(len(got)/3+2, max(len(got)-1, 1)) // in a name of three letters, two must match
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

// distance returns the edit distance in bytes: insertions, deletions, replacements and swaps of neighbors (optimal string
// alignment). For strings of more than 64 bytes it returns 64, which keeps the cost bounded.
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

// Problem returns a problem at a path of the file. Packages that check more than Decode, such as compile, use it.
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

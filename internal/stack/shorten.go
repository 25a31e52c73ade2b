package stack

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// CloudFormation takes 51,200 bytes without a bucket, and counts a definition as it stands in the template: two steps have
// nearly the same states, a dozen calls the same retries. What Fn::Sub puts in for a variable it does not count, so a text
// that stands there twice is written once. Only templates that are too large pay for it by being harder to read.

// minSaving is what a variable must save, in bytes, to be worth looking up by whoever reads the template.
const minSaving = 40

// shorten writes a text of Fn::Sub with variables in place of what it repeats, until it is shorter by want bytes or nothing
// is left to gain. Fn::Sub's own ${...} stay as they are, whole, and no variable holds one: it would not be read again.
func shorten(text string, want int) (short string, variables *value.Object, saved int) {
	s := &shortener{tokens: tokensOf(text), variables: &value.Object{}}
	for saved < want {
		gain := s.pass(want - saved)
		if gain == 0 {
			break
		}
		saved += gain
	}
	return strings.Join(s.tokens, ""), s.variables, saved
}

// shortener holds a text in tokens while repeats are taken out of it.
type shortener struct {
	tokens    []string
	variables *value.Object
	used      []bool // tokens that a variable has replaced in this pass
}

// token is a variable of Fn::Sub, a word, or one character: repeats begin and end where words do.
var token = regexp.MustCompile(`(?s)\$\{[^}]*\}|\$?[A-Za-z0-9_]+|.`)

func tokensOf(text string) []string { return token.FindAllString(text, -1) }

// isVariable tells whether a token is one of Fn::Sub.
func isVariable(token string) bool { return strings.HasPrefix(token, "${") }

// repeat is a run of tokens that stands at several places.
type repeat struct {
	at     []int // where it begins, in order
	length int   // in tokens
	gain   int   // in bytes, were all places free
}

// pass replaces the repeats that gain most, each where no better one has been, and returns what was saved.
func (s *shortener) pass(want int) int {
	s.used = make([]bool, len(s.tokens))
	found := s.repeats()
	slices.SortStableFunc(found, func(a, b repeat) int { return cmp.Or(b.gain-a.gain, a.at[0]-b.at[0]) })
	saved := 0
	for _, r := range found {
		if saved >= want {
			break
		}
		saved += s.replace(r)
	}
	s.tokens = slices.DeleteFunc(s.tokens, func(t string) bool { return t == "" })
	return saved
}

// replace puts a variable where a repeat stands and nothing was replaced, if that still gains.
func (s *shortener) replace(r repeat) int {
	var free []int
	end := 0
	for _, at := range r.at {
		if at >= end && !slices.Contains(s.used[at:at+r.length], true) {
			free = append(free, at)
			end = at + r.length
		}
	}
	if len(free) < 2 {
		return 0
	}
	text := strings.Join(s.tokens[free[0]:free[0]+r.length], "")
	name := fmt.Sprintf("S%d", s.variables.Len()+1)
	gain := gained(text, len(free), name)
	if gain < minSaving {
		return 0
	}
	s.variables.Set(name, text)
	for _, at := range free {
		for i := range r.length {
			s.used[at+i], s.tokens[at+i] = true, ""
		}
		s.tokens[at] = "${" + name + "}"
	}
	return gain
}

// gained is how many bytes the template loses when a text that stands somewhere so often becomes a variable.
func gained(text string, times int, name string) int {
	size := len(value.AppendString(nil, text)) - 2 // as it stands in a JSON text
	return times*(size-len("${}")-len(name)) - size - len(`"":"",`) - len(name)
}

// repeats are all runs of tokens that stand twice or more and cannot be longer where they stand as often: of neighbours in
// the sorted list of all the text's ends, what they begin with alike.
func (s *shortener) repeats() []repeat {
	var ends []int
	for at, t := range s.tokens {
		// A $ before a variable might be read as part of it.
		if !isVariable(t) && (at == 0 || !strings.HasSuffix(s.tokens[at-1], "$")) {
			ends = append(ends, at)
		}
	}
	slices.SortFunc(ends, func(a, b int) int { return cmp.Or(slices.Compare(s.tokens[a:], s.tokens[b:]), a-b) })
	type open struct{ from, length int }
	var stack []open
	var out []repeat
	for i := 1; i <= len(ends); i++ {
		alike := 0
		if i < len(ends) {
			alike = s.alike(ends[i-1], ends[i])
		}
		from := i - 1
		for len(stack) > 0 && stack[len(stack)-1].length > alike {
			top := stack[len(stack)-1]
			stack, from = stack[:len(stack)-1], top.from
			out = s.add(out, ends[top.from:i], top.length)
		}
		if alike > 0 && (len(stack) == 0 || stack[len(stack)-1].length < alike) {
			stack = append(stack, open{from, alike})
		}
	}
	return out
}

// alike is how many tokens two ends of the text begin with alike, up to the next variable.
func (s *shortener) alike(a, b int) int {
	n := 0
	for a+n < len(s.tokens) && b+n < len(s.tokens) && s.tokens[a+n] == s.tokens[b+n] && !isVariable(s.tokens[a+n]) {
		n++
	}
	return n
}

// add keeps a repeat that may gain something.
func (s *shortener) add(out []repeat, places []int, length int) []repeat {
	text := strings.Join(s.tokens[places[0]:places[0]+length], "")
	gain := gained(text, len(places), "S10")
	if gain < minSaving {
		return out
	}
	at := slices.Clone(places)
	slices.Sort(at)
	return append(out, repeat{at: at, length: length, gain: gain})
}

package stack

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// A template in a request to CloudFormation is limited to 51,200 bytes; a larger one has to be uploaded to a bucket.
// CloudFormation counts the bytes before Fn::Sub replaces variables, and definitions are repetitive: two steps have nearly
// the same states, and a dozen calls have the same retries. So rayorch turns repeated text into variables of Fn::Sub. This
// makes a template harder to read, so it is only done for templates that are too large.

// minSaving is the fewest bytes that a variable must save: each one makes the template harder to read.
const minSaving = 40

// shorten replaces repeats in a text of Fn::Sub with variables, until the text is shorter by want bytes or no replacement
// helps. It returns the text, the values of the new variables, and the number of bytes saved. It keeps existing variables,
// ${...}, and never moves one into a new variable, because Fn::Sub does not replace variables in the values of variables.
func shorten(text string, want int) (short string, variables *value.Object, saved int) {
	short, s, saved := shortened(text, want)
	return short, s.variables, saved
}

// maxSteps limits the work on very repetitive text, where later replacements save little. The compiler's golden definitions
// take up to 13 million steps.
const maxSteps = 30_000_000

func shortened(text string, want int) (short string, s *shortener, saved int) {
	s = &shortener{tokens: tokensOf(text), variables: &value.Object{}}
	for saved < want && s.steps < maxSteps {
		gain := s.pass(want - saved)
		if gain == 0 {
			break
		}
		saved += gain
	}
	return strings.Join(s.tokens, ""), s, saved
}

// shortener splits a text into tokens and replaces repeated sequences of tokens with variables.
type shortener struct {
	tokens    []string
	variables *value.Object
	used      []bool // tokens that a variable has replaced in this pass
	steps     int    // comparisons and visited tokens, a machine-independent measure of the work
}

// token matches a variable of Fn::Sub, a word, or a single character. So repeats start and end at word boundaries.
var token = regexp.MustCompile(`(?s)\$\{[^}]*\}|\$?[A-Za-z0-9_]+|.`)

func tokensOf(text string) []string { return token.FindAllString(text, -1) }

// isVariable reports whether a token is a variable of Fn::Sub.
func isVariable(token string) bool { return strings.HasPrefix(token, "${") }

// repeat is a sequence of tokens that occurs more than once.
type repeat struct {
	at     []int // the indexes of its occurrences, unsorted
	first  int   // the smallest of these indexes
	length int   // in tokens
	gain   int   // in bytes, if all occurrences can be replaced
}

// pass replaces repeats without overlaps, starting with those that save the most, and returns the number of bytes saved.
func (s *shortener) pass(want int) int {
	s.used = make([]bool, len(s.tokens))
	found := s.repeats()
	slices.SortStableFunc(found, func(a, b repeat) int { return cmp.Or(b.gain-a.gain, a.first-b.first) })
	saved := 0
	for _, r := range found {
		if saved >= want || s.steps >= maxSteps {
			break
		}
		saved += s.replace(r)
	}
	s.tokens = slices.DeleteFunc(s.tokens, func(t string) bool { return t == "" })
	return saved
}

// replace replaces those occurrences of a repeat that do not overlap a replaced one, if that saves enough, and returns the
// number of bytes saved.
func (s *shortener) replace(r repeat) int {
	var free []int
	end := 0
	for _, at := range slices.Sorted(slices.Values(r.at)) {
		if at >= end && s.isFree(at, r.length) {
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

// isFree reports whether none of the tokens has been replaced.
func (s *shortener) isFree(at, length int) bool {
	i := slices.Index(s.used[at:at+length], true)
	if i >= 0 {
		length = i
	}
	s.steps += 1 + length
	return i < 0
}

// gained returns the number of bytes saved if a text that occurs the given number of times becomes a variable.
func gained(text string, times int, name string) int {
	return gainedOf(sizeOf(text), times, name)
}

// sizeOf returns the size of a text in a JSON string in bytes, without the quotes.
func sizeOf(text string) int { return len(value.AppendString(nil, text)) - 2 }

// gainedOf is gained for a text of the given size. It subtracts the size of the variable's definition, "NAME":"TEXT",.
func gainedOf(size, times int, name string) int {
	return times*(size-len("${}")-len(name)) - size - len(`"":"",`) - len(name)
}

// repeats returns all sequences of tokens that occur at least twice, save enough bytes, and would occur less often with one
// more token. In the sorted list of all suffixes of the text, these are the common prefixes of adjacent suffixes. The stack
// has the prefixes that the current suffix may share with the following ones, the longest on top.
func (s *shortener) repeats() []repeat {
	ends, alike := s.neighbors()
	sizes := s.sizes()
	type open struct{ from, length, first int }
	var stack []open
	var out []repeat
	for i := 1; i <= len(ends); i++ {
		same := 0
		if i < len(ends) {
			same = alike[i]
		}
		from, first := i-1, ends[i-1]
		for len(stack) > 0 && stack[len(stack)-1].length > same {
			top := stack[len(stack)-1]
			stack, from, first = stack[:len(stack)-1], top.from, min(first, top.first)
			if gain := gainedOf(sizes[ends[from]+top.length]-sizes[ends[from]], i-from, "S10"); gain >= minSaving {
				out = append(out, repeat{ends[from:i], first, top.length, gain})
			}
		}
		if top := len(stack) - 1; same > 0 && (top < 0 || stack[top].length < same) {
			stack = append(stack, open{from, same, first})
		} else if top >= 0 {
			stack[top].first = min(stack[top].first, first)
		}
	}
	return out
}

// sizes returns the size of the text before each token in bytes, and that of the whole text.
func (s *shortener) sizes() []int {
	sizes := make([]int, len(s.tokens)+1)
	for i, t := range s.tokens {
		sizes[i+1] = sizes[i] + sizeOf(t)
	}
	return sizes
}

// neighbors returns the indexes where a repeat can start, sorted by the suffixes that start there, and for each the number of
// tokens up to the next variable that its suffix has in common with the previous one.
func (s *shortener) neighbors() (ends, alike []int) {
	order, common := s.sorted()
	variable := make([]int, len(s.tokens)+1) // the index of the next variable, for each token
	variable[len(s.tokens)] = len(s.tokens)
	for at := len(s.tokens) - 1; at >= 0; at-- {
		if variable[at] = variable[at+1]; isVariable(s.tokens[at]) {
			variable[at] = at
		}
	}
	least := 0
	for i, at := range order {
		least = min(least, common[i])
		// A $ right before a new variable could change the meaning of its ${.
		if isVariable(s.tokens[at]) || at > 0 && strings.HasSuffix(s.tokens[at-1], "$") {
			continue
		}
		ends, alike = append(ends, at), append(alike, min(least, variable[at]-at))
		least = len(s.tokens)
	}
	return ends, alike
}

// sorted returns the suffix array of the text, and for each suffix the number of tokens that it has in common with the
// previous one. It sorts by prefix doubling: the ranks by the first n tokens give the ranks by the first 2n.
func (s *shortener) sorted() (order, common []int) {
	n := len(s.tokens)
	order = make([]int, n)
	for i := range order {
		order[i] = i
	}
	rank := make([]int, n)
	s.rank(order, rank, func(a, b int) int { return strings.Compare(s.tokens[a], s.tokens[b]) })
	for length := 1; length < n; length *= 2 {
		next := func(at int) int {
			if at+length < n {
				return rank[at+length]
			}
			return -1
		}
		ranks := make([]int, n)
		distinct := s.rank(order, ranks, func(a, b int) int { return cmp.Or(rank[a]-rank[b], next(a)-next(b)) })
		if rank = ranks; distinct {
			break
		}
	}
	return order, s.common(order, rank)
}

// rank sorts indexes and sets their ranks; equal ones get the same rank. It reports whether all ranks are distinct.
func (s *shortener) rank(order, ranks []int, compare func(a, b int) int) (distinct bool) {
	slices.SortFunc(order, func(a, b int) int { s.steps++; return compare(a, b) })
	last := 0
	for i, at := range order {
		if i > 0 && compare(order[i-1], at) != 0 {
			last++
		}
		ranks[at] = last
	}
	return last == len(order)-1
}

// common returns the lengths of the common prefixes of adjacent suffixes in the suffix array, by Kasai's algorithm: from one
// position in the text to the next, the length decreases by at most one.
func (s *shortener) common(order, rank []int) []int {
	n, out, same := len(order), make([]int, len(order)), 0
	for at := range n {
		if rank[at] == 0 {
			same = 0
			continue
		}
		for before := order[rank[at]-1]; at+same < n && before+same < n && s.tokens[at+same] == s.tokens[before+same]; same++ {
			s.steps++
		}
		out[rank[at]] = same
		same = max(0, same-1)
	}
	return out
}

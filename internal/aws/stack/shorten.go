package stack

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// CloudFormation takes a template of at most 51,200 bytes without a bucket. It counts the text of a definition before Fn::Sub replaces
// variables, and definitions repeat themselves: two steps have nearly the same states, and a dozen calls the same retries. So a text
// that repeats becomes a variable. Only templates that are too large become harder to read in this way.

// minSaving is the fewest bytes that a variable must save: each one makes the template harder to read.
const minSaving = 40

// shorten replaces repeats in a text of Fn::Sub by variables, until the text is shorter by want bytes or no replacement helps. It keeps
// the ${...} of the text, and no variable contains one, because Fn::Sub does not replace variables in the values of variables.
func shorten(text string, want int) (short string, variables *value.Object, saved int) {
	short, s, saved := shortened(text, want)
	return short, s.variables, saved
}

// maxSteps limits the work on a text that repeats itself nearly everywhere; the first repeats save most. The compiler's golden
// definitions take up to 13 million steps.
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

// shortener is a text as tokens, of which repeats become variables.
type shortener struct {
	tokens    []string
	variables *value.Object
	used      []bool // tokens that a variable has replaced in this pass
	steps     int    // comparisons and tokens looked at
}

// token is a variable of Fn::Sub, a word, or one character: repeats begin and end where words do.
var token = regexp.MustCompile(`(?s)\$\{[^}]*\}|\$?[A-Za-z0-9_]+|.`)

func tokensOf(text string) []string { return token.FindAllString(text, -1) }

// isVariable reports whether a token is a variable of Fn::Sub.
func isVariable(token string) bool { return strings.HasPrefix(token, "${") }

// repeat is a sequence of tokens that occurs more than once.
type repeat struct {
	at     []int // where it begins
	first  int   // the least of them
	length int   // in tokens
	gain   int   // in bytes, if all occurrences can be replaced
}

// pass replaces repeats, the ones that save most first and without overlaps, and returns the bytes saved.
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

// replace replaces the occurrences of a repeat that overlap no variable, if that saves enough.
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

// isFree reports whether no variable has replaced any of the tokens.
func (s *shortener) isFree(at, length int) bool {
	i := slices.Index(s.used[at:at+length], true)
	if i >= 0 {
		length = i
	}
	s.steps += 1 + length
	return i < 0
}

// gained is how many bytes the template loses if a text that occurs so often becomes a variable.
func gained(text string, times int, name string) int {
	return gainedOf(sizeOf(text), times, name)
}

// sizeOf is how many bytes a text has in a JSON text.
func sizeOf(text string) int { return len(value.AppendString(nil, text)) - 2 }

func gainedOf(size, times int, name string) int {
	return times*(size-len("${}")-len(name)) - size - len(`"":"",`) - len(name)
}

// repeats are all sequences of tokens that occur at least twice and that a further token would make rarer: the common beginnings of
// neighbours in the sorted list of all suffixes of the text.
func (s *shortener) repeats() []repeat {
	ends, alike := s.neighbours()
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

// sizes are the bytes of the text before each token.
func (s *shortener) sizes() []int {
	sizes := make([]int, len(s.tokens)+1)
	for i, t := range s.tokens {
		sizes[i+1] = sizes[i] + sizeOf(t)
	}
	return sizes
}

// neighbours are the places where a repeat may begin, sorted by the suffix that begins there, and how many tokens each shares with the
// one before it, up to the next variable.
func (s *shortener) neighbours() (ends, alike []int) {
	order, common := s.sorted()
	variable := make([]int, len(s.tokens)+1) // the next one
	variable[len(s.tokens)] = len(s.tokens)
	for at := len(s.tokens) - 1; at >= 0; at-- {
		if variable[at] = variable[at+1]; isVariable(s.tokens[at]) {
			variable[at] = at
		}
	}
	least := 0
	for i, at := range order {
		least = min(least, common[i])
		// A $ before a variable might be read as part of it.
		if isVariable(s.tokens[at]) || at > 0 && strings.HasSuffix(s.tokens[at-1], "$") {
			continue
		}
		ends, alike = append(ends, at), append(alike, min(least, variable[at]-at))
		least = len(s.tokens)
	}
	return ends, alike
}

// sorted is the text's suffix array, and how many tokens each suffix has in common with the one before it. The ranks by the first n
// tokens give those by the first 2n.
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

// rank sorts places, and numbers those that compare alike with the same number.
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

// common finds what neighbours have in common in the order of the text (Kasai's algorithm): one token further on it is at most
// one token less.
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

package expr

import (
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// filter parses the text after [? : a condition in parentheses.
func (p *pathParser) filter(depth int) (step, error) {
	if depth >= maxPathDepth {
		return step{}, p.fail("filters are nested too deeply")
	}
	p.space()
	if !p.skip('(') {
		return step{}, p.fail("expected ( after ?")
	}
	f, err := p.or(depth + 1)
	if err != nil {
		return step{}, err
	}
	p.space()
	if !p.skip(')') {
		return step{}, p.fail("expected ) at the end of the filter")
	}
	return step{kind: stepFilter, filter: f}, nil
}

// or has the lowest precedence: a && b || c is (a && b) || c.
func (p *pathParser) or(depth int) (filter, error) {
	parts, err := p.list("||", depth, p.and)
	if err != nil || len(parts) == 1 {
		return first(parts), err
	}
	return filterOr(parts), nil
}

func (p *pathParser) and(depth int) (filter, error) {
	parts, err := p.list("&&", depth, p.condition)
	if err != nil || len(parts) == 1 {
		return first(parts), err
	}
	return filterAnd(parts), nil
}

// first returns the first filter, or nil if parsing failed.
func first(parts []filter) filter {
	if len(parts) == 0 {
		return nil
	}
	return parts[0]
}

// list parses conditions that are joined by one operator.
func (p *pathParser) list(op string, depth int, read func(int) (filter, error)) ([]filter, error) {
	var parts []filter
	for {
		f, err := read(depth)
		if err != nil {
			return nil, err
		}
		parts = append(parts, f)
		p.space()
		if !strings.HasPrefix(p.text[p.pos:], op) {
			return parts, nil
		}
		p.pos += len(op)
	}
}

// condition parses one term: a negation, a condition in parentheses, or a comparison.
func (p *pathParser) condition(depth int) (filter, error) {
	if depth >= maxPathDepth {
		return nil, p.fail("filters are nested too deeply")
	}
	p.space()
	switch {
	case p.peek() == '!':
		p.pos++
		f, err := p.condition(depth + 1)
		return filterNot{f}, err
	case p.peek() == '(':
		p.pos++
		f, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		p.space()
		if !p.skip(')') {
			return nil, p.fail("expected )")
		}
		return f, nil
	}
	return p.comparison(depth)
}

// comparison parses a comparison. A path without an operator tests whether it matches anything.
func (p *pathParser) comparison(depth int) (filter, error) {
	left, err := p.operand(depth)
	if err != nil {
		return nil, err
	}
	p.space()
	op := p.operator()
	if op == "" {
		return filterExists{left}, nil
	}
	p.space()
	if word, ok := p.bareWord(op); ok {
		return &filterCmp{op, left, word}, nil
	}
	right, err := p.operand(depth)
	if err != nil {
		return nil, err
	}
	return &filterCmp{op, left, right}, nil
}

// bareWord parses an unquoted string, as in @.Key==Name or @.Name==/a/path. Jayway does not accept it, but Step Functions
// does, and definitions use it. Text that looks like a pattern is a string as well, except after =~.
func (p *pathParser) bareWord(op string) (*operand, bool) {
	end := p.literalEnd()
	word := p.text[p.pos:end]
	if op == "=~" || !slices.Contains(filterOperators, op) || word == "" || strings.ContainsAny(word, "'\"@$()[]{}") {
		return nil, false
	}
	if _, err := value.Parse([]byte(word)); err == nil { // a number, true, false, null
		return nil, false
	}
	p.pos = end
	return &operand{literal: word}, true
}

// filterOperators are ordered by length, so that <= is not parsed as <.
var filterOperators = []string{"===", "!==", "==", "!=", "<=", ">=", "=~", "<", ">"}

// filterWords are the operators that are words.
var filterWords = []string{"in", "nin", "subsetof", "anyof", "noneof", "all", "size", "empty", "contains"}

// operator parses an operator; words are not case-sensitive. It returns "" if there is none.
func (p *pathParser) operator() string {
	rest := p.text[p.pos:]
	for _, op := range filterOperators {
		if strings.HasPrefix(rest, op) {
			p.pos += len(op)
			return op
		}
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') })
	if end <= 0 {
		return ""
	}
	word := strings.ToLower(rest[:end])
	for _, op := range filterWords {
		if word == op {
			p.pos += end
			return op
		}
	}
	return ""
}

// operand parses one side of a comparison. A string in double quotes has the syntax of JSON, one in single quotes that of
// Jayway.
func (p *pathParser) operand(depth int) (*operand, error) {
	switch c := p.peek(); {
	case c == '@' || c == '$':
		return p.operandPath(depth)
	case c == '\'':
		s, err := p.quoted()
		return &operand{literal: s}, err
	case c == '/':
		return p.regex()
	default:
		return p.literal()
	}
}

// operandPath parses a path from the item (@) or from the root ($). Filters cannot use variables or the context object.
func (p *pathParser) operandPath(depth int) (*operand, error) {
	start, fromRoot := p.pos, p.peek() == '$'
	p.pos++
	path := &Path{}
	if err := p.steps(path, depth); err != nil {
		return nil, err
	}
	path.text = p.text[start:p.pos]
	return &operand{path: path, fromRoot: fromRoot}, nil
}

// regex parses /pattern/flags. The syntax is that of package regexp: no look-around and no backreferences, but linear time.
func (p *pathParser) regex() (*operand, error) {
	start := p.pos + 1
	end := start
	for end < len(p.text) && p.text[end] != '/' {
		if p.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.text) {
		return nil, p.fail("unterminated pattern")
	}
	source := p.text[start:end]
	p.pos = end + 1
	flags := ""
	for c := p.peek(); c == 'i' || c == 's' || c == 'm'; c = p.peek() {
		flags += string(c)
		p.pos++
	}
	if flags != "" {
		flags = "(?" + flags + ")"
	}
	re, err := regexp.Compile("^(?:" + flags + source + ")$") // as in Jayway, the pattern must match the whole text
	if err != nil {
		p.pos = start
		return nil, p.fail("invalid pattern: " + err.Error())
	}
	return &operand{regex: re}, nil
}

// literal parses a JSON value. As in Jayway, arrays can also contain strings in single quotes.
func (p *pathParser) literal() (*operand, error) {
	v, err := p.literalValue(0)
	return &operand{literal: v}, err
}

func (p *pathParser) literalValue(depth int) (any, error) {
	switch {
	case depth > maxPathDepth:
		return nil, p.fail("arrays are nested too deeply")
	case p.peek() == '[':
		return p.literalArray(depth)
	case p.peek() == '\'' && depth > 0:
		return p.quoted()
	}
	end := p.literalEnd()
	v, err := value.Parse([]byte(p.text[p.pos:end]))
	if err != nil {
		return nil, p.fail("expected a path or a value")
	}
	p.pos = end
	return v, nil
}

// literalArray parses [ ... ].
func (p *pathParser) literalArray(depth int) (any, error) {
	p.pos++
	out := []any{}
	for {
		p.space()
		if p.skip(']') {
			return out, nil
		}
		if len(out) > 0 && !p.skip(',') {
			return nil, p.fail("expected , or ] in an array")
		}
		p.space()
		v, err := p.literalValue(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

// literalEnd returns the end of a value that is not an array.
func (p *pathParser) literalEnd() int {
	nesting, quoted := 0, false
	for i := p.pos; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			nesting++
		case nesting > 0 && (c == ']' || c == '}'):
			nesting--
		case nesting == 0 && strings.IndexByte(" \t\r\n)]&|=!<>,", c) >= 0:
			return i
		}
	}
	return len(p.text)
}

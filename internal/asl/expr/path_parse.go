package expr

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPathDepth bounds the nesting of filters, because the parser is recursive.
const maxPathDepth = 50

// CompilePath compiles a JSONPath: $..., $$... (context object) or $name... (workflow variable). An error is a *SyntaxError.
func CompilePath(text string) (*Path, error) {
	if !utf8.ValidString(text) {
		return nil, &SyntaxError{text, 0, "invalid UTF-8"}
	}
	p := pathParser{text: text}
	path, err := p.path(0)
	if err != nil {
		return nil, err
	}
	p.space() // Jayway trims the text
	if p.pos < len(text) {
		return nil, p.fail("unexpected character")
	}
	return path, nil
}

// pathParser parses paths, also inside filters and as arguments of intrinsic functions. It stops at the first character that
// cannot belong to the path; the caller handles the rest.
type pathParser struct {
	text string
	pos  int
}

func (p *pathParser) fail(msg string) error { return &SyntaxError{p.text, p.pos, msg} }

// peek returns the next byte, 0 at the end.
func (p *pathParser) peek() byte { return p.peekAt(0) }

func (p *pathParser) peekAt(n int) byte {
	if p.pos+n < len(p.text) {
		return p.text[p.pos+n]
	}
	return 0
}

// skip consumes the next byte if it is c.
func (p *pathParser) skip(c byte) bool {
	if p.peek() == c && p.pos < len(p.text) {
		p.pos++
		return true
	}
	return false
}

func (p *pathParser) space() {
	for p.pos < len(p.text) && (p.text[p.pos] == ' ' || p.text[p.pos] == '\t' || p.text[p.pos] == '\n' || p.text[p.pos] == '\r') {
		p.pos++
	}
}

// path parses a path that starts with $.
func (p *pathParser) path(depth int) (*Path, error) {
	start := p.pos
	if !p.skip('$') {
		return nil, p.fail("a path must start with $")
	}
	path := &Path{}
	if p.skip('$') {
		path.source = FromContext
	} else if name := p.identifier(); name != "" {
		path.source, path.variable = FromVariable, name
	}
	if err := p.steps(path, depth); err != nil {
		return nil, err
	}
	path.text = p.text[start:p.pos]
	return path, nil
}

// identifier parses the name of a variable: the States Language allows Unicode identifiers.
func (p *pathParser) identifier() string {
	start := p.pos
	for p.pos < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.pos:])
		if r != '_' && !unicode.IsLetter(r) && (p.pos == start || !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r)) {
			break
		}
		p.pos += size
	}
	return p.text[start:p.pos]
}

// steps parses the part after the root.
func (p *pathParser) steps(path *Path, depth int) error {
	for path.function == nil {
		var err error
		switch p.peek() {
		case '.':
			err = p.dot(path)
		case '[':
			err = p.bracket(path, depth)
		default:
			path.settle()
			return nil
		}
		if err != nil {
			return err
		}
	}
	path.settle()
	return nil
}

// settle computes definite and reference from the steps.
func (p *Path) settle() {
	p.definite, p.reference = true, p.function == nil
	for i := range p.steps {
		switch s := &p.steps[i]; {
		case s.kind == stepName:
		case s.kind == stepIndices && len(s.indices) == 1:
		case s.kind == stepNames && i == len(p.steps)-1: // merged into one object
			p.reference = false
		default:
			p.definite, p.reference = false, false
		}
	}
}

// dot parses the part after a dot: a name, *, a second dot, or brackets, which Jayway allows as well.
func (p *pathParser) dot(path *Path) error {
	p.pos++
	if p.skip('.') {
		path.steps = append(path.steps, step{kind: stepScan})
	}
	switch c := p.peek(); {
	case p.pos >= len(p.text):
		return p.fail("a path must not end with a dot")
	case c == '.':
		return p.fail("too many dots")
	case c == '[':
		return nil // .['x'], ..[0]: bracket parses it
	case c == '*':
		p.pos++
		path.steps = append(path.steps, step{kind: stepWildcard})
		return nil
	}
	return p.property(path)
}

// property parses a name in dot notation, or a function.
func (p *pathParser) property(path *Path) error {
	start := p.pos
	for p.pos < len(p.text) && !strings.ContainsRune(".[( \t\n\r,)]&|=!<>~'\"", rune(p.text[p.pos])) {
		p.pos++
	}
	name := p.text[start:p.pos]
	if name == "" {
		return p.fail("expected a property name; write names with special characters as ['...']")
	}
	if p.peek() == '(' {
		return p.function(path, name, start)
	}
	path.steps = append(path.steps, step{kind: stepName, name: name})
	return nil
}

func (p *pathParser) bracket(path *Path, depth int) error {
	p.pos++
	p.space()
	s, err := p.inBrackets(depth)
	if err != nil {
		return err
	}
	p.space()
	if !p.skip(']') {
		return p.fail("expected ]")
	}
	path.steps = append(path.steps, s)
	return nil
}

// inBrackets determines the kind of step from its first character.
func (p *pathParser) inBrackets(depth int) (step, error) {
	switch c := p.peek(); {
	case c == '*':
		p.pos++
		return step{kind: stepWildcard}, nil
	case c == '?':
		p.pos++
		return p.filter(depth)
	case c == '\'' || c == '"':
		return p.names()
	case c == '-' || c == ':' || c >= '0' && c <= '9':
		return p.numbers()
	}
	return step{}, p.fail("expected a quoted name, an index, a slice, * or a filter")
}

// names parses 'a' or 'a','b'.
func (p *pathParser) names() (step, error) {
	var names []string
	for {
		name, err := p.quotedName()
		if err != nil {
			return step{}, err
		}
		names = append(names, name)
		p.space()
		if !p.skip(',') {
			break
		}
		p.space()
	}
	if len(names) == 1 {
		return step{kind: stepName, name: names[0]}, nil
	}
	return step{kind: stepNames, names: names}, nil
}

// quotedName parses a name in brackets. A backslash escapes only the quote; before any other character it is part of the
// name. So Step Functions accepts ['a\"b'].
func (p *pathParser) quotedName() (string, error) {
	quote := p.peek()
	start := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		if c == quote {
			p.pos++
			return b.String(), nil
		}
		if c == '\\' && p.pos+1 < len(p.text) {
			p.pos++
			if p.text[p.pos] != quote {
				b.WriteByte(c)
			}
			c = p.text[p.pos]
		}
		b.WriteByte(c)
	}
	p.pos = start
	return "", p.fail("unterminated string")
}

// quoted parses a string in single or double quotes inside a filter. A backslash escapes any character; some letters stand
// for control characters, and \uXXXX for a code point.
func (p *pathParser) quoted() (string, error) {
	quote := p.peek()
	if quote != '\'' && quote != '"' {
		return "", p.fail("expected a string in quotes")
	}
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		switch {
		case c == quote:
			return b.String(), nil
		case c != '\\':
			b.WriteByte(c)
		default:
			if err := p.escape(&b); err != nil {
				return "", err
			}
		}
	}
	return "", p.fail("unterminated string")
}

func (p *pathParser) escape(b *strings.Builder) error {
	if p.pos >= len(p.text) {
		return p.fail("unterminated string")
	}
	c := p.text[p.pos]
	p.pos++
	switch c {
	case 'n':
		b.WriteByte('\n')
	case 't':
		b.WriteByte('\t')
	case 'r':
		b.WriteByte('\r')
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'u':
		if p.pos+4 > len(p.text) {
			return p.fail("incomplete \\u escape")
		}
		n, err := strconv.ParseUint(p.text[p.pos:p.pos+4], 16, 32)
		if err != nil {
			return p.fail("invalid \\u escape")
		}
		p.pos += 4
		b.WriteRune(rune(n))
	default:
		b.WriteByte(c)
	}
	return nil
}

// numbers parses [1], [1,2], [1:2], [:2], [-1:].
func (p *pathParser) numbers() (step, error) {
	first, given, err := p.integer()
	if err != nil {
		return step{}, err
	}
	p.space()
	if p.skip(':') {
		return p.sliceEnd(first, given)
	}
	if !given {
		return step{}, p.fail("expected an index")
	}
	indices := []int{first}
	for p.skip(',') {
		p.space()
		n, given, err := p.integer()
		if err != nil {
			return step{}, err
		}
		if !given {
			return step{}, p.fail("expected an index")
		}
		indices = append(indices, n)
		p.space()
	}
	return step{kind: stepIndices, indices: indices}, nil
}

// sliceEnd parses the part after the colon. As in Jayway, a slice cannot have a step.
func (p *pathParser) sliceEnd(from int, hasFrom bool) (step, error) {
	p.space()
	to, hasTo, err := p.integer()
	if err != nil {
		return step{}, err
	}
	p.space()
	if p.peek() == ':' {
		return step{}, p.fail("a slice cannot have a step")
	}
	return step{kind: stepSlice, slice: slice{from, to, hasFrom, hasTo}}, nil
}

// integer parses an index; false if there is none. As in Java, it must fit in 32 bits.
func (p *pathParser) integer() (int, bool, error) {
	start := p.pos
	p.skip('-')
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	if p.pos == start {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(p.text[start:p.pos], 10, 32)
	if err != nil {
		p.pos = start
		return 0, false, p.fail("invalid index")
	}
	return int(n), true, nil
}

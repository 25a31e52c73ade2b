package expr

import (
	"strings"
)

// Bounds on an expression's text. The library's parser and evaluator recurse, so depth must be limited before.
const (
	maxTokens  = 20_000
	maxNesting = 500
)

// token is a word of a JSONata text.
type token struct {
	kind tokenKind
	text string // names and variables without their sigils and quotes
	pos  int
	size int // in bytes, with sigils and quotes
}

type tokenKind int

const (
	tokenOp tokenKind = iota
	tokenName
	tokenVariable
	tokenString
	tokenNumber
	tokenRegex
)

// scan is what can be told of an expression from its words alone, before the library parses it: which variables it takes
// from outside, and what Step Functions refuses. It is no parser: what is no JSONata at all the library finds.
type scan struct {
	tokens      []token
	used        []string // variables, once each, bound in the expression or not
	free        []string // those of them that the expression does not bind
	states      []string
	roots       wants // what is seen of each variable outside paths
	paths       []plainPath
	code        string // the text with aliases in the place of paths
	unsupported []*SyntaxError
	last        int // where the last token starts: errors of the library carry no position
}

// scanner reads tokens.
type scanner struct {
	text   string
	pos    int
	tokens []token
}

// scanJSONata reads a text into words and draws from them what can be known before it is parsed.
func scanJSONata(text string) (*scan, error) {
	sc := scanner{text: text}
	if err := sc.run(); err != nil {
		return nil, err
	}
	s := &scan{tokens: sc.tokens}
	if n := len(sc.tokens); n > 0 {
		s.last = sc.tokens[n-1].pos
	}
	w := walker{scan: s, text: text, bound: map[string]bool{}}
	if err := w.run(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *scanner) fail(pos int, msg string) error { return &SyntaxError{s.text, pos, msg} }

func (s *scanner) run() error {
	for {
		if err := s.blank(); err != nil {
			return err
		}
		if s.pos >= len(s.text) {
			return nil
		}
		if len(s.tokens) >= maxTokens {
			return s.fail(s.pos, "the expression is too long")
		}
		if err := s.next(); err != nil {
			return err
		}
	}
}

// blank skips white space and comments.
func (s *scanner) blank() error {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v':
			s.pos++
		case strings.HasPrefix(s.text[s.pos:], "/*"):
			end := strings.Index(s.text[s.pos+2:], "*/")
			if end < 0 {
				return s.fail(s.pos, "S0106: Comment has no closing tag")
			}
			s.pos += end + 4
		default:
			return nil
		}
	}
	return nil
}

func (s *scanner) add(kind tokenKind, text string, pos int) {
	s.tokens = append(s.tokens, token{kind, text, pos, s.pos - pos})
}

// operatorsOfTwo are operators of two characters. ?? and ?: are newer than the version Step Functions runs.
var operatorsOfTwo = []string{"..", ":=", "!=", ">=", "<=", "**", "~>", "??", "?:"}

const operatorChars = ".[]{}()@#;:?+-*/%|=<>^&!~,"

// next reads one word. Operators of two characters come first, so that := is not read as : and =.
func (s *scanner) next() error {
	start := s.pos
	switch c := s.text[start]; {
	case c == '"' || c == '\'':
		return s.str(c)
	case c == '`':
		return s.backquoted()
	case c >= '0' && c <= '9':
		s.number()
		return nil
	case c == '/' && !s.afterOperand():
		return s.regex()
	}
	for _, op := range operatorsOfTwo {
		if strings.HasPrefix(s.text[start:], op) {
			s.pos += 2
			s.add(tokenOp, op, start)
			return nil
		}
	}
	if strings.IndexByte(operatorChars, s.text[start]) >= 0 {
		s.pos++
		s.add(tokenOp, s.text[start:s.pos], start)
		return nil
	}
	s.word()
	return nil
}

// afterOperand says whether the word before can end an operand, so that a slash divides.
func (s *scanner) afterOperand() bool {
	if len(s.tokens) == 0 {
		return false
	}
	t := s.tokens[len(s.tokens)-1]
	return t.kind != tokenOp || t.text == ")" || t.text == "]" || t.text == "}"
}

// str reads a string. Only the escapes of JSON are allowed: version 2.0.6 refuses others, the library does not.
func (s *scanner) str(quote byte) error {
	start := s.pos
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '\\':
			s.pos++
			if s.pos < len(s.text) && strings.IndexByte(`"\/bfnrtu`, s.text[s.pos]) < 0 {
				return s.fail(s.pos, "S0103: Unsupported escape sequence: \\"+s.text[s.pos:s.pos+1])
			}
		case quote:
			s.pos++
			s.add(tokenString, s.text[start+1:s.pos-1], start)
			return nil
		}
	}
	return s.fail(start, "S0101: String literal must be terminated by a matching quote")
}

// backquoted reads a name that may hold anything but backquotes.
func (s *scanner) backquoted() error {
	start := s.pos
	end := strings.IndexByte(s.text[start+1:], '`')
	if end < 0 {
		return s.fail(start, "S0105: Quoted property name must be terminated with a backquote (`)")
	}
	s.pos = start + end + 2
	s.add(tokenName, s.text[start+1:s.pos-1], start)
	return nil
}

// number reads generously; whether it is one, the library says.
func (s *scanner) number() {
	start := s.pos
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		exponent := (c == '+' || c == '-') && (s.text[s.pos-1] == 'e' || s.text[s.pos-1] == 'E')
		fraction := c == '.' && s.pos+1 < len(s.text) && s.text[s.pos+1] >= '0' && s.text[s.pos+1] <= '9'
		if !(c >= '0' && c <= '9' || c == 'e' || c == 'E' || exponent || fraction) {
			break
		}
		s.pos++
	}
	s.add(tokenNumber, s.text[start:s.pos], start)
}

// regex reads a pattern with its flags; a slash inside brackets does not end it.
func (s *scanner) regex() error {
	start, nesting := s.pos, 0
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '\\':
			s.pos++
		case c == '(' || c == '[' || c == '{':
			nesting++
		case c == ')' || c == ']' || c == '}':
			nesting--
		case c == '/' && nesting == 0:
			for s.pos++; s.pos < len(s.text) && (s.text[s.pos] == 'i' || s.text[s.pos] == 'm'); s.pos++ {
			}
			s.add(tokenRegex, s.text[start:s.pos], start)
			return nil
		}
	}
	return s.fail(start, "S0302: No terminating / in regular expression")
}

// word reads a name or a variable: everything up to white space or an operator.
func (s *scanner) word() {
	start := s.pos
	for s.pos < len(s.text) && strings.IndexByte(operatorChars+" \t\n\r\v", s.text[s.pos]) < 0 {
		s.pos++
	}
	text := s.text[start:s.pos]
	if name, ok := strings.CutPrefix(text, "$"); ok {
		s.add(tokenVariable, name, start)
	} else {
		s.add(tokenName, text, start)
	}
}

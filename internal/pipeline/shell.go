package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// checkShell finds references in places of a shell text where quoting their values would not keep them data: inside
// quotes, comments, here-documents, arithmetic and so on. It rather refuses one too many: a value that reaches the shell
// as code is worse than a message (a variable from the step's environment works everywhere).
func checkShell(t Template) error {
	if len(t.Parts) == 0 || hasNoRef(t) {
		return nil
	}
	s := shellScan{}
	for _, p := range t.Parts {
		if p.Ref == nil {
			s.text(p.Text)
			continue
		}
		if where := s.place(); where != "" {
			return fmt.Errorf("${{ %s }} stands %s; references are quoted by themselves, so put it outside, "+
				"or use the step's environment", p.Ref.Text, where)
		}
		s.last = 'x'
	}
	if s.dollarQuote {
		return errors.New("$'...' and $\"...\" cannot be used together with references")
	}
	return nil
}

func hasNoRef(t Template) bool {
	_, plain := t.Plain()
	return plain
}

// shellScan follows quotes through a shell text, as far as it takes to know whether a word begins plainly.
type shellScan struct {
	quote       byte // ' or " while inside
	escaped     bool // the last character was an unquoted backslash
	comment     bool
	heredoc     bool // a << was seen: from the next line on, text may be a here-document
	inHeredoc   bool
	backquote   bool
	braces      int // open ${ and $((: counted once seen, for they change how quotes are read
	dollarQuote bool
	last        byte
}

// place names where the scan is, when it is no place for a reference; empty when it is one.
func (s *shellScan) place() string {
	switch {
	case s.escaped:
		return "behind a backslash"
	case s.inHeredoc, s.heredoc && s.last == '<':
		return "in or after a here-document"
	case s.comment:
		return "in a comment"
	case s.quote != 0:
		return "inside quotes"
	case s.backquote:
		return "inside backquotes"
	case s.braces > 0:
		return "inside ${...} or $((...))"
	case s.last == '$':
		return "behind a $"
	}
	return ""
}

// text takes the text between two references.
func (s *shellScan) text(text string) {
	for i := range len(text) {
		s.next(text[i], text[i+1:])
		s.last = text[i]
	}
}

// next takes one character. Inside single quotes nothing is special but their end, inside double quotes also a backslash.
func (s *shellScan) next(c byte, rest string) {
	switch {
	case s.comment:
		s.comment = c != '\n'
		s.newline(c)
	case s.escaped:
		s.escaped = false
	case s.quote == '\'':
		if c == '\'' {
			s.quote = 0
		}
	case c == '\\':
		s.escaped = true
	case s.quote == '"':
		if c == '"' {
			s.quote = 0
		}
	default:
		s.plain(c, rest)
	}
}

// plain takes a character outside of quotes.
func (s *shellScan) plain(c byte, rest string) {
	switch c {
	case '\'', '"':
		s.dollarQuote = s.dollarQuote || s.last == '$'
		s.quote = c
	case '`':
		s.backquote = !s.backquote
	case '#':
		s.comment = s.last == 0 || strings.IndexByte(" \t\n;&|()", s.last) >= 0
	case '<':
		s.heredoc = s.heredoc || s.last == '<'
	case '{':
		if s.last == '$' {
			s.braces++
		}
	case '(':
		if s.last == '(' || s.last == '$' && strings.HasPrefix(rest, "(") {
			s.braces = max(s.braces, 1)
		}
	case '}':
		s.braces = max(s.braces-1, 0)
	case ')':
		if s.last == ')' {
			s.braces = 0
		}
	}
	s.newline(c)
}

// newline begins a here-document, if one was announced. Where it ends is not looked for: its end mark can be quoted, come
// from a variable, or be one of several.
func (s *shellScan) newline(c byte) {
	if c == '\n' && s.heredoc {
		s.inHeredoc = true
	}
}

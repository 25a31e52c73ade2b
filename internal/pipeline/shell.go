package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// checkShell rejects references where the shell could interpret the quoted value as code: inside quotes, comments, here-documents,
// arithmetic and so on. It is conservative: a value that is executed is worse than an unnecessary error, and the user can always
// pass the value through an environment variable of the step.
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
		if where := s.unsafe(); where != "" {
			return fmt.Errorf("${{ %s }} is not allowed %s; rayorch quotes the values of references itself: move the reference out, "+
				"or pass the value in env", p.Ref.Text, where)
		}
		s.last = 'x'
	}
	if s.dollarQuote {
		return errors.New("$'...' and $\"...\" cannot be combined with references")
	}
	return nil
}

func hasNoRef(t Template) bool {
	_, plain := t.Plain()
	return plain
}

// shellScan scans a shell command, as far as is necessary to know whether a reference would be in a plain word.
type shellScan struct {
	quote       byte // ' or " inside such quotes, otherwise 0
	escaped     bool // the last character was an unquoted backslash
	comment     bool
	heredoc     bool // a << was seen: the text after the next newline may be a here-document
	inHeredoc   bool
	backquote   bool
	braces      int  // number of open ${ and $((, in which the rules for quotes differ
	dollarQuote bool // a $' or $" was seen
	last        byte // last character
}

// unsafe describes the current position if a reference is not allowed there, and returns "" if it is.
func (s *shellScan) unsafe() string {
	switch {
	case s.escaped:
		return "after a backslash"
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
		return "after a $"
	}
	return ""
}

// text scans the text between two references.
func (s *shellScan) text(text string) {
	for i := range len(text) {
		s.next(text[i], text[i+1:])
		s.last = text[i]
	}
}

// next scans one character; rest is the text after it. Inside single quotes only the closing quote is special, and inside double
// quotes also the backslash.
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

// plain scans a character outside quotes.
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

// newline starts a here-document if a << came before. The scan does not look for the end of the here-document, because the delimiter
// can be quoted, and one line can start several here-documents.
func (s *shellScan) newline(c byte) {
	if c == '\n' && s.heredoc {
		s.inHeredoc = true
	}
}

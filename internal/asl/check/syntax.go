package check

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// expectedValue is the end of messages about a missing value, in the wording of Jackson, the JSON parser behind AWS's API.
const expectedValue = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"

// sourceShown is the maximum length of the text that Jackson repeats in a message, in bytes.
const sourceShown = 500

// SyntaxMessage describes the first error of a text that is not valid JSON, and its location, in the wording of AWS's JSON
// parser (Jackson). err is the error of our own parser; SyntaxMessage returns its text if it finds no error itself.
func SyntaxMessage(text string, err error) (message, source string) {
	s := &syntax{text: text}
	s.scan()
	if s.message == "" {
		s.message, s.pos = err.Error(), 0
	}
	return s.message, s.source()
}

// syntax scans a text up to its first error.
type syntax struct {
	text    string
	pos     int
	message string
}

// source returns the location after what was read last, as Jackson does. Columns count characters, from 1.
func (s *syntax) source() string { return s.sourceAt(s.pos) }

// sourceAt formats a position as Jackson does, with the text itself, truncated to sourceShown bytes.
func (s *syntax) sourceAt(pos int) string {
	before := s.text[:min(pos, len(s.text))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	shown, cut := s.text, ""
	if len(shown) > sourceShown {
		shown, cut = shown[:sourceShown], fmt.Sprintf("[truncated %d chars]", len(shown)-sourceShown)
	}
	return "[Source: (String)\"" + shown + "\"" + cut + fmt.Sprintf("; line: %d, column: %d]", line, column)
}

func (s *syntax) fail(message string) { s.message = message }

func (s *syntax) failed() bool { return s.message != "" }

// unexpected reports the character at the current position, after which Jackson reports the location.
func (s *syntax) unexpected(expecting string) {
	r, size := utf8.DecodeRuneInString(s.text[s.pos:])
	s.pos += size
	shown := fmt.Sprintf("'%c' (code %d)", r, r)
	if r < ' ' {
		shown = fmt.Sprintf("(CTRL-CHAR, code %d)", r)
	}
	s.fail("Unexpected character (" + shown + "): " + expecting)
}

func (s *syntax) space() {
	for s.pos < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.pos]) >= 0 {
		s.pos++
	}
}

func (s *syntax) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *syntax) atEnd() bool { return s.pos >= len(s.text) }

// scan has its own stack of open brackets instead of recursion, because the nesting of the text is not bounded.
func (s *syntax) scan() {
	var open []opened
	s.value(&open)
	for len(open) > 0 && !s.failed() {
		s.space()
		switch last := open[len(open)-1]; {
		case s.atEnd():
			s.fail("Unexpected end-of-input: expected close marker for " + container(last.closer) +
				" (start marker at " + s.sourceAt(last.at) + ")")
		case s.peek() == last.closer:
			s.pos++
			open = open[:len(open)-1]
		case s.peek() != ',':
			s.unexpected("was expecting comma to separate " + container(last.closer) + " entries")
		default:
			s.pos++
			s.entry(&open)
		}
	}
	if s.failed() {
		return
	}
	if s.space(); !s.atEnd() { // text after the value
		s.value(&open)
	}
}

// opened is a bracket that is not closed yet: its closing bracket, and its position.
type opened struct {
	closer byte
	at     int
}

func container(closer byte) string {
	if closer == '}' {
		return "Object"
	}
	return "Array"
}

// entry reads an entry of the innermost open container: to its end, or to the bracket of a container inside it.
func (s *syntax) entry(open *[]opened) {
	if (*open)[len(*open)-1].closer == '}' && !s.key() {
		return
	}
	s.value(open)
}

// key reads the name of a member, and the colon.
func (s *syntax) key() bool {
	switch s.space(); {
	case s.atEnd():
		s.fail("Unexpected end-of-input within/between Object entries")
	case s.peek() != '"':
		s.unexpected("was expecting double-quote to start field name")
	default:
		if s.str("Unexpected end-of-input in field name"); s.failed() {
			return false
		}
		s.space()
		switch {
		case s.atEnd():
			s.fail("Unexpected end-of-input within/between Object entries")
		case s.peek() != ':':
			s.unexpected("was expecting a colon to separate field name and value")
		default:
			s.pos++
		}
	}
	return !s.failed()
}

// value reads a scalar value, or enters a container, which scan then continues.
func (s *syntax) value(open *[]opened) {
	s.space()
	switch c := s.peek(); {
	case s.atEnd():
		s.fail("Unexpected end-of-input: expected a value")
	case c == '{' || c == '[':
		s.enter(open, c+2) // in ASCII each closer is two after its opener
	case c == '"':
		s.str("Unexpected end-of-input: was expecting closing quote for a string value")
	case c == '-' || c >= '0' && c <= '9':
		s.number()
	case isWordPart(rune(c)) || c >= utf8.RuneSelf:
		s.word()
	default:
		s.unexpected("expected a valid value " + expectedValue)
	}
}

// enter opens a container and reads its first entry, unless it is empty.
func (s *syntax) enter(open *[]opened, closer byte) {
	*open = append(*open, opened{closer, s.pos})
	s.pos++
	if s.space(); !s.atEnd() && s.peek() != closer {
		s.entry(open)
	}
}

func isWordPart(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '$'
}

// word reads to the end of the word, because the message contains the whole word.
func (s *syntax) word() {
	from := s.pos
	for !s.atEnd() {
		r, size := utf8.DecodeRuneInString(s.text[s.pos:])
		if !isWordPart(r) {
			break
		}
		s.pos += size
	}
	switch word := s.text[from:s.pos]; word {
	case "true", "false", "null":
	case "":
		s.unexpected("expected a valid value " + expectedValue)
	default:
		s.fail("Unrecognized token '" + word + "': was expecting " + expectedValue)
	}
}

// number reads everything that can belong to a number. Our own parser reports what is wrong inside it, except for leading
// zeros.
func (s *syntax) number() {
	from := s.pos
	for !s.atEnd() && strings.IndexByte("+-.eE0123456789", s.peek()) >= 0 {
		s.pos++
	}
	digits := strings.TrimPrefix(s.text[from:s.pos], "-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		s.fail("Invalid numeric value: Leading zeroes not allowed")
	}
}

// str reads a string; unterminated is the message if its closing quote is missing.
func (s *syntax) str(unterminated string) {
	for s.pos++; !s.atEnd(); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return
		case c < ' ':
			s.pos++
			s.fail(fmt.Sprintf("Illegal unquoted character ((CTRL-CHAR, code %d)): "+
				"has to be escaped using backslash to be included in string value", c))
			return
		case c == '\\':
			if s.escape(); s.failed() {
				return
			}
		}
	}
	s.fail(unterminated)
}

func (s *syntax) escape() {
	s.pos++
	if c := s.peek(); !s.atEnd() && strings.IndexByte(`"\/bfnrtu`, c) < 0 {
		s.pos++
		s.fail(fmt.Sprintf("Unrecognized character escape '%c' (code %d)", c, c))
	}
}

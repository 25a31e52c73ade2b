package jsonata

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// tokenKind is the kind of a token.
type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenOperator
	tokenName
	tokenVariable
	tokenString
	tokenNumber
	tokenConstant // true, false, null
	tokenRegex
)

// token is a lexical token of an expression.
type token struct {
	kind  tokenKind
	text  string // an operator, or a name, a variable or a string without $ or quotes
	num   float64
	regex *Regex
	pos   int // in bytes
}

// lexer splits an expression into tokens. Only the parser knows whether a slash divides or begins a regular expression, so the
// lexer returns one token at a time.
type lexer struct {
	src    string
	pos    int
	tokens int
}

const (
	spaces    = " \t\n\r\v"
	operators = ".[]{}(),@#;:?+-*/%|=<>^&!~"
)

var longOperators = []string{"..", ":=", "!=", ">=", "<=", "**", "~>"}

// next reads one token. After an operand, a slash is the division operator; elsewhere, it begins a regular expression.
func (l *lexer) next(afterOperand bool) (token, error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	start := l.pos
	if start >= len(l.src) {
		return token{kind: tokenEnd, pos: start, text: "(end)"}, nil
	}
	if l.tokens++; l.tokens > maxTokens {
		return token{}, &CompileError{"the expression is too long", start}
	}
	c := l.src[start]
	switch {
	case c == '/' && !afterOperand:
		return l.regex()
	case c == '"' || c == '\'':
		return l.quoted(c)
	case c == '`':
		return l.backquoted()
	case c >= '0' && c <= '9':
		return l.number()
	}
	for _, op := range longOperators {
		if strings.HasPrefix(l.src[start:], op) {
			l.pos += len(op)
			return l.token(tokenOperator, op, start), nil
		}
	}
	if strings.IndexByte(operators, c) >= 0 {
		l.pos++
		return l.token(tokenOperator, l.src[start:l.pos], start), nil
	}
	return l.word(), nil
}

func (l *lexer) token(kind tokenKind, text string, start int) token {
	return token{kind: kind, text: text, pos: start}
}

// skip skips white space and comments.
func (l *lexer) skip() error {
	for l.pos < len(l.src) {
		switch {
		case strings.IndexByte(spaces, l.src[l.pos]) >= 0:
			l.pos++
		case strings.HasPrefix(l.src[l.pos:], "/*"):
			end := strings.Index(l.src[l.pos+2:], "*/")
			if end < 0 {
				return newError("S0106", l.pos)
			}
			l.pos += end + 4
		default:
			return nil
		}
	}
	return nil
}

// word reads a name or a variable: up to white space or an operator.
func (l *lexer) word() token {
	start := l.pos
	for l.pos < len(l.src) && strings.IndexByte(spaces+operators, l.src[l.pos]) < 0 {
		l.pos++
	}
	text := l.src[start:l.pos]
	switch text {
	case "and", "or", "in":
		return l.token(tokenOperator, text, start)
	case "true", "false", "null":
		return l.token(tokenConstant, text, start)
	}
	if name, ok := strings.CutPrefix(text, "$"); ok {
		return l.token(tokenVariable, name, start)
	}
	return l.token(tokenName, text, start)
}

// number reads a number without a sign. A range such as 1..3 is not part of it.
func (l *lexer) number() (token, error) {
	start := l.pos
	l.digits()
	if l.src[start] == '0' {
		l.pos = start + 1 // no leading zeros
	}
	if l.peek(0) == '.' && isDigit(l.peek(1)) {
		l.pos++
		l.digits()
	}
	if c := l.peek(0); c == 'e' || c == 'E' {
		sign := 1
		if s := l.peek(1); s == '+' || s == '-' {
			sign = 2
		}
		if isDigit(l.peek(sign)) {
			l.pos += sign
			l.digits()
		}
	}
	t := l.token(tokenNumber, l.src[start:l.pos], start)
	t.num, _ = strconv.ParseFloat(t.text, 64)
	if math.IsInf(t.num, 0) {
		return t, newError("S0102", start).with("token", t.text)
	}
	return t, nil
}

func (l *lexer) digits() {
	for isDigit(l.peek(0)) {
		l.pos++
	}
}

// peek returns the byte n bytes ahead, 0 beyond the end.
func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.src) {
		return l.src[l.pos+n]
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// backquoted reads a name in backquotes, which has no escapes.
func (l *lexer) backquoted() (token, error) {
	start := l.pos
	end := strings.IndexByte(l.src[start+1:], '`')
	if end < 0 {
		return token{}, newError("S0105", start)
	}
	l.pos = start + end + 2
	return l.token(tokenName, l.src[start+1:l.pos-1], start), nil
}

var escapes = map[byte]string{
	'"': `"`, '\\': `\`, '/': "/", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t",
}

// quoted reads a string in single or double quotes.
func (l *lexer) quoted(quote byte) (token, error) {
	start := l.pos
	l.pos++
	var b strings.Builder
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; c {
		case quote:
			l.pos++
			return l.token(tokenString, b.String(), start), nil
		case '\\':
			text, err := l.escape()
			if err != nil {
				return token{}, err
			}
			b.WriteString(text)
		default:
			b.WriteByte(c)
			l.pos++
		}
	}
	return token{}, newError("S0101", start)
}

// escape reads an escape sequence. An unpaired surrogate becomes U+FFFD.
func (l *lexer) escape() (string, error) {
	l.pos++
	c := l.peek(0)
	if text, ok := escapes[c]; ok {
		l.pos++
		return text, nil
	}
	if c != 'u' {
		_, size := utf8.DecodeRuneInString(l.src[l.pos:])
		return "", newError("S0103", l.pos).with("token", l.src[l.pos:l.pos+size])
	}
	r, ok := l.hex(l.pos + 1)
	if !ok {
		return "", newError("S0104", l.pos)
	}
	l.pos += 5
	if utf16.IsSurrogate(r) && strings.HasPrefix(l.src[l.pos:], `\u`) {
		if low, ok := l.hex(l.pos + 2); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			l.pos += 6
			r = utf16.DecodeRune(r, low)
		}
	}
	return string(r), nil
}

func (l *lexer) hex(at int) (rune, bool) {
	if at+4 > len(l.src) {
		return 0, false
	}
	n, err := strconv.ParseUint(l.src[at:at+4], 16, 32)
	return rune(n), err == nil
}

// regex reads a regular expression and its flags. A slash inside brackets does not end the expression.
func (l *lexer) regex() (token, error) {
	start, depth := l.pos, 0
	for l.pos++; l.pos < len(l.src); l.pos++ {
		switch c := l.src[l.pos]; {
		case c == '\\':
			l.pos++
		case c == '/' && depth == 0:
			return l.regexEnd(start)
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		}
	}
	return token{}, newError("S0302", start)
}

func (l *lexer) regexEnd(start int) (token, error) {
	pattern := l.src[start+1 : l.pos]
	if pattern == "" {
		return token{}, newError("S0301", start)
	}
	l.pos++
	from := l.pos
	for c := l.peek(0); c == 'i' || c == 'm'; c = l.peek(0) {
		l.pos++
	}
	re, err := compileRegex(pattern, l.src[from:l.pos])
	if err != nil {
		return token{}, &CompileError{err.Error(), start}
	}
	t := l.token(tokenRegex, pattern, start)
	t.regex = re
	return t, nil
}

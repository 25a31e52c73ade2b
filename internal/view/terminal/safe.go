package terminal

import (
	"io"
	"sync"
	"unicode/utf8"
)

// Safe is a writer that filters text for a terminal. Control characters could repaint the terminal, change its title or the clipboard, or
// make it send input to the program. Of control characters, only newlines, tabs and carriage returns pass; of escape sequences, only those
// that set colors.
type Safe struct {
	out  io.Writer
	mu   sync.Mutex
	held []byte // an incomplete sequence or character, up to maxHeld bytes
}

// maxHeld is the maximum length of a sequence. Sequences that set colors are shorter.
const maxHeld = 64

// NewSafe returns a writer to a terminal.
func NewSafe(out io.Writer) *Safe { return &Safe{out: out} }

// Unwrap returns the terminal itself, for code that draws on it.
func (s *Safe) Unwrap() io.Writer { return s.out }

// Write writes all text immediately, except an incomplete sequence or character at the end.
func (s *Safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.held, p...) //nolint:gocritic // deliberately a new slice
	safe := make([]byte, 0, len(text))
	for len(text) > 0 {
		n, pass := token(text)
		if n == 0 {
			break
		}
		if pass {
			safe = append(safe, text[:n]...)
		}
		text = text[n:]
	}
	s.held = append([]byte(nil), text...)
	_, err := s.out.Write(safe)
	return len(p), err
}

// token returns the length of the first character or sequence of a text in bytes, and whether it may pass. The length is 0 if the token is
// incomplete.
func token(text []byte) (n int, pass bool) {
	if text[0] == '\x1b' {
		return color(text)
	}
	if !utf8.FullRune(text) {
		return 0, false
	}
	r, n := utf8.DecodeRune(text)
	switch {
	case r == '\n', r == '\t', r == '\r':
		return n, true
	case r < 0x20, r >= 0x7f && r < 0xa0, r == utf8.RuneError && n == 1:
		return n, false
	}
	return n, true
}

// color is token for text that begins with an escape character. A sequence that sets colors (ESC [ digits ; : m) passes. Of any other
// sequence, only the escape character is removed, so that the rest is visible.
func color(text []byte) (n int, pass bool) {
	for i, c := range text[1:] {
		switch {
		case i == 0 && c == '[', i > 0 && (c >= '0' && c <= '9' || c == ';' || c == ':'):
			if i+2 > maxHeld {
				return 1, false
			}
		case i > 0 && c == 'm':
			return i + 2, true
		default:
			return 1, false
		}
	}
	return 0, false
}

package terminal

import (
	"io"
	"sync"
	"unicode/utf8"
)

// Safe passes text to a terminal without what could repaint it, change its title or its clipboard, or answer in the user's name: of
// the control characters, only newlines, tabs and carriage returns pass, of the escape sequences only those that set colors.
type Safe struct {
	out  io.Writer
	mu   sync.Mutex
	held []byte // the beginning of a sequence or of a character, up to maxHeld bytes
}

// maxHeld is longer than any sequence that sets a color.
const maxHeld = 64

// NewSafe returns a writer to a terminal.
func NewSafe(out io.Writer) *Safe { return &Safe{out: out} }

// Unwrap returns the terminal itself, for those who draw on it.
func (s *Safe) Unwrap() io.Writer { return s.out }

// Write does not keep text back, but for a sequence or a character that has only begun.
func (s *Safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.held, p...) //nolint:gocritic // the two are one text
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

// token measures the first character or sequence of a text, and says whether it may pass. It has 0 bytes if more must follow.
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

// color measures what follows an escape character: ESC [ digits ; : m passes whole. Of any other sequence only the escape character
// is left out, so that the reader sees the rest.
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

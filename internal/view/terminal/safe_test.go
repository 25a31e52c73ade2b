package terminal_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/view/terminal"
)

// written returns the output for a text that is written in two parts.
func written(t *testing.T, text string, cut int) string {
	t.Helper()
	var b bytes.Buffer
	w := terminal.NewSafe(&b)
	for _, part := range []string{text[:cut], text[cut:]} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d of %d bytes, %v", n, len(part), err)
		}
	}
	return b.String()
}

func TestSafePassesColorsOnly(t *testing.T) {
	for text, want := range map[string]string{
		"plain\tgrößer ✓\r\n":                        "plain\tgrößer ✓\r\n",
		"\x1b[1;31mred\x1b[0m \x1b[38:5:9mx\x1b[m\n": "\x1b[1;31mred\x1b[0m \x1b[38:5:9mx\x1b[m\n",
		"a\x1b[2J\x1b[Hb\n":                          "a[2J[Hb\n",                     // clear the screen
		"\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x07\n":   "]0;title]52;c;cm0gLXJm\n",      // title, clipboard
		"\x1b]8;;http://evil/\x1b\\click\x1b]8;;\n":  "]8;;http://evil/\\click]8;;\n", // link
		"\x1b[6n\x1bP$q\x1b\\\x1b[?1049h\x05\n":      "[6nP$q\\[?1049h\n",             // queries, alternate screen
		"x\b\b\x7f\u009b2J\u0090q\xff\x9b2Jy\n":      "x2Jq2Jy\n",                     // backspace, C1 characters as UTF-8 and as bytes
		"\x1b[" + strings.Repeat("1", 100) + "mz\n":  "[" + strings.Repeat("1", 100) + "mz\n",
		"\x1b\x1b[31mq\n":                            "\x1b[31mq\n",
	} {
		for cut := range len(text) + 1 {
			if got := written(t, text, cut); got != want {
				t.Errorf("%q, split at %d: got %q, want %q", text, cut, got, want)
			}
		}
	}
}

var colors = regexp.MustCompile("\x1b\\[[0-9;:]*m")

func FuzzSafe(f *testing.F) {
	f.Add("a\x1b[31mb\x1b[2J\x1b]0;t\x07\u009b", 3)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		got := written(t, text, min(max(cut, 0), len(text)))
		if whole := written(t, text, len(text)); whole != got {
			t.Errorf("split at %d: got %q, in one part %q", cut, got, whole)
		}
		for _, r := range colors.ReplaceAllString(got, "") {
			if r < 0x20 && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 {
				t.Errorf("%q: %q passes", text, r)
			}
		}
	})
}

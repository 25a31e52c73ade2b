package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/rayorch/rayorch/internal/view/terminal"
)

// indent sets a text off by two blanks, each line made safe for the terminal.
func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = "  " + terminal.Clean(l)
	}
	return strings.Join(lines, "\n")
}

func pretty(text json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}
	return b.String()
}

package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/rayorch/rayorch/internal/view/terminal"
)

// indent indents each line by two spaces and makes it safe for the terminal.
func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = "  " + terminal.Clean(l)
	}
	return strings.Join(lines, "\n")
}

// pretty indents JSON; invalid JSON is returned as it is.
func pretty(text json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}
	return b.String()
}

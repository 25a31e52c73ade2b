package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shownCommands returns all commands that the help lists, with the root.
func shownCommands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			all = append(all, shownCommands(c)...)
		}
	}
	return all
}

// isCobras reports whether cobra itself adds a command, with a long help and without examples.
func isCobras(c *cobra.Command) bool {
	return c.Name() == "help" || c.Name() == "completion" || c.Parent() != nil && c.Parent().Name() == "completion"
}

// verbs are the words that the short help of a command may start with.
var verbs = []string{
	"check", "compile", "copy", "create", "deploy", "draw", "free", "list", "open", "print", "register", "remove", "restart", "resume",
	"run", "serve", "show", "start", "stop",
}

// TestCommandsHaveHelp checks the form of the help: the short help is an imperative phrase, there are examples, as docs/cli.md promises,
// and no line is too wide for a terminal.
func TestCommandsHaveHelp(t *testing.T) {
	for _, c := range shownCommands(testApp("", io.Discard).root()) {
		verb, _, _ := strings.Cut(c.Short, " ")
		if !slices.Contains(verbs, strings.TrimSuffix(verb, ",")) || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short help %q must be an imperative phrase in lower case without a period", c.CommandPath(), c.Short)
		}
		if isCobras(c) {
			continue
		}
		if !strings.HasPrefix(c.Example, "  rayorch ") {
			t.Errorf("%s: the example %q must be a command line, indented by two spaces", c.CommandPath(), c.Example)
		}
		var help strings.Builder
		c.SetOut(&help)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(help.String()) {
			words := strings.Fields(line)
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > helpWidth && len(words[len(words)-1]) < helpWidth/2 {
				t.Errorf("%s: a line of the help has %d columns, more than %d: %s", c.CommandPath(), n, helpWidth, line)
			}
		}
	}
}

// valueWords are all placeholders for the values of flags.
var valueWords = []string{
	"ADDRESS", "DIR", "DURATION", "FILE", "INT", "JSON", "NAME", "NAME=CONTEXT", "NAME=VALUE", "PATH", "SIZE", "STRING", "URL",
}

// TestFlagsHaveHelp checks the placeholder and the usage of each flag.
func TestFlagsHaveHelp(t *testing.T) {
	used := map[string]bool{}
	for _, c := range shownCommands(testApp("", io.Discard).root()) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			used[f.Name] = true
			word := placeholderOf(f)
			if isBool := f.Value.Type() == "bool"; isBool != (word == "") || !isBool && !slices.Contains(valueWords, word) {
				t.Errorf("%s --%s: the placeholder is %q", c.CommandPath(), f.Name, word)
			}
			if strings.Contains(f.Usage, "`") {
				t.Errorf("%s --%s: back quotes in the usage are shown: %q", c.CommandPath(), f.Name, f.Usage)
			}
			if f.Usage == "" || lowerFirst(f.Usage) != f.Usage || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: the usage must be a phrase that starts in lower case and has no period: %q", c.CommandPath(), f.Name, f.Usage)
			}
		})
	}
	for name := range placeholders {
		if !used[name] {
			t.Errorf("there is a placeholder for --%s, but no such flag", name)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text          string
		width, indent int
		want          string
	}{
		{"one two three", 7, 0, "one two\nthree"},
		{"one two three", 9, 2, "one two\n  three"},
		{"a word-that-is-too-long b", 6, 0, "a\nword-that-is-too-long\nb"},
		{"first\n\nsecond paragraph", 10, 0, "first\n\nsecond\nparagraph"},
		{"list:\n  1. an item that stays as it is", 10, 0, "list:\n  1. an item that stays as it is"},
		{"", 10, 0, ""},
	} {
		if got := wrap(c.text, c.width, c.indent); got != c.want {
			t.Errorf("wrap(%q, %d, %d) is %q, want %q", c.text, c.width, c.indent, got, c.want)
		}
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestCommandsHaveExamples holds the help of every command to the form that docs/cli.md promises.
func TestCommandsHaveExamples(t *testing.T) {
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		if short := c.Short; short == "" || strings.HasSuffix(short, ".") || strings.ToLower(short[:1]) != short[:1] {
			t.Errorf("%s: the short help %q must be a phrase in lower case without a period", c.CommandPath(), short)
		}
		if !strings.HasPrefix(c.Example, "  rayorch ") {
			t.Errorf("%s: the example %q must be a command line, indented by two spaces", c.CommandPath(), c.Example)
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check((&app{}).root())
}

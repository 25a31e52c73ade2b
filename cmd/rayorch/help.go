package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// usage is an error on the command line: exit code 2, a suggestion for a misspelt name, and a pointer to the help.
func usage(c *cobra.Command, err error) error {
	if name := nearestFlag(c, err); name != "" {
		err = fmt.Errorf("%w; did you mean --%s?", err, name)
	}
	return &failure{code: exitUsage, err: err, hint: "see " + c.CommandPath() + " --help"}
}

// usageArgs wraps check so that its error is a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.NoArgs
	}
	return func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		if name := nearestCommand(c, args); name != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, name)
		}
		return usage(c, err)
	}
}

// nearestFlag is the flag that the user probably meant by one that the command does not have.
func nearestFlag(c *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	name := unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); len(letters) > 1 { // -follow is a flag with one dash
		name = letters
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return pipeline.Nearest(name, names)
}

// nearestCommand is the subcommand that the user probably meant by one that the command does not have.
func nearestCommand(c *cobra.Command, args []string) string {
	if len(args) == 0 {
		return ""
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			names = append(names, sub.Name())
		}
	}
	return pipeline.Nearest(args[0], names)
}

// groupFlags makes a command's help list the flags that only AWS needs in a section of their own. Their usage contains (aws).
func groupFlags(root *cobra.Command) {
	cobra.AddTemplateFunc("ownFlags", func(c *cobra.Command) string { own, _ := flagGroups(c); return own })
	cobra.AddTemplateFunc("awsFlags", func(c *cobra.Command) string { _, aws := flagGroups(c); return aws })
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}",
		"{{ownFlags . | trimTrailingWhitespaces}}{{with awsFlags .}}\n\nFlags for AWS:\n{{. | trimTrailingWhitespaces}}{{end}}", 1))
}

func flagGroups(c *cobra.Command) (own, aws string) {
	var plain, cloud pflag.FlagSet
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(f.Usage, "(aws") {
			plain.AddFlag(f)
			return
		}
		shown := *f
		shown.Usage = strings.TrimSuffix(strings.Replace(f.Usage, "(aws; ", "(", 1), " (aws)")
		cloud.AddFlag(&shown)
	})
	return plain.FlagUsages(), cloud.FlagUsages()
}

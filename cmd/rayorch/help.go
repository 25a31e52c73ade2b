package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// usage makes an error a usage error: exit code 2, a suggestion for a misspelled flag, and a hint that points to the help of the command.
func usage(c *cobra.Command, err error) error {
	if name := nearestFlag(c, err); name != "" {
		err = fmt.Errorf("%w; did you mean --%s?", err, name)
	}
	return &failure{code: exitUsage, err: err, hint: "see " + c.CommandPath() + " --help"}
}

// usageArgs returns a check of the arguments whose errors are usage errors. nil accepts no arguments.
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

// nearestFlag returns the flag with the most similar name if err is about an unknown flag, else "".
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

// nearestCommand returns the subcommand with the most similar name, or "".
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

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// usage makes an error a usage error: exit code 2, a suggestion for a misspelled flag, and a hint that points to the help of the command.
func usage(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		err = fmt.Errorf("--%s must be %s, got %q", invalid.GetFlag().Name, valueOf(invalid.GetFlag()), invalid.GetValue())
	}
	if name := nearestFlag(c, err); name != "" {
		err = fmt.Errorf("%w; did you mean --%s?", err, name)
	}
	return &failure{code: exitUsage, err: err, hint: "see " + c.CommandPath() + " --help"}
}

// valueOf describes the values of a flag that is not a string.
func valueOf(f *pflag.Flag) string {
	switch kind := f.Value.Type(); kind {
	case "duration":
		return "a duration such as 90s or 2h"
	case "int":
		return "an integer"
	case "bool":
		return "true or false"
	default:
		return "a valid " + kind
	}
}

// atLeastZero checks the duration of a flag.
func atLeastZero(c *cobra.Command, flag string, d time.Duration) error {
	if d < 0 {
		return usage(c, fmt.Errorf("--%s must be at least 0s, got %s", flag, d))
	}
	return nil
}

// oneArg and atMostOneArg check the number of arguments, as cobra.ExactArgs and cobra.MaximumNArgs do.
func oneArg(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("expected 1 argument, got %d", len(args))
	}
	return nil
}

func atMostOneArg(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("expected at most 1 argument, got %d", len(args))
	}
	return nil
}

// usageArgs returns a check of the arguments whose errors are usage errors. nil accepts no arguments.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	none := check == nil
	if none {
		check = cobra.NoArgs
	}
	return func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		if none && !c.HasAvailableSubCommands() { // cobra reports each argument as an unknown command
			err = fmt.Errorf("expected no arguments, got %q", args[0])
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

package main

import (
	"github.com/spf13/cobra"
)

func validateCommand(a *app) *cobra.Command {
	var o sourceOptions
	var cloud awsOptions
	c := &cobra.Command{
		Use:   "validate [PIPELINE]",
		Short: "check a pipeline file and report all errors",
		Long: "validate checks a pipeline file and the definition that it compiles to, and reports all errors, each with file, line, column, " +
			"path and expected value. It starts nothing. PIPELINE is a file, or a directory with a pipeline.yaml (default: the current " +
			"directory).",
		Example: "  rayorch validate examples/shakespeare",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			if a.forAWS(o) {
				return a.validateAWS(c.Context(), o, cloud)
			}
			src, err := a.load(o)
			if err != nil {
				return err
			}
			dir, err := a.stateDirectory()
			if err != nil {
				return err
			}
			out, err := src.compile(dir, "")
			if err != nil {
				return err
			}
			for _, note := range out.Notes {
				a.out.note(note)
			}
			result := map[string]any{"valid": true, "pipeline": src.pipeline.Name, "notes": append([]string{}, out.Notes...)}
			return a.out.result(result, func() { a.out.printf("%s is valid\n", src.file) })
		},
	}
	o.flags(c)
	cloud.flags(c)
	return c
}

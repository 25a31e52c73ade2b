package main

import (
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/pipeline"
)

func schemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON Schema of the pipeline file, for editors",
		Long: "schema prints the JSON Schema (draft 2020-12) of pipeline.yaml. Editors with the YAML language server use it if the first " +
			"line of the pipeline file is:\n  # yaml-language-server: $schema=./pipeline.schema.json",
		Example: "  rayorch schema > pipeline.schema.json",
		RunE: func(*cobra.Command, []string) error {
			a.out.write(append(pipeline.Schema(), '\n'))
			return nil
		},
	}
}

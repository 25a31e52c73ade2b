package main

import (
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/pipeline"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the pipeline file's JSON Schema, for editors",
		Long: "schema prints the JSON Schema (draft 2020-12) of pipeline.yaml. Editors with the YAML language server take it by\n" +
			"a first line such as: # yaml-language-server: $schema=./pipeline.schema.json",
		Example: "  rayorch schema > pipeline.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(append(pipeline.Schema(), '\n'))
			return err
		},
	}
}

package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/view/graph"
)

func graphCommand(a *app) *cobra.Command {
	var o sourceOptions
	var format, out string
	c := &cobra.Command{
		Use:   "graph [PIPELINE]",
		Short: "draw a pipeline as text, Mermaid or SVG",
		Long: "graph draws the steps of a pipeline and their order: as text for a terminal, as Mermaid for a Markdown file, or as an SVG " +
			"picture.",
		Example: "  rayorch graph examples/shakespeare --format svg --out shakespeare.svg",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			if !slices.Contains(graph.Formats, format) {
				return usage(c, fmt.Errorf("--format must be text, mermaid or svg, got %q", format))
			}
			src, err := a.load(o)
			if err != nil {
				return err
			}
			picture, err := graph.Pipeline(src.pipeline, format)
			if err != nil {
				return err
			}
			if out != "" {
				return os.WriteFile(out, picture, 0o644)
			}
			a.out.write(picture)
			return nil
		},
	}
	o.flags(c)
	c.Flags().StringVar(&format, "format", "text", "format of the picture: text, mermaid or svg")
	c.Flags().StringVar(&out, "out", "", "file to write the picture to (default: stdout)")
	return c
}

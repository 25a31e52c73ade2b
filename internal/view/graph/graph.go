// Package graph draws a pipeline, or a definition in the Amazon States Language, as text, as Mermaid, and as SVG, for which it computes
// a layout. The package is pure, and its output is deterministic. It does not validate: it draws invalid definitions as far as it can.
package graph

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// Formats are the output formats.
var Formats = []string{"text", "mermaid", "svg"}

// Graph is a directed graph. Nodes are in the order of the source.
type Graph struct {
	Name  string
	Nodes []*Node
	Edges []Edge
}

// Node is a step or a state. Inside are the graphs that it contains: one for each branch, or one for an item processor.
type Node struct {
	Name, Kind, Detail string
	Inside             []*Graph
}

// Edge connects two nodes, given by index. It is dashed if it is taken after a failure.
type Edge struct {
	From, To int
	Label    string
	Dashed   bool
}

// Pipeline draws the steps of a pipeline.
func Pipeline(p *pipeline.Pipeline, format string) ([]byte, error) {
	return Draw(OfPipeline(p), format)
}

// Definition draws the states of a definition.
func Definition(name string, definition []byte, format string) ([]byte, error) {
	g, err := OfDefinition(name, definition)
	if err != nil {
		return nil, err
	}
	return Draw(g, format)
}

// Draw draws a graph in one of the Formats.
func Draw(g *Graph, format string) ([]byte, error) {
	switch format {
	case "text", "":
		return drawText(g), nil
	case "mermaid":
		return drawMermaid(g), nil
	case "svg":
		return drawSVG(g), nil
	}
	return nil, fmt.Errorf("unknown format %q: expected text, mermaid or svg", format)
}

// Package graph draws a pipeline, or a definition in the States Language, as text, as Mermaid, and as SVG with a layout
// of its own. The same input gives the same bytes. It is pure and draws what is there: whether it is valid, others say.
package graph

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// Formats are the ways to draw.
var Formats = []string{"text", "mermaid", "svg"}

// Graph is what is drawn: nodes in the order of their source, and the ways between them.
type Graph struct {
	Name  string
	Nodes []*Node
	Edges []Edge
}

// Node is a step or a state. Inside holds what it contains: one graph a branch.
type Node struct {
	Name, Kind, Detail string
	Inside             []*Graph
}

// Edge leads from one node to another, both by index. A dashed one is taken when something failed.
type Edge struct {
	From, To int
	Label    string
	Dashed   bool
}

// Pipeline draws a pipeline's steps.
func Pipeline(p *pipeline.Pipeline, format string) ([]byte, error) {
	return Draw(OfPipeline(p), format)
}

// Definition draws a definition's states.
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

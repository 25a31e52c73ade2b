package graph

import (
	"bytes"
	"fmt"
	"strings"
)

// drawText draws a tree, with one line per node and the nodes that it contains below it. It shows the targets of a node only if they are
// not just the next node.
func drawText(g *Graph) []byte {
	var b bytes.Buffer
	b.WriteString(g.Name + "\n")
	writeTree(&b, g, "")
	return b.Bytes()
}

// writeTree writes the nodes of a graph, and below each those that it contains. indent is the prefix of each line.
func writeTree(b *bytes.Buffer, g *Graph, indent string) {
	for i, n := range g.Nodes {
		branch, below := "├─ ", "│  "
		if i == len(g.Nodes)-1 {
			branch, below = "└─ ", "   "
		}
		fmt.Fprintf(b, "%s%s%s%s\n", indent, branch, nodeLine(n), targets(g, i))
		for j, inside := range n.Inside {
			if len(n.Inside) > 1 {
				fmt.Fprintf(b, "%s%sbranch %d\n", indent, below, j+1)
			}
			writeTree(b, inside, indent+below)
		}
	}
}

// nodeLine describes a node in one line.
func nodeLine(n *Node) string {
	line := n.Name
	if n.Kind != "" {
		line += "  [" + n.Kind + "]"
	}
	if n.Detail != "" {
		line += "  " + n.Detail
	}
	return line
}

// targets lists the nodes to which a node leads, "" if it leads only to the next one.
func targets(g *Graph, i int) string {
	var out []string
	plain := false
	for _, e := range g.Edges {
		if e.From != i {
			continue
		}
		word := g.Nodes[e.To].Name
		if e.Label != "" {
			word = e.Label + ": " + word
		}
		plain = e.To == i+1 && e.Label == ""
		out = append(out, word)
	}
	switch {
	case len(out) == 0 && i+1 < len(g.Nodes) && len(g.Edges) > 0 && g.Nodes[i].Kind != "Fail" && g.Nodes[i].Kind != "Succeed":
		return "  -> end"
	case len(out) == 0, len(out) == 1 && plain:
		return ""
	}
	return "  -> " + strings.Join(out, ", ")
}

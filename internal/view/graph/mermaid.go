package graph

import (
	"bytes"
	"fmt"
	"strings"
)

// drawMermaid draws a Mermaid flowchart. Nodes that contain others are subgraphs.
func drawMermaid(g *Graph) []byte {
	m := &mermaid{}
	m.b.WriteString("flowchart TD\n")
	m.graph(g, "  ")
	return m.b.Bytes()
}

// mermaid writes a flowchart. next is the number in the next node's id.
type mermaid struct {
	b    bytes.Buffer
	next int
}

// graph writes a graph. It generates the ids of nodes, because names can contain any characters.
func (m *mermaid) graph(g *Graph, indent string) {
	ids := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		ids[i] = fmt.Sprintf("n%d", m.next)
		m.next++
		m.node(n, ids[i], indent)
	}
	for _, e := range g.Edges {
		arrow := "-->"
		if e.Dashed {
			arrow = "-.->"
		}
		if e.Label != "" {
			arrow += "|" + mermaidText(e.Label) + "|"
		}
		fmt.Fprintf(&m.b, "%s%s %s %s\n", indent, ids[e.From], arrow, ids[e.To])
	}
}

// node writes a node, or a subgraph if it contains others.
func (m *mermaid) node(n *Node, id, indent string) {
	label := `"` + mermaidText(n.Name) + `"`
	if n.Detail != "" {
		label = `"` + mermaidText(n.Name) + "<br/>" + mermaidText(n.Detail) + `"`
	}
	if len(n.Inside) == 0 {
		open, end := "[", "]"
		if n.Kind == "Choice" {
			open, end = "{", "}"
		}
		fmt.Fprintf(&m.b, "%s%s%s%s%s\n", indent, id, open, label, end)
		return
	}
	fmt.Fprintf(&m.b, "%ssubgraph %s[%s]\n", indent, id, label)
	for _, inside := range n.Inside {
		m.graph(inside, indent+"  ")
	}
	fmt.Fprintf(&m.b, "%send\n", indent)
}

// mermaidText escapes characters that have a meaning in Mermaid as entities.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\"#;<>&|[]{}()`\\", r) || r < ' ' {
			fmt.Fprintf(&b, "#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

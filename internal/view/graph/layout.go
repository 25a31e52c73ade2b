package graph

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// Sizes of the drawing, in pixels.
const (
	charWidth    = 7.3
	nodeHeight   = 46.0
	minWidth     = 90.0
	gapX         = 26.0
	gapY         = 38.0
	padding      = 14.0
	channelWidth = 8.0 // the width that a layer reserves for an edge that passes through it
	sweeps       = 4
)

// box is a node with its position, or the position where an edge passes through a layer (node is nil). x and y are its upper left
// corner within its picture.
type box struct {
	node       *Node
	x, y, w, h float64
	inside     []*picture
	layer      int
	weight     float64 // sort key within the layer
}

// picture is a graph with the positions of its nodes.
type picture struct {
	boxes  []*box
	routes []route
	w, h   float64
	x, y   float64 // within the box around it
}

// route is the path of an edge: the boxes at its ends, and those in the layers between them.
type route struct {
	edge Edge
	via  []*box
	back bool // the edge leads upward, and via is in reverse order
}

// layOut computes the positions of the nodes of a graph. It is a layered layout, from top to bottom: a node's layer is the length of the
// longest path to it, and the nodes of a layer are sorted by the positions of their neighbors, to reduce crossings.
//
// extraWidth is the width that a box needs in addition to its text.
func layOut(g *Graph, extraWidth float64) *picture {
	p := &picture{}
	for _, n := range g.Nodes {
		p.boxes = append(p.boxes, sized(n, extraWidth))
	}
	nodes := p.boxes
	back := backEdges(g)
	rank(g, nodes, back)
	for i, e := range g.Edges {
		p.addRoute(nodes, e, back[i])
	}
	layers := p.layers()
	for range sweeps {
		p.reduceCrossings(layers)
	}
	p.place(layers)
	return p
}

// sized returns a box for a node, which is large enough for its text and for the graphs that it contains.
func sized(n *Node, extraWidth float64) *box {
	b := &box{node: n, h: nodeHeight}
	width := max(utf8.RuneCountInString(n.Name), utf8.RuneCountInString(second(n)))
	b.w = max(minWidth, float64(width)*charWidth+2*padding+extraWidth)
	if len(n.Inside) == 0 {
		return b
	}
	top, x, tallest := nodeHeight, padding, 0.0
	for _, g := range n.Inside {
		p := layOut(g, extraWidth)
		p.x, p.y = x, top
		x += p.w + padding
		tallest = max(tallest, p.h)
		b.inside = append(b.inside, p)
	}
	spare := max(0, b.w-x)
	for _, p := range b.inside {
		p.x += spare / 2
	}
	b.w, b.h = max(b.w, x), top+tallest+padding
	return b
}

// second returns the second line of a node.
func second(n *Node) string {
	if n.Detail == "" {
		return n.Kind
	}
	return n.Kind + ": " + shorten(n.Detail)
}

// longest is the maximum length of a node's second line, in characters.
const longest = 60

// shorten truncates a text that would make a box too wide.
func shorten(s string) string {
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-3]) + "..."
	}
	return s
}

// backEdges returns, for each edge, whether it closes a cycle. Such edges are drawn upward, and the layers do not depend on them.
func backEdges(g *Graph) []bool {
	back, state := make([]bool, len(g.Edges)), make([]int, len(g.Nodes)) // 0 is new, 1 is being visited, 2 is done
	out := make([][]int, len(g.Nodes))
	for i, e := range g.Edges {
		out[e.From] = append(out[e.From], i)
	}
	var visit func(n int)
	visit = func(n int) {
		state[n] = 1
		for _, i := range out[n] {
			switch to := g.Edges[i].To; state[to] {
			case 0:
				visit(to)
			case 1:
				back[i] = true
			}
		}
		state[n] = 2
	}
	for n := range g.Nodes {
		if state[n] == 0 {
			visit(n)
		}
	}
	return back
}

// rank sets the layer of each box: one below the lowest box with an edge to it.
func rank(g *Graph, boxes []*box, back []bool) {
	for changed, rounds := true, 0; changed && rounds <= len(boxes); rounds++ {
		changed = false
		for i, e := range g.Edges {
			if least := boxes[e.From].layer + 1; !back[i] && boxes[e.To].layer < least {
				boxes[e.To].layer, changed = least, true
			}
		}
	}
}

// addRoute routes an edge through each layer between its ends, so that it does not cross a box.
func (p *picture) addRoute(nodes []*box, e Edge, back bool) {
	from, to := nodes[e.From], nodes[e.To]
	if back {
		from, to = to, from
	}
	w := route{edge: e, via: []*box{from}, back: back}
	for layer := from.layer + 1; layer < to.layer; layer++ {
		b := &box{layer: layer, w: channelWidth, h: nodeHeight}
		p.boxes = append(p.boxes, b)
		w.via = append(w.via, b)
	}
	w.via = append(w.via, to)
	p.routes = append(p.routes, w)
}

// layers returns the boxes by layer, in their original order.
func (p *picture) layers() [][]*box {
	var layers [][]*box
	for _, b := range p.boxes {
		for len(layers) <= b.layer {
			layers = append(layers, nil)
		}
		layers[b.layer] = append(layers[b.layer], b)
	}
	return layers
}

// reduceCrossings sorts each layer by the positions of the boxes above it, then each layer by those below it.
func (p *picture) reduceCrossings(layers [][]*box) {
	above, below := map[*box][]*box{}, map[*box][]*box{}
	for _, w := range p.routes {
		for i := 1; i < len(w.via); i++ {
			above[w.via[i]] = append(above[w.via[i]], w.via[i-1])
			below[w.via[i-1]] = append(below[w.via[i-1]], w.via[i])
		}
	}
	for _, layer := range layers {
		sortByNeighbors(layer, above, layers)
	}
	for i := len(layers) - 1; i >= 0; i-- {
		sortByNeighbors(layers[i], below, layers)
	}
}

// sortByNeighbors sorts the boxes of a layer by the mean position of their neighbors. A box without neighbors keeps its position.
func sortByNeighbors(layer []*box, neighbors map[*box][]*box, layers [][]*box) {
	for i, b := range layer {
		b.weight = float64(i) / float64(len(layer))
		if near := neighbors[b]; len(near) > 0 {
			sum := 0.0
			for _, n := range near {
				sum += (indexOf(layers[n.layer], n) + 0.5) / float64(len(layers[n.layer]))
			}
			b.weight = sum / float64(len(near))
		}
	}
	slices.SortStableFunc(layer, func(a, b *box) int { return cmp.Compare(a.weight, b.weight) })
}

func indexOf(boxes []*box, b *box) float64 {
	for i, other := range boxes {
		if other == b {
			return float64(i)
		}
	}
	return 0
}

// place sets the coordinates of the boxes. Layers are below each other, and centered.
func (p *picture) place(layers [][]*box) {
	widths := make([]float64, len(layers))
	for i, layer := range layers {
		for j, b := range layer {
			if j > 0 {
				widths[i] += gapX
			}
			widths[i] += b.w
		}
		p.w = max(p.w, widths[i])
	}
	for i, layer := range layers {
		x, tallest := (p.w-widths[i])/2, 0.0
		for _, b := range layer {
			b.x, b.y = x, p.h
			x += b.w + gapX
			tallest = max(tallest, b.h)
		}
		p.h += tallest
		if i+1 < len(layers) {
			p.h += gapY
		}
	}
}

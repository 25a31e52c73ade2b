package graph

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// Sizes of the drawing, in pixels.
const (
	charWidth  = 7.3
	nodeHeight = 46.0
	minWidth   = 90.0
	gapX       = 26.0
	gapY       = 38.0
	padding    = 14.0
	waySize    = 8.0 // the width of a place where an edge passes a layer
	sweeps     = 4
)

// box is a laid-out node, or a place where an edge passes through a layer (node is nil). x and y are its upper left
// corner within its picture.
type box struct {
	node       *Node
	x, y, w, h float64
	inside     []*picture
	layer      int
	weight     float64
}

// picture is a laid-out graph. A way is the boxes that an edge goes through.
type picture struct {
	boxes []*box
	ways  []way
	w, h  float64
	x, y  float64 // within the box around it
}

type way struct {
	edge Edge
	via  []*box
	back bool // the edge leads upwards
}

// lay gives every node of a graph its place: layers by longest way, boxes in each sorted by where their neighbours are.
//
// room is what a box needs beside its text.
func lay(g *Graph, room float64) *picture {
	p := &picture{}
	for _, n := range g.Nodes {
		p.boxes = append(p.boxes, sized(n, room))
	}
	nodes := p.boxes
	back := backEdges(g)
	rank(g, nodes, back)
	for i, e := range g.Edges {
		p.addWay(nodes, e, back[i])
	}
	layers := p.layers()
	for range sweeps {
		p.untangle(layers)
	}
	p.place(layers)
	return p
}

// sized is a node's box: as large as its text, or as what it contains.
func sized(n *Node, room float64) *box {
	b := &box{node: n, h: nodeHeight}
	width := max(utf8.RuneCountInString(n.Name), utf8.RuneCountInString(second(n)))
	b.w = max(minWidth, float64(width)*charWidth+2*padding+room)
	if len(n.Inside) == 0 {
		return b
	}
	top, x, tallest := nodeHeight, padding, 0.0
	for _, g := range n.Inside {
		p := lay(g, room)
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

// second is a node's second line.
func second(n *Node) string {
	if n.Detail == "" {
		return n.Kind
	}
	return n.Kind + ": " + shorten(n.Detail)
}

const longest = 60

// shorten cuts what would make a box wider than a page.
func shorten(s string) string {
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-3]) + "..."
	}
	return s
}

// backEdges are the edges that close a cycle: they are drawn upwards and do not count for layers.
func backEdges(g *Graph) []bool {
	back, state := make([]bool, len(g.Edges)), make([]int, len(g.Nodes)) // 1 is being visited, 2 is done
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

// rank gives each box the layer after the last of those that lead to it.
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

// addWay routes an edge through each layer between its ends, so that it crosses no box.
func (p *picture) addWay(nodes []*box, e Edge, back bool) {
	from, to := nodes[e.From], nodes[e.To]
	if back {
		from, to = to, from
	}
	w := way{edge: e, via: []*box{from}, back: back}
	for layer := from.layer + 1; layer < to.layer; layer++ {
		b := &box{layer: layer, w: waySize, h: nodeHeight}
		p.boxes = append(p.boxes, b)
		w.via = append(w.via, b)
	}
	w.via = append(w.via, to)
	p.ways = append(p.ways, w)
}

// layers are the boxes by layer, in the order that they came in.
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

// untangle sorts each layer by the middle of the boxes above, then by the middle of those below.
func (p *picture) untangle(layers [][]*box) {
	above, below := map[*box][]*box{}, map[*box][]*box{}
	for _, w := range p.ways {
		for i := 1; i < len(w.via); i++ {
			above[w.via[i]] = append(above[w.via[i]], w.via[i-1])
			below[w.via[i-1]] = append(below[w.via[i-1]], w.via[i])
		}
	}
	for _, layer := range layers {
		sortByNeighbours(layer, above, layers)
	}
	for i := len(layers) - 1; i >= 0; i-- {
		sortByNeighbours(layers[i], below, layers)
	}
}

// sortByNeighbours sorts a layer by the mean place of each box's neighbours; one without any keeps its own.
func sortByNeighbours(layer []*box, neighbours map[*box][]*box, layers [][]*box) {
	for i, b := range layer {
		b.weight = float64(i) / float64(len(layer))
		if near := neighbours[b]; len(near) > 0 {
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

// place gives each box its corner: layers below each other, each in the middle.
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

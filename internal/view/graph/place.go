package graph

import "strings"

// Placed is the layout of a graph as data, which the console draws and colors. Coordinates are pixels from the upper left corner of the
// whole picture. A box is before the boxes inside it.
type Placed struct {
	Width  float64      `json:"width"`
	Height float64      `json:"height"`
	Boxes  []PlacedBox  `json:"boxes"`
	Edges  []PlacedEdge `json:"ways"`
}

// PlacedBox is a state. Group is true if it contains other states.
type PlacedBox struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind"`
	Detail string  `json:"detail,omitempty"`
	Group  bool    `json:"group,omitempty"`
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// PlacedEdge is an edge. Path is the d attribute of an SVG path. If Back is set, the arrow is at the start of the path.
type PlacedEdge struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Path   string `json:"path"`
	Dashed bool   `json:"dashed,omitempty"`
	Back   bool   `json:"back,omitempty"`
}

// markWidth is the extra width for the icon of the state's status, and for the bold font of names.
const markWidth = 28.0

// PlaceDefinition computes the layout of a definition's states.
func PlaceDefinition(definition []byte) (*Placed, error) {
	g, err := OfDefinition("", definition)
	if err != nil {
		return nil, err
	}
	p := layOut(g, markWidth)
	out := &Placed{Width: p.w + 2*padding, Height: p.h + 2*padding, Boxes: []PlacedBox{}, Edges: []PlacedEdge{}}
	out.picture(p, padding, padding)
	return out, nil
}

// picture adds a picture, and those inside its boxes. x and y are its upper left corner.
func (out *Placed) picture(p *picture, x, y float64) {
	for _, w := range p.routes {
		from, to := w.via[0].node.Name, w.via[len(w.via)-1].node.Name
		if w.back {
			from, to = to, from
		}
		out.Edges = append(out.Edges, PlacedEdge{From: from, To: to, Path: curve(w, x, y), Dashed: w.edge.Dashed, Back: w.back})
	}
	for _, b := range p.boxes {
		if b.node == nil {
			continue
		}
		out.Boxes = append(out.Boxes, PlacedBox{
			Name: b.node.Name, Kind: b.node.Kind, Detail: b.node.Detail, Group: len(b.inside) > 0,
			X: x + b.x, Y: y + b.y, Width: b.w, Height: b.h,
		})
		for _, inside := range b.inside {
			out.picture(inside, x+b.x+inside.x, y+b.y+inside.y)
		}
	}
}

// curve returns the SVG path of a route: curves between the layers, and vertical lines past the boxes of each layer.
func curve(w route, x, y float64) string {
	var d strings.Builder
	first := w.via[0]
	px, py := x+first.x+first.w/2, y+first.y+first.h
	d.WriteString("M" + number(px) + " " + number(py))
	for _, b := range w.via[1:] {
		nx, ny := x+b.x+b.w/2, y+b.y
		half := number((py + ny) / 2)
		d.WriteString("C" + number(px) + " " + half + " " + number(nx) + " " + half + " " + number(nx) + " " + number(ny))
		px, py = nx, ny
		if b.node == nil {
			py = ny + b.h
			d.WriteString("V" + number(py))
		}
	}
	return d.String()
}

package graph

import "strings"

// Placed is a laid-out graph as data, for who draws it and goes on to colour it: the console. Lengths are pixels from
// the upper left corner of the whole picture. Boxes come before what is inside them.
type Placed struct {
	Width  float64     `json:"width"`
	Height float64     `json:"height"`
	Boxes  []PlacedBox `json:"boxes"`
	Ways   []PlacedWay `json:"ways"`
}

// PlacedBox is a state. Group says that others are inside it.
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

// PlacedWay is an edge: a path in SVG's words. The arrow is at its start when it leads back.
type PlacedWay struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Path   string `json:"path"`
	Dashed bool   `json:"dashed,omitempty"`
	Back   bool   `json:"back,omitempty"`
}

// markRoom is for a mark of the state's status, and for the bold type of names.
const markRoom = 28.0

// PlaceDefinition lays a definition's states out.
func PlaceDefinition(definition []byte) (*Placed, error) {
	g, err := OfDefinition("", definition)
	if err != nil {
		return nil, err
	}
	p := lay(g, markRoom)
	out := &Placed{Width: p.w + 2*padding, Height: p.h + 2*padding, Boxes: []PlacedBox{}, Ways: []PlacedWay{}}
	out.picture(p, padding, padding)
	return out, nil
}

func (out *Placed) picture(p *picture, x, y float64) {
	for _, w := range p.ways {
		from, to := w.via[0].node.Name, w.via[len(w.via)-1].node.Name
		if w.back {
			from, to = to, from
		}
		out.Ways = append(out.Ways, PlacedWay{From: from, To: to, Path: curve(w, x, y), Dashed: w.edge.Dashed, Back: w.back})
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

// curve is a way's path: curves from layer to layer, straight past the boxes of each.
func curve(w way, x, y float64) string {
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

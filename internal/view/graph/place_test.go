package graph_test

import (
	"testing"

	"github.com/rayorch/rayorch/internal/view/graph"
)

// All boxes are within the picture, and none overlaps another.
func TestPlaceDefinition(t *testing.T) {
	p, err := graph.PlaceDefinition([]byte(`{"StartAt":"a","States":{
		"a":{"Type":"Choice","Choices":[{"Next":"b"},{"Next":"c"}],"Default":"d"},
		"b":{"Type":"Map","ItemProcessor":{"StartAt":"in","States":{"in":{"Type":"Task","End":true}}},"Next":"d","Catch":[{"Next":"c"}]},
		"c":{"Type":"Pass","Next":"a"},
		"d":{"Type":"Succeed"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]graph.PlacedBox{}
	for _, b := range p.Boxes {
		at[b.Name] = b
		if b.X < 0 || b.Y < 0 || b.X+b.Width > p.Width || b.Y+b.Height > p.Height {
			t.Errorf("%+v is outside of the picture", b)
		}
	}
	inside := func(a, b graph.PlacedBox) bool {
		return a.X >= b.X && a.Y >= b.Y && a.X+a.Width <= b.X+b.Width && a.Y+a.Height <= b.Y+b.Height
	}
	if len(at) != 5 || !at["b"].Group || !inside(at["in"], at["b"]) {
		t.Errorf("boxes: %+v", p.Boxes)
	}
	for _, a := range p.Boxes {
		for _, b := range p.Boxes {
			apart := a.X+a.Width <= b.X || b.X+b.Width <= a.X || a.Y+a.Height <= b.Y || b.Y+b.Height <= a.Y
			if a.Name != b.Name && !apart && !inside(a, b) && !inside(b, a) {
				t.Errorf("%s overlaps %s", a.Name, b.Name)
			}
		}
	}
	backs := 0
	for _, w := range p.Edges {
		if w.Back && (w.From != "c" || w.To != "a") {
			t.Errorf("%+v must not lead back", w)
		}
		if w.Back {
			backs++
		}
	}
	if len(p.Edges) != 6 || backs != 1 {
		t.Errorf("edges: %+v", p.Edges)
	}
}

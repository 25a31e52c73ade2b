package compile

import (
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// node is a part of a list of steps: a single step, or parts that run one after another or at the same time.
type node struct {
	step  *pipeline.Step
	parts []*node
	same  bool   // the parts run at the same time
	name  string // name of the Parallel state, if the parts run at the same time
	order *pipeline.Order
}

// arrange turns an order of steps into nested sequences and parallels. An order that is not series-parallel runs level by level, so
// that some steps wait longer than necessary; arrange adds a note about it.
func (c *compiler) arrange(steps []pipeline.Step, sequential bool) *node {
	order, _ := pipeline.NewOrder(steps, sequential)
	all := make([]*pipeline.Step, len(steps))
	for i := range steps {
		all[i] = &steps[i]
	}
	return c.split(all, order)
}

// split splits an order into parts. Groups of steps without any order between them run at the same time. Groups of which each ends
// before or starts after each other run one after another. An order without either contains an N (a before c and d, b before d), which
// cannot be nested: it is split into levels.
func (c *compiler) split(steps []*pipeline.Step, order *pipeline.Order) *node {
	if len(steps) == 1 {
		return &node{step: steps[0], order: order}
	}
	ordered := func(a, b *pipeline.Step) bool {
		return order.Precedes(a.Name, b.Name) || order.Precedes(b.Name, a.Name)
	}
	if groups := components(steps, ordered); len(groups) > 1 {
		return c.join(groups, order, true)
	}
	unordered := func(a, b *pipeline.Step) bool { return !ordered(a, b) }
	if groups := components(steps, unordered); len(groups) > 1 {
		return c.join(inOrder(groups, order), order, false)
	}
	groups := levels(steps, order)
	c.note("steps %s: sequences and parallels cannot express their order, so they run level by level: %s", names(steps), levelText(groups))
	return c.join(groups, order, false)
}

// join returns a node with a part for each group of steps.
func (c *compiler) join(groups [][]*pipeline.Step, order *pipeline.Order, same bool) *node {
	n := &node{same: same, order: order}
	for _, g := range groups {
		n.parts = append(n.parts, c.split(g, order))
	}
	return n
}

// components returns the connected components of a graph. The components and the steps in them keep the order of steps.
func components(steps []*pipeline.Step, edge func(a, b *pipeline.Step) bool) [][]*pipeline.Step {
	group := make([]int, len(steps)) // component of each step, from 1; 0 if it has none yet
	count := 0
	for i := range steps {
		if group[i] > 0 {
			continue
		}
		count++
		group[i] = count
		for todo := []int{i}; len(todo) > 0; {
			at := todo[0]
			todo = todo[1:]
			for j := range steps {
				if group[j] == 0 && j != at && edge(steps[at], steps[j]) {
					group[j] = count
					todo = append(todo, j)
				}
			}
		}
	}
	out := make([][]*pipeline.Step, count)
	for i, s := range steps {
		out[group[i]-1] = append(out[group[i]-1], s)
	}
	return out
}

// inOrder sorts groups of steps by the order between them. Each group ends before or starts after each other group.
func inOrder(groups [][]*pipeline.Step, order *pipeline.Order) [][]*pipeline.Step {
	out := make([][]*pipeline.Step, len(groups))
	for _, g := range groups {
		at := 0
		for _, h := range groups {
			if order.Precedes(h[0].Name, g[0].Name) {
				at++
			}
		}
		out[at] = g
	}
	return out
}

// levels groups steps by the length of the longest chain of steps that must end before them.
func levels(steps []*pipeline.Step, order *pipeline.Order) [][]*pipeline.Step {
	level := map[string]int{}
	var depth func(s *pipeline.Step) int
	depth = func(s *pipeline.Step) int {
		if d, ok := level[s.Name]; ok {
			return d
		}
		d := 0
		for _, t := range steps {
			if order.Precedes(t.Name, s.Name) {
				d = max(d, depth(t)+1)
			}
		}
		level[s.Name] = d
		return d
	}
	var out [][]*pipeline.Step
	for _, s := range steps {
		for len(out) <= depth(s) {
			out = append(out, nil)
		}
		out[depth(s)] = append(out[depth(s)], s)
	}
	return out
}

// names returns the names of steps, separated by commas.
func names(steps []*pipeline.Step) string {
	words := make([]string, len(steps))
	for i, s := range steps {
		words[i] = s.Name
	}
	return strings.Join(words, ", ")
}

// levelText describes the levels for a message: "(a, b), then (c)".
func levelText(groups [][]*pipeline.Step) string {
	words := make([]string, len(groups))
	for i, g := range groups {
		words[i] = "(" + names(g) + ")"
	}
	return strings.Join(words, ", then ")
}

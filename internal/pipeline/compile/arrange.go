package compile

import (
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// node is a part of a list of steps: one step, parts one after another, or parts at the same time.
type node struct {
	step  *pipeline.Step
	parts []*node
	same  bool   // the parts run at the same time
	name  string // of the Parallel state, where parts run at the same time
	order *pipeline.Order
}

// arrange turns an order of steps into sequences and parallels. An order that is not series-parallel runs level by level, so that some
// steps wait longer than they have to; a note says so.
func (c *compiler) arrange(steps []pipeline.Step, sequential bool) *node {
	order, _ := pipeline.NewOrder(steps, sequential)
	all := make([]*pipeline.Step, len(steps))
	for i := range steps {
		all[i] = &steps[i]
	}
	return c.split(all, order)
}

// split finds the parts of an order. Groups of steps without any order between them run at the same time; groups of which each is
// wholly before or after each other run one after another. An order that has neither contains an N (a before c and d, b before d), which
// cannot be nested: it is split by levels.
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
	c.note("steps %s: their order is no nesting of sequences and parallels, so they run level by level: %s",
		names(steps), levelText(groups))
	return c.join(groups, order, false)
}

// join makes a node of groups of steps.
func (c *compiler) join(groups [][]*pipeline.Step, order *pipeline.Order, same bool) *node {
	n := &node{same: same, order: order}
	for _, g := range groups {
		n.parts = append(n.parts, c.split(g, order))
	}
	return n
}

// components are the connected parts of a graph, each and all in the steps' order.
func components(steps []*pipeline.Step, edge func(a, b *pipeline.Step) bool) [][]*pipeline.Step {
	group := make([]int, len(steps)) // 0 is none yet
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

// inOrder sorts groups of which each is wholly before or wholly after each other.
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

// levels groups steps by how many of the others must end before, one after another.
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

// names are the names of steps in one line.
func names(steps []*pipeline.Step) string {
	words := make([]string, len(steps))
	for i, s := range steps {
		words[i] = s.Name
	}
	return strings.Join(words, ", ")
}

// levelText says in words which steps run in which level.
func levelText(groups [][]*pipeline.Step) string {
	words := make([]string, len(groups))
	for i, g := range groups {
		words[i] = "(" + names(g) + ")"
	}
	return strings.Join(words, ", then ")
}

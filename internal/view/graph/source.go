package graph

import (
	"fmt"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// OfPipeline returns the graph of a pipeline's steps. It omits edges that follow from others.
func OfPipeline(p *pipeline.Pipeline) *Graph {
	g := ofSteps(p.Steps, true)
	g.Name = p.Name
	return g
}

// ofSteps returns the graph of some steps. With sequential, a step without after follows the one before it.
func ofSteps(steps []pipeline.Step, sequential bool) *Graph {
	g := &Graph{}
	order, _ := pipeline.NewOrder(steps, sequential)
	for i := range steps {
		g.Nodes = append(g.Nodes, ofStep(&steps[i]))
		before := order.Before(steps[i].Name)
		for j := range steps {
			if order.Precedes(steps[j].Name, steps[i].Name) && !implied(order, steps[j].Name, before) {
				g.Edges = append(g.Edges, Edge{From: j, To: i})
			}
		}
	}
	return g
}

// implied reports whether a step precedes one of the given steps.
func implied(order *pipeline.Order, name string, among []string) bool {
	for _, other := range among {
		if order.Precedes(name, other) {
			return true
		}
	}
	return false
}

// ofStep returns the node of a step. Its detail lists concurrency, condition and retries.
func ofStep(s *pipeline.Step) *Node {
	n := &Node{Name: s.Name, Kind: s.Kind()}
	var details []string
	switch {
	case s.ForEach != nil:
		n.Inside = []*Graph{ofSteps(s.ForEach.Steps, true)}
		details = append(details, atOnce(s.ForEach.MaxConcurrency))
	case s.Parallel != nil:
		n.Inside = []*Graph{ofSteps(s.Parallel.Steps, false)}
		details = append(details, atOnce(s.Parallel.MaxConcurrency))
	}
	if s.When != nil {
		details = append(details, "when "+s.When.Text)
	}
	if s.Retry != nil && s.Retry.Attempts > 1 {
		details = append(details, fmt.Sprintf("up to %d attempts", s.Retry.Attempts))
	}
	n.Detail = joinWords(details)
	return n
}

// atOnce describes a concurrency limit, "" if there is none.
func atOnce(limit int) string {
	if limit == 0 {
		return ""
	}
	return fmt.Sprintf("%d at once", limit)
}

func joinWords(words []string) string {
	var kept []string
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, ", ")
}

// OfDefinition returns the graph of a definition's states. It ignores what it does not know.
func OfDefinition(name string, definition []byte) (*Graph, error) {
	o, err := value.ParseObject(definition)
	if err != nil {
		return nil, fmt.Errorf("read the definition: %w", err)
	}
	g := ofMachine(o)
	g.Name = name
	return g, nil
}

func object(v any) *value.Object { o, _ := v.(*value.Object); return o }

func member(o *value.Object, key string) any {
	v, _ := o.Get(key)
	return v
}

func text(o *value.Object, key string) string { s, _ := member(o, key).(string); return s }

// ofMachine returns the graph of a state machine, a branch or an item processor: the start state, then the others in their order in
// the definition.
func ofMachine(o *value.Object) *Graph {
	g, index := &Graph{}, map[string]int{}
	states := object(member(o, "States"))
	names := append([]string{}, states.Keys()...)
	start := text(o, "StartAt")
	for i, name := range names {
		if name == start {
			copy(names[1:i+1], names[:i])
			names[0] = name
		}
	}
	for i, name := range names {
		index[name] = i
		g.Nodes = append(g.Nodes, ofState(name, object(member(states, name))))
	}
	for i, name := range names {
		g.edges(i, object(member(states, name)), index)
	}
	return g
}

// ofState returns the node of a state. Its detail is the resource without the prefix that all resources share.
func ofState(name string, s *value.Object) *Node {
	n := &Node{Name: name, Kind: text(s, "Type")}
	if resource := text(s, "Resource"); resource != "" {
		n.Detail = resource[strings.LastIndex(resource, ":::")+1:]
		n.Detail = strings.TrimPrefix(n.Detail, "::")
	}
	branches, _ := member(s, "Branches").([]any)
	for _, b := range branches {
		n.Inside = append(n.Inside, ofMachine(object(b)))
	}
	for _, key := range []string{"ItemProcessor", "Iterator"} {
		if p := object(member(s, key)); p != nil {
			n.Inside = append(n.Inside, ofMachine(p))
		}
	}
	return n
}

// edges adds the edges from a state, at most one to each target.
func (g *Graph) edges(from int, s *value.Object, index map[string]int) {
	seen := map[int]bool{}
	add := func(next, label string, dashed bool) {
		if to, ok := index[next]; ok && !seen[to] {
			seen[to] = true
			g.Edges = append(g.Edges, Edge{From: from, To: to, Label: label, Dashed: dashed})
		}
	}
	choices, _ := member(s, "Choices").([]any)
	for _, rule := range choices {
		add(text(object(rule), "Next"), "", false)
	}
	add(text(s, "Next"), "", false)
	add(text(s, "Default"), "else", false)
	catchers, _ := member(s, "Catch").([]any)
	for _, c := range catchers {
		add(text(object(c), "Next"), "error", true)
	}
}

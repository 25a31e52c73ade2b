package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// Each state that represents steps assigns the outputs of these steps to variables of its scope, and its output is an object of them by
// name. Therefore, a branch with one part needs no further state, and a branch with several parts ends with a Pass that collects the
// outputs of all.

// entry returns the name of the first state of a node.
func (c *compiler) entry(n *node) string {
	switch {
	case n.step != nil && n.step.When != nil:
		return "When " + n.step.Name
	case n.step != nil:
		return n.step.Name
	case !n.same:
		return c.entry(n.parts[0])
	}
	if n.name == "" {
		c.groups++
		n.name = fmt.Sprintf("Parallel %d", c.groups)
	}
	return n.name
}

// follow sets the next state of a state. If next is "", the state ends its scope.
func follow(state *value.Object, next string) *value.Object {
	if next == "" {
		state.Set("End", true)
	} else {
		state.Set("Next", next)
	}
	return state
}

// sequence adds the states of a node. The last one leads to next, or ends the scope if next is "".
func (c *compiler) sequence(states *value.Object, n *node, in *scope, next string) {
	switch {
	case n.step != nil:
		c.step(states, n, in, next)
	case n.same:
		c.group(states, n, in, next)
	default:
		for i, part := range n.parts {
			after := next
			if i+1 < len(n.parts) {
				after = c.entry(n.parts[i+1])
			}
			c.sequence(states, part, in, after)
		}
	}
}

// branch returns StartAt and States of a branch of a Parallel, or of the processor of a Map, for a node. in is the scope of the branch.
func (c *compiler) branch(n *node, in *scope) *value.Object {
	states := &value.Object{}
	start := c.entry(n)
	if n.step != nil || n.same {
		c.sequence(states, n, in, "")
		return value.Obj("StartAt", start, "States", states)
	}
	last := "Collect after " + start
	c.sequence(states, n, in, last)
	put(states, last, annotation.State{Role: annotation.Collect}, value.Obj("Type", "Pass", "Output", outputsOf(in.names, in).Value(), "End", true))
	return value.Obj("StartAt", start, "States", states)
}

// branches returns the parts of a node as branches. seen are the steps that have ended before the branches start, so that the branches
// can read their variables.
func (c *compiler) branches(n *node, in *scope, seen []string) []any {
	parts := []*node{n}
	if n.same {
		parts = n.parts
	}
	out := make([]any, len(parts))
	for i, part := range parts {
		out[i] = c.branch(part, in.inner(seen))
	}
	return out
}

// group adds a Parallel state for steps that run at the same time because of their order, not because of a parallel step.
func (c *compiler) group(states *value.Object, n *node, in *scope, next string) {
	name := c.entry(n)
	state := value.Obj("Type", "Parallel", "Branches", c.branches(n, in, in.seen))
	assign, all := &value.Object{}, query.Call("merge", query.States("result"))
	for _, s := range leaves(n) {
		assign.Set(in.variable("step", s.Name), all.Get(s.Name).Value())
		in.ended(s.Name)
	}
	state.Set("Assign", assign)
	state.Set("Output", all.Value())
	put(states, name, annotation.State{Role: annotation.Group}, follow(state, next))
}

// leaves returns the steps of a node, in order.
func leaves(n *node) []*pipeline.Step {
	if n.step != nil {
		return []*pipeline.Step{n.step}
	}
	var out []*pipeline.Step
	for _, part := range n.parts {
		out = append(out, leaves(part)...)
	}
	return out
}

// step adds a step's states: those of its condition, of the step, and of its failure. A skipped step has the output null.
func (c *compiler) step(states *value.Object, n *node, in *scope, next string) {
	s := n.step
	if s.When != nil {
		rule := value.Obj("Condition", c.condition(s.When.Expr, in).Value(), "Next", s.Name)
		if missing := c.missing(s.When.Expr, in); !missing.IsZero() {
			rule.Set("Output", value.Obj("condition", query.Plain(s.When.Text), "missing", missing.Value()))
		}
		put(states, "When "+s.Name, annotation.State{Step: s.Name, Role: annotation.Condition}, value.Obj("Type", "Choice", "Choices", []any{rule},
			"Output", c.conditionReport(s.When, in), "Default", "Skip "+s.Name))
		skip := value.Obj("Type", "Pass", "Assign", value.Obj(in.variable("step", s.Name), nil),
			"Output", value.Obj(s.Name, nil))
		put(states, "Skip "+s.Name, annotation.State{Step: s.Name, Role: annotation.Skip}, follow(skip, next))
	}
	switch {
	case s.Parallel != nil:
		c.parallel(states, n, in, next)
	case s.ForEach != nil:
		c.forEach(states, n, in, next)
	default:
		c.work(states, n, in, next)
	}
	in.ended(s.Name)
}

// setResult sets a step's variable and output from its state's result.
func setResult(state *value.Object, s *pipeline.Step, in *scope, output query.Expr) {
	state.Set("Assign", value.Obj(in.variable("step", s.Name), output.Value()))
	state.Set("Output", value.Obj(s.Name, output.Value()))
}

// put adds a state with its annotation.
func put(states *value.Object, name string, a annotation.State, state *value.Object) {
	states.Set(name, annotated(state, a))
}

// annotated sets the Comment of a state. It becomes the first field, where readers see it. The caller may add fields later.
func annotated(state *value.Object, a annotation.State) *value.Object {
	rest := state.Without("Comment")
	*state = *value.Obj("Comment", a.Comment())
	merge(state, rest)
	return state
}

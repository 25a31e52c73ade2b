package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// failedKey is the key of the error in the output of a branch or an iteration whose failure was tolerated. Because of the colon, no
// step can have this name.
const failedKey = "rayorch:failed"

// parallel adds the state of a parallel step: a Parallel, or a Map over the names of its steps if maxConcurrency limits them.
func (c *compiler) parallel(states *value.Object, n *node, in *scope, next string) {
	s, p, seen := n.step, n.step.Parallel, in.before(n.order, n.step.Name)
	var state *value.Object
	switch {
	case p.MaxConcurrency > 0:
		state = c.limited(s, in, seen)
	case p.ToleratedFailures > 0:
		state = value.Obj("Type", "Parallel", "Branches", c.tolerantBranches(s, in, seen))
	default:
		state = value.Obj("Type", "Parallel", "Branches", c.branches(c.arrange(p.Steps, false), in, seen))
	}
	outputs := query.Call("merge", query.States("result"))
	if p.ToleratedFailures > 0 {
		outputs = query.Call("sift", outputs, query.Function(query.Op(query.Var("k"), "!=", query.Str(failedKey)), "v", "k"))
	}
	setResult(state, s, in, outputs)
	c.tolerate(states, state, s, p.ToleratedFailures, in, next)
}

// tolerantBranches returns branches that catch their failures, because a Parallel fails as soon as one of its branches fails.
func (c *compiler) tolerantBranches(s *pipeline.Step, in *scope, seen []string) []any {
	order, _ := pipeline.NewOrder(s.Parallel.Steps, false)
	out := make([]any, len(s.Parallel.Steps))
	for i := range s.Parallel.Steps {
		child := &s.Parallel.Steps[i]
		try := c.try(&node{step: child, order: order}, child.Name, child.Name, value.Obj(child.Name, nil), in.inner(seen))
		out[i] = value.Obj("StartAt", "Try "+child.Name, "States", try)
	}
	return out
}

// limited returns the state of a parallel step with maxConcurrency. It is a Map, because Step Functions can limit the concurrency of a
// Map, but not of a Parallel. Each iteration gets the name of a step and chooses the states of that step.
func (c *compiler) limited(s *pipeline.Step, in *scope, seen []string) *value.Object {
	items, rules, states := []any{}, []any{}, value.Obj("Choose in "+s.Name, nil)
	order, _ := pipeline.NewOrder(s.Parallel.Steps, false)
	for i := range s.Parallel.Steps {
		child := &s.Parallel.Steps[i]
		n := &node{step: child, order: order}
		start := c.entry(n)
		if s.Parallel.ToleratedFailures > 0 {
			start = "Try " + child.Name
			merge(states, c.try(n, child.Name, child.Name, value.Obj(child.Name, nil), in.inner(seen)))
		} else {
			c.sequence(states, n, in.inner(seen), "")
		}
		items = append(items, child.Name)
		rules = append(rules, value.Obj("Condition", query.Eq(query.States("input"), query.Str(child.Name)).Value(), "Next", start))
	}
	last := rules[len(rules)-1].(*value.Object) // the Default is never used, but without one, the Choice could fail
	next, _ := last.Get("Next")
	choose := value.Obj("Type", "Choice", "Choices", rules, "Default", next)
	put(states, "Choose in "+s.Name, annotation.State{Step: s.Name, Role: annotation.Choose}, choose)
	return value.Obj("Type", "Map", "Items", items, "MaxConcurrency", value.Int(int64(s.Parallel.MaxConcurrency)),
		"ItemProcessor", processor("Choose in "+s.Name, states))
}

// processor returns the ItemProcessor of an inline Map.
func processor(start string, states *value.Object) *value.Object {
	return value.Obj("ProcessorConfig", value.Obj("Mode", "INLINE"), "StartAt", start, "States", states)
}

// merge adds all fields of from to into.
func merge(into, from *value.Object) {
	for i := range from.Len() {
		into.Set(from.At(i))
	}
}

// try returns the states of a node whose failure is tolerated: a Parallel with one branch that catches all errors. After a failure, its
// output is outputs with the error added. The names of the states end in title. For the iterations of a loop, it differs from the step's
// name: the step can itself be in a parallel step that tolerates failures.
func (c *compiler) try(n *node, name, title string, outputs *value.Object, in *scope) *value.Object {
	failed := outputs.With(failedKey, query.States("errorOutput").Value())
	branch := c.branch(n, in.inner(in.seen))
	states := &value.Object{}
	put(states, "Try "+title, annotation.State{Step: name, Role: annotation.Try}, value.Obj("Type", "Parallel", "Branches", []any{branch},
		"Catch", []any{value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Output", failed, "Next", "Failed "+title)},
		"Output", query.States("result").At(0).Value(), "End", true))
	put(states, "Failed "+title, annotation.State{Step: name, Role: annotation.Tolerated}, value.Obj("Type", "Pass", "End", true))
	return states
}

// tolerate adds the state of a step and, if failures are tolerated, the states that count them and fail if there are too many.
func (c *compiler) tolerate(states, state *value.Object, s *pipeline.Step, limit int, in *scope, next string) {
	if limit == 0 {
		put(states, s.Name, annotation.State{Step: s.Name, Role: annotation.Group}, follow(state, next))
		return
	}
	check, refuse, done := "Count failures of "+s.Name, "Too many failures of "+s.Name, next
	// The Fail state quotes the first error. The errors are in a variable, because the output of the step does not contain them.
	name := in.variable("failures", s.Name)
	failures, count := query.Var(name), query.Call("count", query.Var(name))
	failed := query.Call("filter", query.States("result"), query.Function(iterationFailed, "r"))
	assign, _ := state.Get("Assign")
	assign.(*value.Object).Set(name, query.Array(failed.Get(failedKey)).Value())
	put(states, s.Name, annotation.State{Step: s.Name, Role: annotation.Group}, follow(state, check))
	if next == "" { // a Choice state cannot end a scope
		done = "Done " + s.Name
		put(states, done, annotation.State{Step: s.Name, Role: annotation.Tolerate}, value.Obj("Type", "Pass", "End", true))
	}
	put(states, check, annotation.State{Step: s.Name, Role: annotation.Tolerate}, value.Obj("Type", "Choice", "Choices", []any{value.Obj(
		"Condition", query.Op(count, ">", query.Int(int64(limit))).Value(), "Next", refuse)}, "Default", done))
	first := failures.At(0)
	cause := query.Concat(query.Call("string", count), query.Str(fmt.Sprintf(" of %s failed (%d tolerated); first error: ", s.Name, limit)),
		first.Get("Error"), query.Str(": "), first.Get("Cause"))
	put(states, refuse, annotation.State{Step: s.Name, Role: annotation.Refuse},
		value.Obj("Type", "Fail", "Error", stepfn.StatesExceedToleratedFailureThreshold, "Cause", cause.Value()))
}

// iterationFailed is the condition that an item r of a result is a tolerated failure.
var iterationFailed = query.Call("exists", query.Var("r").Get(failedKey))

// loopItems returns the items of a loop. If there are too many for the history, the step fails before it starts any.
func (c *compiler) loopItems(f *pipeline.ForEach, in *scope) any {
	items := c.dynamic(f.Items.Value, in, strict)
	if _, computed := items.(string); c.items == 0 || !computed {
		return items
	}
	return query.File("fewitems", query.Bind("items", query.Inline(items)), query.Bind("most", query.Int(int64(c.items)))).Value()
}

// forEach adds the Map of a forEach step.
func (c *compiler) forEach(states *value.Object, n *node, in *scope, next string) {
	s, f := n.step, n.step.ForEach
	asking := in.askedBy(s.Name)
	state := value.Obj("Type", "Map", "Items", c.loopItems(f, asking))
	if asking.asks.mayFail {
		c.catchRaised(states, state, s, asking)
	}
	if f.MaxConcurrency > 0 {
		state.Set("MaxConcurrency", value.Int(int64(f.MaxConcurrency)))
	}
	item := query.States("context", "Map", "Item")
	state.Set("ItemSelector", value.Obj("item", item.Get("Value").Value(), "index", item.Get("Index").Value()))
	state.Set("ItemProcessor", processor("Set item of "+s.Name, c.iteration(n, in)))
	outputs := query.States("result")
	if f.ToleratedFailures > 0 { // a failed iteration has the output null
		outputs = query.Array(query.Call("map", outputs, query.Function(query.If(iterationFailed, query.Null, query.Var("r")), "r")))
	}
	setResult(state, s, in, outputs)
	c.tolerate(states, state, s, f.ToleratedFailures, in, next)
}

// iteration returns the states of an iteration. The first one assigns the item, the index and the position in all loops to variables,
// because the context object has only the item and the index of the innermost Map.
func (c *compiler) iteration(n *node, in *scope) *value.Object {
	s, name := n.step, ident(n.step.Name)
	index := query.States("input", "index")
	position := query.Call("string", index)
	if outer := in.iteration(); !outer.IsZero() {
		position = query.Concat(outer, query.Str("."), position)
	}
	take := value.Obj("Type", "Pass", "Assign", value.Obj("item_"+name, query.States("input", "item").Value(),
		"index_"+name, index.Value(), "at_"+name, position.Value()))
	states, inner := &value.Object{}, in.inner(in.before(n.order, s.Name))
	inner.in = &loopContext{name: name, as: s.ForEach.As}
	put(states, "Set item of "+s.Name, annotation.State{Step: s.Name, Role: annotation.Item}, take)
	steps := c.arrange(s.ForEach.Steps, true)
	if s.ForEach.ToleratedFailures > 0 {
		title := "item of " + s.Name
		follow(take, "Try "+title)
		merge(states, c.try(steps, s.Name, title, &value.Object{}, inner))
		return states
	}
	branch := c.branch(steps, inner)
	start, _ := branch.Get("StartAt")
	follow(take, start.(string))
	rest, _ := branch.Get("States")
	merge(states, rest.(*value.Object))
	return states
}

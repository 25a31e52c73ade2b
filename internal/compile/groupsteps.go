package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// failedKey marks, among the outputs of a branch or an iteration, one that failed and was tolerated. No step can have
// such a name.
const failedKey = "rayorch:failed"

// parallel adds a parallel step's state: a Parallel, or with a limit a Map over the names of its steps.
func (c *compiler) parallel(states *value.Object, n *node, in *scope, next string) {
	s, p, seen := n.step, n.step.Parallel, in.before(n.order, n.step.Name)
	var state *value.Object
	if p.MaxConcurrency > 0 {
		state = c.limited(s, in, seen)
	} else {
		node := c.arrange(p.Steps, false)
		if p.ToleratedFailures > 0 {
			state = value.Obj("Type", "Parallel", "Branches", c.tolerantBranches(s, in, seen))
		} else {
			state = value.Obj("Type", "Parallel", "Branches", c.branches(node, in, seen))
		}
	}
	outputs := "$merge($states.result)"
	if p.ToleratedFailures > 0 {
		outputs = "$sift(" + outputs + ", function($v, $k) { $k != " + str(failedKey) + " })"
	}
	result(state, s, in, outputs)
	c.tolerate(states, state, s, p.ToleratedFailures, in, next)
}

// tolerantBranches are branches of which each catches its own failure: a Parallel by itself ends with the first.
func (c *compiler) tolerantBranches(s *pipeline.Step, in *scope, seen []string) []any {
	order, _ := pipeline.NewOrder(s.Parallel.Steps, false)
	out := make([]any, len(s.Parallel.Steps))
	for i := range s.Parallel.Steps {
		child := &s.Parallel.Steps[i]
		try := c.try(&node{step: child, order: order}, child.Name, value.Obj(child.Name, nil), in.inner(seen))
		out[i] = value.Obj("StartAt", "Try "+child.Name, "States", try)
	}
	return out
}

// limited is a parallel with a limit: Step Functions has no limit on a Parallel's branches, but on a Map's iterations.
func (c *compiler) limited(s *pipeline.Step, in *scope, seen []string) *value.Object {
	items, rules, states := []any{}, []any{}, value.Obj("Choose in "+s.Name, nil)
	order, _ := pipeline.NewOrder(s.Parallel.Steps, false)
	for i := range s.Parallel.Steps {
		child := &s.Parallel.Steps[i]
		n := &node{step: child, order: order}
		start := c.entry(n)
		if s.Parallel.ToleratedFailures > 0 {
			start = "Try " + child.Name
			merge(states, c.try(n, child.Name, value.Obj(child.Name, nil), in.inner(seen)))
		} else {
			c.sequence(states, n, in.inner(seen), "")
		}
		items = append(items, child.Name)
		rules = append(rules, value.Obj("Condition", wrap("$states.input = "+str(child.Name)), "Next", start))
	}
	last := rules[len(rules)-1].(*value.Object)
	next, _ := last.Get("Next")
	choose := value.Obj("Type", "Choice", "Choices", rules, "Default", next)
	states.Set("Choose in "+s.Name, choose)
	return value.Obj("Type", "Map", "Items", items, "MaxConcurrency", value.Int(int64(s.Parallel.MaxConcurrency)),
		"ItemProcessor", processor("Choose in "+s.Name, states))
}

// processor is the ItemProcessor of an inline Map.
func processor(start string, states *value.Object) *value.Object {
	return value.Obj("ProcessorConfig", value.Obj("Mode", "INLINE"), "StartAt", start, "States", states)
}

// merge adds all states of one machine to another's.
func merge(into, from *value.Object) {
	for i := range from.Len() {
		into.Set(from.At(i))
	}
}

// try is the states of a node whose failure is tolerated: a Parallel of one branch that catches whatever fails in it.
// outputs is what stands for the outputs that are missing then.
func (c *compiler) try(n *node, name string, outputs *value.Object, in *scope) *value.Object {
	failed := outputs.With(failedKey, "{% $states.errorOutput %}")
	branch := c.branch(n, in.inner(in.seen))
	return value.Obj(
		"Try "+name, value.Obj("Type", "Parallel", "Branches", []any{branch},
			"Catch", []any{value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Output", failed, "Next", "Failed "+name)},
			"Output", "{% $states.result[0] %}", "End", true),
		"Failed "+name, value.Obj("Type", "Pass", "End", true))
}

// tolerate adds the step's own state and, where failures are tolerated, the ones that count them.
func (c *compiler) tolerate(states, state *value.Object, s *pipeline.Step, limit int, in *scope, next string) {
	if limit == 0 {
		states.Set(s.Name, follow(state, next))
		return
	}
	check, refuse, done := "Count failures of "+s.Name, "Refuse failures of "+s.Name, next
	failures := "$" + in.variable("failures", s.Name)
	assign, _ := state.Get("Assign")
	assign.(*value.Object).Set(failures[1:], wrap("[$filter($states.result, function($r) { $exists($r.`"+failedKey+"`) }).`"+failedKey+"`]"))
	states.Set(s.Name, follow(state, check))
	if next == "" { // a Choice cannot end a scope
		done = "Done " + s.Name
		states.Set(done, value.Obj("Type", "Pass", "End", true))
	}
	states.Set(check, value.Obj("Type", "Choice", "Choices", []any{value.Obj(
		"Condition", wrap(fmt.Sprintf("$count(%s) > %d", failures, limit)), "Next", refuse)}, "Default", done))
	states.Set(refuse, value.Obj("Type", "Fail", "Error", stepfn.StatesExceedToleratedFailureThreshold,
		"Cause", wrap(fmt.Sprintf("$string($count(%s)) & ' of %s failed, %d tolerated; the first by ' & %s[0].Error & ': ' & %s[0].Cause",
			failures, s.Name, limit, failures, failures))))
}

// loopItems are a loop's items. Where the history has no room for more than some, more are refused before any is begun.
func (c *compiler) loopItems(f *pipeline.ForEach, in *scope) any {
	items := c.dynamic(f.Items.Value, in, strict)
	text, computed := items.(string)
	if c.items == 0 || !computed {
		return items
	}
	return wrap(fmt.Sprintf("($l := %s; $count($l) > %d ? $error('a run may have %d items here, not ' & $count($l) & "+
		"', or its history would grow over 25,000 events') : $l)", inline(text), c.items, c.items))
}

// forEach adds a for-each step's Map. An iteration first keeps its item, its index and its place in all loops around it
// as variables, for the context object knows only the innermost Map.
func (c *compiler) forEach(states *value.Object, n *node, in *scope, next string) {
	s, f := n.step, n.step.ForEach
	inner := in.inner(in.before(n.order, s.Name))
	name := ident(s.Name)
	place := "$string($states.input.index)"
	if outer := in.place(); outer != "" {
		place = outer + " & '.' & " + place
	}
	inner.in = &loopContext{name: name, as: f.As}
	take := value.Obj("Type", "Pass", "Assign", value.Obj("item_"+name, "{% $states.input.item %}",
		"index_"+name, "{% $states.input.index %}", "at_"+name, wrap(place)))
	body := value.Obj("Take item of "+s.Name, take)
	outputs := "$states.result"
	node := c.arrange(f.Steps, true)
	if f.ToleratedFailures > 0 {
		follow(take, "Try "+s.Name)
		merge(body, c.try(node, s.Name, &value.Object{}, inner))
		outputs = "[$map($states.result, function($r) { $exists($r.`" + failedKey + "`) ? null : $r })]"
	} else {
		branch := c.branch(node, inner)
		start, _ := branch.Get("StartAt")
		follow(take, start.(string))
		rest, _ := branch.Get("States")
		merge(body, rest.(*value.Object))
	}
	asking := in.askedBy(s.Name)
	state := value.Obj("Type", "Map", "Items", c.loopItems(f, asking))
	if asking.asks.mayFail {
		c.catchRaised(states, state, s, asking)
	}
	if f.MaxConcurrency > 0 {
		state.Set("MaxConcurrency", value.Int(int64(f.MaxConcurrency)))
	}
	state.Set("ItemSelector", value.Obj("item", "{% $states.context.Map.Item.Value %}", "index", "{% $states.context.Map.Item.Index %}"))
	state.Set("ItemProcessor", processor("Take item of "+s.Name, body))
	result(state, s, in, outputs)
	c.tolerate(states, state, s, f.ToleratedFailures, in, next)
}

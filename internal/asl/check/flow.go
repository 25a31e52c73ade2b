package check

import "github.com/rayorch/rayorch/internal/value"

// The functions in this file check transitions: their targets must exist, all states must be reachable, and a state must end the
// machine. Branches and item processors are checked as separate graphs.

// target is a transition: the name of the next state, and the location of the field that contains it.
type target struct{ loc, name string }

// transitionIn returns the transition in a field. If the field is not a string, it returns none: the rules of the fields report
// that.
func transitionIn(o *value.Object, loc, field string) []target {
	v, _ := o.Get(field)
	if name, ok := v.(string); ok {
		return []target{{loc + "/" + field, name}}
	}
	return nil
}

// targets returns the transitions of a state, in the order in which AWS reports them.
func targets(loc string, state *value.Object) []target {
	out := transitionIn(state, loc, "Next")
	for _, list := range []string{"Choices", "Catch"} {
		v, _ := state.Get(list)
		items, _ := v.([]any)
		for i, item := range items {
			if o, ok := item.(*value.Object); ok {
				out = append(out, transitionIn(o, loc+"/"+indexed(list, i), "Next")...)
			}
		}
	}
	return append(out, transitionIn(state, loc, "Default")...)
}

// startable reports whether the definition is complete enough for a check of its transitions.
func startable(root *value.Object) bool {
	v, _ := root.Get("StartAt")
	_, ok := v.(string)
	return ok && statesOf(root).Len() > 0
}

// endable reports whether a state of the scope ends it, or could: a state may be too incomplete to tell.
func endable(root *value.Object) bool {
	states := statesOf(root)
	for i := range states.Len() {
		_, v := states.At(i)
		state, ok := v.(*value.Object)
		if !ok || ends(state) {
			return true
		}
	}
	return false
}

// ends also returns true for a state with neither Next nor End: that is already reported, and one error should give one
// message.
func ends(state *value.Object) bool {
	kind, _ := state.Get("Type")
	end, _ := state.Get("End")
	unclear := kind != "Choice" && !state.Has("Next") && !state.Has("End")
	return end == true || kind == "Succeed" || kind == "Fail" || unclear
}

// flow reports transitions to missing states, in a scope and the scopes inside it.
func (c *checker) flow(loc string, root *value.Object) {
	if !startable(root) {
		return
	}
	states := statesOf(root)
	missing := func(t target) {
		if !states.Has(t.name) {
			c.add(codeTransition, t.loc, "Missing 'Next' target: "+t.name)
		}
	}
	missing(transitionIn(root, loc, "StartAt")[0])
	for i := range states.Len() {
		name, v := states.At(i)
		state, _ := v.(*value.Object)
		for _, t := range targets(loc+"/States/"+name, state) {
			missing(t)
		}
		inside(loc+"/States/"+name, state, c.flow)
	}
}

// reach reports unreachable states, in a scope and the scopes inside it.
func (c *checker) reach(loc string, root *value.Object) {
	if !startable(root) {
		return
	}
	states, reached := statesOf(root), reachable(root)
	for i := range states.Len() {
		name, v := states.At(i)
		if !reached[name] {
			c.add(codeTransition, loc+"/States/"+name, "State \""+name+"\" is not reachable.")
		}
		state, _ := v.(*value.Object)
		inside(loc+"/States/"+name, state, c.reach)
	}
}

// reachable returns the names that transitions from StartAt lead to. Missing states have no transitions.
func reachable(root *value.Object) map[string]bool {
	states, reached := statesOf(root), map[string]bool{}
	todo := transitionIn(root, "", "StartAt")
	for len(todo) > 0 {
		name := todo[len(todo)-1].name
		todo = todo[:len(todo)-1]
		if reached[name] {
			continue
		}
		reached[name] = true
		v, _ := states.Get(name)
		state, _ := v.(*value.Object)
		todo = append(todo, targets("", state)...)
	}
	return reached
}

// inside visits the scopes inside a state: its branches or its item processor.
func inside(loc string, state *value.Object, visit func(string, *value.Object)) {
	v, _ := state.Get("Branches")
	branches, _ := v.([]any)
	for i, b := range branches {
		if o, ok := b.(*value.Object); ok {
			visit(loc+"/"+indexed("Branches", i), o)
		}
	}
	for _, name := range []string{"ItemProcessor", "Iterator"} {
		v, _ := state.Get(name)
		if o, ok := v.(*value.Object); ok {
			visit(loc+"/"+name, o)
		}
	}
}

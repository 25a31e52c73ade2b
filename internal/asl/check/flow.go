package check

import "github.com/rayorch/rayorch/internal/value"

// target is a transition: the name of a state and where it stands.
type target struct{ loc, name string }

// textAt is the transition in a field; a field that holds no text was reported as such.
func textAt(o *value.Object, loc, field string) []target {
	v, _ := o.Get(field)
	if name, ok := v.(string); ok {
		return []target{{loc + "/" + field, name}}
	}
	return nil
}

// targets are the transitions of a state, in the order AWS reports them.
func targets(loc string, state *value.Object) []target {
	out := textAt(state, loc, "Next")
	for _, list := range []string{"Choices", "Catch"} {
		v, _ := state.Get(list)
		items, _ := v.([]any)
		for i, item := range items {
			if o, ok := item.(*value.Object); ok {
				out = append(out, textAt(o, loc+"/"+indexed(list, i), "Next")...)
			}
		}
	}
	return append(out, textAt(state, loc, "Default")...)
}

// startable says that the definition is complete enough for its graph to be looked at.
func startable(root *value.Object) bool {
	v, _ := root.Get("StartAt")
	_, ok := v.(string)
	return ok && statesOf(root).Len() > 0
}

// endable says that some state of the scope ends it, or that it is not known which do.
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

// ends counts a state without Next and End as an end: it was reported already, and one mistake makes one message.
func ends(state *value.Object) bool {
	kind, _ := state.Get("Type")
	end, _ := state.Get("End")
	unclear := kind != "Choice" && !state.Has("Next") && !state.Has("End")
	return end == true || kind == "Succeed" || kind == "Fail" || unclear
}

// flow reports the transitions of a scope, and of those inside it, that lead to no state.
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
	missing(textAt(root, loc, "StartAt")[0])
	for i := range states.Len() {
		name, v := states.At(i)
		state, _ := v.(*value.Object)
		for _, t := range targets(loc+"/States/"+name, state) {
			missing(t)
		}
		inside(loc+"/States/"+name, state, c.flow)
	}
}

// reach reports the states of a scope, and of those inside it, that nothing leads to.
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

// reachable follows transitions; those that lead nowhere end there.
func reachable(root *value.Object) map[string]bool {
	states, reached := statesOf(root), map[string]bool{}
	todo := textAt(root, "", "StartAt")
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

// inside visits the scopes within a state.
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

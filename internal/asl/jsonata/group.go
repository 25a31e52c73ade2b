package jsonata

import "github.com/rayorch/rayorch/internal/value"

// An object {key: value, ...} after an expression groups its results: each key is evaluated once for each result, and each
// value once for each distinct key, with all results of that key as the context. For example, order{product: $sum(quantity)}
// has a field for each product. An object on its own is the same for a single result, the context item.

// groupOf holds the items or tuples that have the same key.
type groupOf struct {
	key    string
	pair   int    // the index of the pair whose key it is: two pairs must not have the same key
	items  []any  // in a path without bound variables
	tuples tuples // in a path with them
}

// grouping collects groups, in the order in which their keys first appear.
type grouping struct {
	ev     *evaluator
	node   *node
	groups []*groupOf
	byKey  map[string]*groupOf
	used   int64 // bytes that are needed only until the object is built
}

// add returns the group of a key, a new one if needed. It is an error if another pair has the same key.
func (g *grouping) add(key any, pair int) (*groupOf, error) {
	text, ok := key.(string)
	if !ok {
		return nil, newError("T1003", g.node.pos).with("value", key)
	}
	g.used += objectBytes
	if err := g.ev.charge(objectBytes); err != nil {
		return nil, err
	}
	found := g.find(text)
	if found == nil {
		found = &groupOf{key: text, pair: pair}
		g.groups = append(g.groups, found)
		if g.byKey != nil {
			g.byKey[text] = found
		}
	}
	if found.pair != pair {
		return nil, newError("D1009", g.node.pos).with("value", text)
	}
	return found, nil
}

// manyGroups is the number of groups from which on a map is faster than a search.
const manyGroups = 8

// find returns the group of a key, nil if there is none.
func (g *grouping) find(key string) *groupOf {
	if g.byKey == nil && len(g.groups) == manyGroups {
		g.byKey = make(map[string]*groupOf, 2*manyGroups)
		for _, group := range g.groups {
			g.byKey[group.key] = group
		}
	}
	if g.byKey != nil {
		return g.byKey[key]
	}
	for _, group := range g.groups {
		if group.key == key {
			return group
		}
	}
	return nil
}

// group evaluates an object constructor, or groups the results of a path into an object.
func (ev *evaluator) group(n *node, input any, env *frame) (any, error) {
	if in, ok := input.(tuples); ok {
		return ev.groupTuples(n, in, env)
	}
	list := listOf(input)
	if len(list) == 0 {
		list = []any{Undefined} // a constructor needs no input
	}
	g := grouping{ev: ev, node: n}
	for _, item := range list {
		for i := range n.pairs {
			key, err := ev.eval(n.pairs[i].key, item, env)
			if err != nil {
				return nil, err
			}
			if IsUndefined(key) {
				continue
			}
			group, err := g.add(key, i)
			if err != nil {
				return nil, err
			}
			if !IsUndefined(item) {
				group.items = append(group.items, item)
			}
		}
	}
	return g.object(func(group *groupOf) (any, error) {
		context, err := group.context(ev)
		if err != nil {
			return nil, err
		}
		return ev.eval(n.pairs[group.pair].value, context, env)
	})
}

// context returns the item of a group, or an array of its items.
func (g *groupOf) context(ev *evaluator) (any, error) {
	switch len(g.items) {
	case 0:
		return Undefined, nil
	case 1:
		return g.items[0], nil
	}
	all := &sequence{}
	for _, item := range g.items {
		if err := ev.push(all, item); err != nil {
			return nil, err
		}
	}
	return all.items, nil
}

// groupTuples groups results with bindings. In the value of a group, each variable has the values from all tuples of the group.
func (ev *evaluator) groupTuples(n *node, in tuples, env *frame) (any, error) {
	g := grouping{ev: ev, node: n}
	for t := range in {
		for i := range n.pairs {
			key, err := ev.eval(n.pairs[i].key, in[t].item, in[t].frame(env))
			if err != nil {
				return nil, err
			}
			if IsUndefined(key) {
				continue
			}
			group, err := g.add(key, i)
			if err != nil {
				return nil, err
			}
			group.tuples = append(group.tuples, in[t])
		}
	}
	return g.object(func(group *groupOf) (any, error) {
		t, err := ev.merge(group.tuples)
		if err != nil {
			return nil, err
		}
		return ev.eval(n.pairs[group.pair].value, t.item, t.frame(env))
	})
}

// merge merges tuples into one, in which each variable has the values from all tuples.
func (ev *evaluator) merge(in tuples) (tuple, error) {
	if len(in) == 1 {
		return in[0], nil
	}
	all := &sequence{}
	values := map[string]*sequence{}
	var names []string
	for i := range in {
		if err := ev.push(all, in[i].item); err != nil {
			return tuple{}, err
		}
		seen := map[string]bool{}
		for b := in[i].vars; b != nil; b = b.next {
			if seen[b.name] {
				continue // hidden by a newer binding
			}
			seen[b.name] = true
			if values[b.name] == nil {
				values[b.name] = &sequence{}
				names = append(names, b.name)
			}
			if err := ev.push(values[b.name], b.value); err != nil {
				return tuple{}, err
			}
		}
	}
	out := tuple{item: all.items}
	for _, name := range names {
		var v any = values[name].items
		if len(values[name].items) == 1 {
			v = values[name].items[0]
		}
		out.bind(name, v)
	}
	return out, nil
}

// object evaluates the values of the groups and builds the object.
func (g *grouping) object(eval func(*groupOf) (any, error)) (any, error) {
	if err := g.ev.charge(objectBytes + int64(len(g.groups))*fieldBytes); err != nil {
		return nil, err
	}
	out := value.NewObject(len(g.groups))
	for _, group := range g.groups {
		v, err := eval(group)
		if err != nil {
			return nil, err
		}
		if !IsUndefined(v) {
			out.Set(group.key, v)
		}
	}
	g.ev.used -= g.used
	return out, nil
}

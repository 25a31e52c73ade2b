package jsonata

import (
	"math"

	"github.com/rayorch/rayorch/internal/value"
)

// tuples are results with the variables that were bound on the way to them: by @ and #, and the parents that % finds.
type tuples []tuple

type tuple struct {
	item any
	vars *binding
}

// frameOf is the frame in which a tuple's variables are known.
func (t *tuple) frame(env *frame) *frame { return &frame{parent: env, tuple: t.vars} }

func (t *tuple) bind(name string, v any) { t.vars = &binding{name, v, t.vars} }

// path evaluates one step after the other, each for all results of the one before.
func (ev *evaluator) path(n *node, input any, env *frame) (any, error) {
	var out any
	var bound tuples
	tupled := false
	v, done, err := ev.pathStart(n, input, env)
	if err != nil {
		return nil, err
	}
	list, isArray := items(v)
	if !isArray || done == 0 && n.items[0].kind == kindVariable {
		list = []any{v}
	}
	out = v
	for i, step := range n.items[done:] {
		tupled = tupled || step.tuple
		switch {
		case i == 0 && done == 0 && step.consArray:
			if out, err = ev.eval(step, &sequence{items: list}, env); err == nil {
				list = listOf(out)
			}
		case tupled:
			bound, err = ev.tupleStep(step, list, bound, env)
		default:
			if out, err = ev.pathStep(step, list, env, done+i == len(n.items)-1); err == nil {
				list, _ = items(out)
			}
		}
		if err != nil {
			return nil, err
		}
		if !tupled && (len(list) == 0 || IsUndefined(out)) {
			break
		}
	}
	if tupled {
		return ev.pathOfTuples(n, bound, env)
	}
	if n.keepArray {
		out = kept(out)
	}
	if n.group != nil {
		return ev.group(n.group, out, env)
	}
	return out, nil
}

// pathStart follows a path as long as there is one value and no list: done is how many steps that were. Most paths
// consist of nothing else.
func (ev *evaluator) pathStart(n *node, input any, env *frame) (v any, done int, err error) {
	v = input
	for _, step := range n.items {
		if step.tuple || len(step.stages) > 0 {
			return v, done, nil
		}
		switch o, isObject := v.(*value.Object); {
		case step.kind == kindVariable && done == 0 && len(step.predicates) == 0 && step.group == nil:
			v, err = ev.eval(step, input, env)
		case step.kind == kindName && isObject:
			if ev.limits.Depth > 0 && ev.depth >= ev.limits.Depth {
				return nil, 0, ev.enter()
			}
			var ok bool
			if v, ok = o.Get(step.text); !ok {
				v = Undefined
			}
			err = ev.step(1)
		default:
			return v, done, nil
		}
		done++
		if err != nil || IsUndefined(v) {
			return v, len(n.items), err
		}
	}
	return v, done, nil
}

// pathOfTuples is the result of a path that binds variables. A path in another one hands them on.
func (ev *evaluator) pathOfTuples(n *node, bound tuples, env *frame) (any, error) {
	switch {
	case n.group != nil:
		return ev.groupTuples(n.group, bound, env)
	case n.tuple:
		return bound, nil
	}
	out := &sequence{items: make([]any, len(bound)), keep: n.keepArray}
	for i := range bound {
		out.items[i] = bound[i].item
	}
	return out, nil
}

// kept is a path's result as a list that keeps a single result.
func kept(v any) any {
	s, ok := v.(*sequence)
	switch {
	case ok && s.array && s.cons:
		return &sequence{items: []any{v}, keep: true}
	case ok && !s.array:
		s.keep = true
	case !ok && !IsUndefined(v):
		if _, isArray := items(v); !isArray {
			return &sequence{items: []any{v}, keep: true}
		}
	}
	return v
}

// pathStep evaluates a step for each item of a list and joins the results.
func (ev *evaluator) pathStep(step *node, list []any, env *frame, last bool) (any, error) {
	if step.kind == kindSort {
		return ev.sortStep(step, list, env)
	}
	out := &sequence{items: make([]any, 0, min(len(list), 64))}
	var only any
	count := 0
	for _, item := range list {
		v, err := ev.stepItem(step, item, env)
		if err != nil {
			return nil, err
		}
		if IsUndefined(v) {
			continue
		}
		if count++; count == 1 {
			only = v
		}
		if s, ok := v.(*sequence); ok && s.cons {
			out.items = append(out.items, v)
			err = ev.charge(itemBytes)
		} else if _, isArray := items(v); isArray && last && count == 1 && len(list) == 1 {
			return ev.lastArray(v, out)
		} else {
			err = ev.push(out, v)
		}
		if err != nil {
			return nil, err
		}
	}
	if last && count == 1 {
		return ev.lastArray(only, out)
	}
	return out, nil
}

// lastArray gives the array that a path ends at, when it ends at a single one: it is no list of results.
func (ev *evaluator) lastArray(v any, out *sequence) (any, error) {
	if _, isArray := items(v); !isArray {
		return out, nil
	}
	if s, ok := results(v); ok {
		if len(out.items) == 0 {
			return out, ev.push(out, s)
		}
		return out, nil
	}
	return v, nil
}

// stepItem evaluates a step for one item, with its predicates.
func (ev *evaluator) stepItem(step *node, item any, env *frame) (v any, err error) {
	if step.kind == kindName {
		if o, ok := item.(*value.Object); ok && len(step.stages) == 0 { // the plain case, without a call of eval
			if ev.limits.Depth > 0 && ev.depth >= ev.limits.Depth {
				return nil, ev.enter()
			}
			if v, ok := o.Get(step.text); ok {
				return v, ev.step(1)
			}
			return Undefined, ev.step(1)
		}
	}
	if v, err = ev.eval(step, item, env); err != nil {
		return nil, err
	}
	for _, s := range step.stages {
		if v, err = ev.filter(s.filter, v, env); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// tupleStep evaluates a step that binds, or comes after one that does.
func (ev *evaluator) tupleStep(step *node, list []any, in tuples, env *frame) (tuples, error) {
	if step.kind == kindSort {
		return ev.tupleSort(step, list, in, env)
	}
	if in == nil {
		for _, item := range list {
			if !IsUndefined(item) {
				in = append(in, tuple{item: item})
			}
		}
	}
	out := tuples{}
	for i := range in {
		v, err := ev.eval(step, in[i].item, in[i].frame(env))
		if err != nil {
			return nil, err
		}
		if out, err = ev.addTuples(out, step, in[i], v); err != nil {
			return nil, err
		}
	}
	return ev.tupleStages(step, out, env)
}

// addTuples adds a step's results for one tuple, with what the step binds.
func (ev *evaluator) addTuples(out tuples, step *node, from tuple, v any) (tuples, error) {
	if IsUndefined(v) {
		return out, nil
	}
	if inner, ok := v.(tuples); ok {
		for _, t := range inner {
			if err := ev.charge((1 + t.vars.count()) * frameBytes); err != nil {
				return nil, err
			}
			out = append(out, tuple{t.item, joinBindings(t.vars, from.vars)})
		}
		return out, nil
	}
	list := listOf(v)
	if err := ev.charge(int64(len(list)) * frameBytes); err != nil {
		return nil, err
	}
	for i, item := range list {
		next := tuple{item, from.vars}
		step.bindTuple(&next, from, i)
		out = append(out, next)
	}
	return out, nil
}

// bindTuple binds what a step says: its focus, its position, and its input for a later %.
func (n *node) bindTuple(t *tuple, from tuple, position int) {
	if n.focus != "" {
		t.bind(n.focus, t.item)
		t.item = from.item
	}
	if n.index != "" {
		t.bind(n.index, float64(position))
	}
	if n.ancestor != nil {
		t.bind(n.ancestor.label, from.item)
	}
}

func (b *binding) count() (n int64) {
	for ; b != nil; b = b.next {
		n++
	}
	return n
}

// joinBindings puts the first bindings before the others.
func joinBindings(first, then *binding) *binding {
	if first == nil {
		return then
	}
	return &binding{first.name, first.value, joinBindings(first.next, then)}
}

func (ev *evaluator) tupleStages(step *node, in tuples, env *frame) (tuples, error) {
	for _, s := range step.stages {
		if s.filter == nil {
			for i := range in {
				in[i].bind(s.index, float64(i))
			}
			continue
		}
		var err error
		if in, err = ev.filterTuples(s.filter, in, env); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// filter applies a predicate: a position, positions, or a condition.
func (ev *evaluator) filter(predicate *node, input any, env *frame) (any, error) {
	if in, ok := input.(tuples); ok {
		return ev.filterTuples(predicate, in, env)
	}
	list := listOf(input)
	out := &sequence{}
	if f, ok := predicate.value.(float64); ok && predicate.kind == kindLiteral && len(predicate.predicates) == 0 {
		i := place(f, len(list))
		if i < 0 || i >= len(list) || IsUndefined(list[i]) {
			return out, nil
		}
		if _, isArray := items(list[i]); isArray {
			return list[i], nil
		}
		out.items = append(out.items, list[i])
		return out, ev.charge(itemBytes)
	}
	for i, item := range list {
		times, err := ev.accepts(predicate, item, env, i, len(list))
		if err != nil {
			return nil, err
		}
		for range times {
			out.items = append(out.items, item)
			if err := ev.charge(itemBytes); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (ev *evaluator) filterTuples(predicate *node, in tuples, env *frame) (tuples, error) {
	out := tuples{}
	for i := range in {
		times, err := ev.accepts(predicate, in[i].item, in[i].frame(env), i, len(in))
		if err != nil {
			return nil, err
		}
		for range times {
			out = append(out, in[i])
			if err := ev.charge(itemBytes); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// accepts says how many times a predicate takes the item at a position: a list of positions may name it more than once.
func (ev *evaluator) accepts(predicate *node, item any, env *frame, i, n int) (times int, err error) {
	v, err := ev.eval(predicate, item, env)
	if err != nil {
		return 0, err
	}
	if f, isPosition := number(v); isPosition {
		return count(place(f, n) == i), finite(predicate, f)
	}
	list, isArray := items(v)
	if isArray {
		if err := ev.step(len(list)); err != nil {
			return 0, err
		}
		if positions, ok := allNumbers(v); ok {
			for _, f := range positions {
				times += count(place(f, n) == i)
			}
			return times, nil
		}
	}
	yes, err := ev.truth(v)
	return count(yes), err
}

// count is 1 for true.
func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// place is a position in a list of n items; negative ones count from the end.
func place(f float64, n int) int {
	f = math.Floor(f)
	if f < 0 {
		f += float64(n)
	}
	if !(f >= 0 && f < float64(n)) {
		return -1
	}
	return int(f)
}

// groupOf is what came under one key.
type groupOf struct {
	key    string
	pair   int
	items  []any
	tuples tuples
}

// grouping collects groups in the order of their keys' first appearance.
type grouping struct {
	ev     *evaluator
	node   *node
	groups []*groupOf
	byKey  map[string]*groupOf
	used   int64 // for what is needed until the object is made
}

// add finds the group of a key, which no other pair may use.
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

// manyGroups is from how many groups on a map finds them quicker.
const manyGroups = 8

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

// group makes an object: of a constructor, or of the results of a path that are grouped.
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

// context is the item of a group, or all of them in an array.
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

// groupTuples groups results with bindings: inside a group every variable has the values of all its tuples.
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

// merge makes one tuple of many: every variable has the values of all of them.
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
				continue // an older binding of the name
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

// object evaluates the groups' values and puts them under their keys.
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

// sortStep orders a list.
func (ev *evaluator) sortStep(step *node, list []any, env *frame) (any, error) {
	in := make(tuples, len(list))
	for i, item := range list {
		in[i].item = item
	}
	sorted, err := ev.sortTuples(step, in, env)
	if err != nil {
		return nil, err
	}
	s := &sequence{items: make([]any, len(sorted))}
	for i := range sorted {
		s.items[i] = sorted[i].item
	}
	var out any = s
	for _, stage := range step.stages {
		if out, err = ev.filter(stage.filter, out, env); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tupleSort orders tuples, or makes tuples of a list that it has ordered.
func (ev *evaluator) tupleSort(step *node, list []any, in tuples, env *frame) (tuples, error) {
	fresh := in == nil
	if fresh {
		in = make(tuples, len(list))
		for i, item := range list {
			in[i].item = item
		}
	}
	out, err := ev.sortTuples(step, in, env)
	if err != nil {
		return nil, err
	}
	if fresh && step.index != "" {
		for i := range out {
			out[i].bind(step.index, float64(i))
		}
	}
	return ev.tupleStages(step, out, env)
}

// sortTuples orders by the terms of an order-by clause. A term is evaluated at most once for each tuple.
func (ev *evaluator) sortTuples(step *node, in tuples, env *frame) (tuples, error) {
	type keyed struct {
		tuple
		keys []any // as far as they were needed
	}
	if err := ev.charge(int64(len(in)) * frameBytes); err != nil {
		return nil, err
	}
	list := make([]keyed, len(in))
	for i := range in {
		list[i].tuple = in[i]
	}
	key := func(k *keyed, term int) (any, error) {
		for len(k.keys) <= term {
			v, err := ev.eval(step.terms[len(k.keys)].expr, k.item, k.frame(env))
			if err != nil {
				return nil, err
			}
			k.keys = append(k.keys, v)
		}
		return k.keys[term], nil
	}
	sorted, err := mergeSort(ev, list, func(a, b *keyed) (bool, error) {
		for i, term := range step.terms {
			x, err := key(a, i)
			if err != nil {
				return false, err
			}
			y, err := key(b, i)
			if err != nil {
				return false, err
			}
			order, err := orderOf(step, x, y)
			if order == 0 && err == nil {
				continue
			}
			if term.descending && !IsUndefined(x) && !IsUndefined(y) {
				order = -order
			}
			return order > 0, err
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	out := make(tuples, len(sorted))
	for i := range sorted {
		out[i] = sorted[i].tuple
	}
	return out, nil
}

// orderOf compares two values of an order-by term; nothing comes last.
func orderOf(step *node, a, b any) (int, error) {
	switch {
	case IsUndefined(a) && IsUndefined(b):
		return 0, nil
	case IsUndefined(a):
		return 1, nil
	case IsUndefined(b):
		return -1, nil
	}
	for _, v := range []any{a, b} {
		if _, isText := v.(string); !isText && !isNumber(v) {
			return 0, newError("T2008", step.pos).with("value", v)
		}
	}
	x, isNumber := number(a)
	y, isNumber2 := number(b)
	if isNumber != isNumber2 {
		return 0, newError("T2007", step.pos).with("value", a).with("value2", b)
	}
	before, after := x < y, x > y
	if !isNumber {
		s, t := a.(string), b.(string)
		before, after = less(s, t), less(t, s)
	}
	switch {
	case before:
		return -1, nil
	case after:
		return 1, nil
	}
	return 0, nil
}

// mergeSort is stable; after says whether a must stand behind b, and is asked in the order of the reference
// implementation, for functions may fail.
func mergeSort[T any](ev *evaluator, list []T, after func(a, b *T) (bool, error)) ([]T, error) {
	if len(list) < 2 {
		return list, nil
	}
	if err := ev.step(len(list)); err != nil {
		return nil, err
	}
	middle := len(list) / 2
	left, err := mergeSort(ev, list[:middle], after)
	if err != nil {
		return nil, err
	}
	right, err := mergeSort(ev, list[middle:], after)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(list))
	for len(left) > 0 && len(right) > 0 {
		behind, err := after(&left[0], &right[0])
		if err != nil {
			return nil, err
		}
		if behind {
			out, right = append(out, right[0]), right[1:]
		} else {
			out, left = append(out, left[0]), left[1:]
		}
	}
	return append(append(out, left...), right...), nil
}

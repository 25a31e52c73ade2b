package jsonata

import "github.com/rayorch/rayorch/internal/value"

// A path evaluates its steps from left to right. The results of a step are a list, and the next step is evaluated for each item. From
// the first step that binds a variable on, the results are tuples instead, which carry the variables along.

// tuples are results with the variables that a path has bound for them: by @ and #, and the parents to which % refers.
type tuples []tuple

// tuple is one result, with its variables.
type tuple struct {
	item any
	vars *binding
}

// frame returns a frame that holds the tuple's variables.
func (t *tuple) frame(env *frame) *frame { return &frame{parent: env, tuple: t.vars} }

func (t *tuple) bind(name string, v any) { t.vars = &binding{name, v, t.vars} }

// path evaluates the steps of a path in order, each for all results of the step before it.
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

// pathStart follows a path as long as the result is a single value. done is the number of steps that it evaluated: in most
// paths, all of them.
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

// pathOfTuples returns the result of a path that binds variables. A path inside another one returns its tuples.
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

// kept returns the result of a path as a list that stays a list even with a single result.
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

// lastArray returns the array at which a path ends, if there is a single one: it is an array, not a list of results.
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
		if o, ok := item.(*value.Object); ok && len(step.stages) == 0 { // the common case, without a call of eval
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

// tupleStep evaluates a step that binds variables, or that follows such a step.
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

// addTuples adds a step's results for one tuple, with the variables that the step binds.
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

// bindTuple binds the variables of a step: its focus, its position, and its input for a later %.
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

// tupleStages applies the predicates of a step, and binds positions between them.
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

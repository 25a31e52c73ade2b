package jsonata

// An order-by clause ^(a, >b) is a step of a path that sorts the results of the step before it. sortStep is for a path without
// bound variables and tupleSort for one with them; both use sortTuples. The sort is stable, and calls the terms in the same
// order as the reference implementation, because a term can fail or call $random.

// sortStep evaluates an order-by clause for a list.
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

// tupleSort evaluates an order-by clause for tuples, or for a list, which it converts to tuples.
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

// sortTuples sorts by the terms of an order-by clause. A term is evaluated at most once for each tuple.
func (ev *evaluator) sortTuples(step *node, in tuples, env *frame) (tuples, error) {
	type keyed struct {
		tuple
		keys []any // evaluated on demand
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

// orderOf compares two values of an order-by term; Undefined comes last.
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

// mergeSort is stable. after reports whether a comes after b. It is called in the order of the reference implementation,
// because a function in the expression may fail.
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

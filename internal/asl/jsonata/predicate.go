package jsonata

import "math"

// A predicate [...] selects results. If its value is a number, it selects the result at this position, counted from 0, or from
// the end if negative; a list of numbers selects several positions; any other value is a condition. Only the value shows which
// of these it is, so the predicate is evaluated for each result, unless it is a literal number.

// filter applies a predicate: a position, a list of positions, or a condition.
func (ev *evaluator) filter(predicate *node, input any, env *frame) (any, error) {
	if in, ok := input.(tuples); ok {
		return ev.filterTuples(predicate, in, env)
	}
	list := listOf(input)
	out := &sequence{}
	if f, ok := predicate.value.(float64); ok && predicate.kind == kindLiteral && len(predicate.predicates) == 0 {
		i := listIndex(f, len(list))
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

// filterTuples is filter for results with variables.
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

// accepts returns how many times a predicate selects the item at index i: a list of positions may contain it more than once.
func (ev *evaluator) accepts(predicate *node, item any, env *frame, i, n int) (times int, err error) {
	v, err := ev.eval(predicate, item, env)
	if err != nil {
		return 0, err
	}
	if f, isPosition := number(v); isPosition {
		return count(listIndex(f, n) == i), finite(predicate, f)
	}
	list, isArray := items(v)
	if isArray {
		if err := ev.step(len(list)); err != nil {
			return 0, err
		}
		if positions, ok := allNumbers(v); ok {
			for _, f := range positions {
				times += count(listIndex(f, n) == i)
			}
			return times, nil
		}
	}
	yes, err := ev.truth(v)
	return count(yes), err
}

// count returns 1 for true and 0 for false.
func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// listIndex returns the index of a position in a list of n items, -1 if out of range. Negative positions count from the end.
func listIndex(f float64, n int) int {
	f = math.Floor(f)
	if f < 0 {
		f += float64(n)
	}
	if !(f >= 0 && f < float64(n)) {
		return -1
	}
	return int(f)
}

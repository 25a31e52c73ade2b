package jsonata

import "github.com/rayorch/rayorch/internal/value"

// The steps of a path that look into a value: a name, * (all fields) and ** (all descendants). They look through arrays: a
// name selects the field of each object in an array, at any depth, and the results are one flat list.

// lookupName returns a field of an object, or of all objects in an array.
func (ev *evaluator) lookupName(v any, name string) (any, error) {
	if o, ok := v.(*value.Object); ok {
		if f, ok := o.Get(name); ok {
			return f, nil
		}
		return Undefined, nil
	}
	list, ok := items(v)
	if !ok {
		return Undefined, nil
	}
	out := &sequence{}
	if err := ev.collectName(list, name, out, 0); err != nil {
		return nil, err
	}
	return out, nil
}

// collectName adds a field of all objects in a list and in nested lists.
func (ev *evaluator) collectName(list []any, name string, out *sequence, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	for _, item := range list {
		if err := ev.step(1); err != nil {
			return err
		}
		if inner, ok := items(item); ok {
			if err := ev.collectName(inner, name, out, depth+1); err != nil {
				return err
			}
			continue
		}
		o, ok := item.(*value.Object)
		if !ok {
			continue
		}
		v, ok := o.Get(name)
		if !ok {
			continue
		}
		if err := ev.push(out, v); err != nil {
			return err
		}
	}
	return nil
}

// push adds a value to a list of results. If the value is an array, push adds its items.
func (ev *evaluator) push(out *sequence, v any) error {
	list, ok := items(v)
	if !ok {
		out.items = append(out.items, v)
		return ev.charge(itemBytes)
	}
	if err := ev.charge(int64(len(list)) * itemBytes); err != nil {
		return err
	}
	out.items = append(out.items, list...)
	return nil
}

// wildcard returns the values of all fields. An array among them is flattened, and makes the result an array instead of a
// list of results.
func (ev *evaluator) wildcard(input any) (any, error) {
	if s, ok := input.(*sequence); ok && s.outer {
		input = s.items[0]
	}
	out := &sequence{}
	var values []any
	if o, ok := input.(*value.Object); ok {
		for i := range o.Len() {
			_, v := o.At(i)
			values = append(values, v)
		}
	} else {
		values, _ = items(input)
	}
	for _, v := range values {
		list, ok := items(v)
		if !ok {
			if err := ev.push(out, v); err != nil {
				return nil, err
			}
			continue
		}
		out.array = true
		if err := ev.flatten(list, out, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// flatten adds the items of an array and of nested arrays.
func (ev *evaluator) flatten(list []any, out *sequence, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	for _, item := range list {
		inner, ok := items(item)
		var err error
		if ok {
			err = ev.flatten(inner, out, depth+1)
		} else {
			err = ev.push(out, item)
		}
		if err != nil {
			return err
		}
	}
	return ev.step(1)
}

// descendants evaluates **: the value itself and all values inside it.
func (ev *evaluator) descendants(input any) (any, error) {
	out := &sequence{}
	if IsUndefined(input) {
		return Undefined, nil
	}
	err := ev.descend(input, out, 0)
	return out, err
}

// descend adds a value and all values inside it, except arrays.
func (ev *evaluator) descend(v any, out *sequence, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	if list, ok := items(v); ok {
		for _, item := range list {
			if err := ev.descend(item, out, depth+1); err != nil {
				return err
			}
		}
		return ev.step(1)
	}
	if err := ev.push(out, v); err != nil {
		return err
	}
	o, _ := v.(*value.Object)
	for i := range o.Len() {
		_, item := o.At(i)
		if err := ev.descend(item, out, depth+1); err != nil {
			return err
		}
	}
	return nil
}

package jsonata

import (
	"slices"

	"github.com/rayorch/rayorch/internal/value"
)

var objectFunctions = map[string]builtin{
	"keys":   {"x-:a<s>", 1, keysFunc},
	"lookup": {"x-s:x", 2, lookupFunc},
	"spread": {"x-:a<o>", 1, spreadFunc},
	"merge":  {"a<o>:o", 1, onList(mergeFunc)},
	"clone":  {"(oa)-:o", 1, cloneFunc},
}

func sortedKeys(o *value.Object) []string {
	keys := slices.Clone(o.Keys())
	slices.Sort(keys)
	return keys
}

// keysFunc returns the keys of an object, or of all objects in an array, each key once.
func keysFunc(c *Call, args []any) (any, error) {
	seen := value.NewObject(0)
	if err := c.collectKeys(args[0], seen, 0); err != nil {
		return nil, err
	}
	out := &sequence{items: make([]any, 0, seen.Len())}
	for _, k := range seen.Keys() {
		out.items = append(out.items, k)
	}
	return out, nil
}

// collectKeys adds the keys of an object, or of all objects in an array, at any depth.
func (c *Call) collectKeys(v any, seen *value.Object, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	if o, ok := v.(*value.Object); ok {
		if err := c.charge(int64(o.Len()) * fieldBytes); err != nil {
			return err
		}
		for _, k := range o.Keys() {
			seen.Set(k, true)
		}
		return nil
	}
	list, _ := items(v)
	for _, item := range list {
		if err := c.collectKeys(item, seen, depth+1); err != nil {
			return err
		}
	}
	return c.step(1)
}

func lookupFunc(c *Call, args []any) (any, error) {
	return c.lookupName(args[0], textOr(args[1], "undefined"))
}

// spreadFunc splits objects into objects with a single field each.
func spreadFunc(c *Call, args []any) (any, error) {
	out := &sequence{}
	switch v := args[0].(type) {
	case *value.Object:
		if err := c.spread(v, out, 0); err != nil {
			return nil, err
		}
		return out, nil
	case []any, *sequence:
		out.array = true
		err := c.spread(v, out, 0)
		if len(out.items) == 0 {
			return Undefined, err
		}
		return out, err
	default:
		return v, nil
	}
}

// spread adds an object for each field of an object, or of the objects in an array. Other values are added as they are.
func (c *Call) spread(v any, out *sequence, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	if list, ok := items(v); ok {
		for _, item := range list {
			if err := c.spread(item, out, depth+1); err != nil {
				return err
			}
		}
		return c.step(1)
	}
	o, ok := v.(*value.Object)
	if !ok {
		out.items = append(out.items, v)
		return c.charge(itemBytes)
	}
	if err := c.charge(int64(o.Len()) * (objectBytes + fieldBytes + itemBytes)); err != nil {
		return err
	}
	for i := range o.Len() {
		k, item := o.At(i)
		single := value.NewObject(1)
		single.Set(k, item)
		out.items = append(out.items, single)
	}
	return nil
}

// mergeFunc merges objects; the last value of a key is kept.
func mergeFunc(c *Call, list, _ []any) (any, error) {
	out := value.NewObject(0)
	for _, item := range list {
		o, _ := item.(*value.Object)
		if err := c.charge(int64(o.Len()) * fieldBytes); err != nil {
			return nil, err
		}
		for i := range o.Len() {
			out.Set(o.At(i))
		}
	}
	return out, c.charge(objectBytes)
}

// cloneFunc does not need to copy: only a transform changes values, and it makes its own copies.
func cloneFunc(_ *Call, args []any) (any, error) { return args[0], nil }

// transform returns the function that |pattern|update, delete| denotes.
func (ev *evaluator) transform(n *node, env *frame) any {
	s, _ := parseSignature("<(oa):o>")
	return &Function{signature: s, arity: 1, born: ev.used, call: func(c *Call, args []any) (any, error) {
		if IsUndefined(args[0]) {
			return Undefined, nil
		}
		clone, ok := c.lookup("clone", env, true).(*Function)
		if !ok {
			return nil, newError("T2013", n.pos)
		}
		v, err := c.invoke(clone, args, nil, env)
		if err != nil {
			return nil, err
		}
		t := transformation{Call: c, node: n, env: env, copies: map[*value.Object]bool{}}
		return t.run(v)
	}}
}

// transformation copies a value and changes the objects that a pattern finds in the copy. Objects that the pattern finds elsewhere
// do not change.
type transformation struct {
	*Call
	node   *node
	env    *frame
	copies map[*value.Object]bool
}

// run returns the changed copy of v.
func (t *transformation) run(v any) (any, error) {
	out, err := t.copy(v, 0)
	if err != nil {
		return nil, err
	}
	found, err := t.eval(t.node.left, out, t.env)
	if err != nil || IsUndefined(found) {
		return out, err
	}
	for _, item := range listOf(found) {
		o, ok := item.(*value.Object)
		if !ok || !t.copies[o] {
			o = nil
		}
		if err := t.update(item, o); err != nil {
			return nil, err
		}
		if err := t.remove(item, o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// copy makes a deep copy of a value. Functions are not copied.
func (t *transformation) copy(v any, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, &LimitError{Limit: LimitMemory}
	}
	if o, ok := v.(*value.Object); ok {
		if err := t.charge(objectBytes + int64(o.Len())*fieldBytes); err != nil {
			return nil, err
		}
		out := value.NewObject(o.Len())
		for i := range o.Len() {
			k, item := o.At(i)
			c, err := t.copy(item, depth+1)
			if err != nil {
				return nil, err
			}
			out.Set(k, c)
		}
		t.copies[out] = true
		return out, nil
	}
	list, ok := items(v)
	if !ok {
		return v, nil
	}
	if err := t.charge(int64(len(list)) * itemBytes); err != nil {
		return nil, err
	}
	out := make([]any, len(list))
	for i, item := range list {
		c, err := t.copy(item, depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

// update merges the result of the update expression into o. item is the context of the expression. o is nil if the item must
// not change; the expression is evaluated nevertheless, because it can fail.
func (t *transformation) update(item any, o *value.Object) error {
	v, err := t.eval(t.node.right, item, t.env)
	if err != nil || IsUndefined(v) {
		return err
	}
	update, ok := v.(*value.Object)
	if !ok {
		return newError("T2011", t.node.right.pos).with("value", v)
	}
	if o == nil {
		return nil
	}
	if err := t.charge(int64(update.Len()) * fieldBytes); err != nil {
		return err
	}
	for i := range update.Len() {
		o.Set(update.At(i))
	}
	return nil
}

// remove deletes the fields that the delete expression names from o.
func (t *transformation) remove(item any, o *value.Object) error {
	if t.node.third == nil {
		return nil
	}
	v, err := t.eval(t.node.third, item, t.env)
	if err != nil || IsUndefined(v) {
		return err
	}
	for _, k := range listOf(v) {
		name, ok := k.(string)
		if !ok {
			return newError("T2012", t.node.third.pos).with("value", v)
		}
		if o.Has(name) {
			if err := t.charge(int64(o.Len()) * fieldBytes); err != nil {
				return err
			}
			*o = *o.Without(name)
		}
	}
	return nil
}

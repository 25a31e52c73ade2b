package expr

import "github.com/rayorch/rayorch/internal/value"

// tree is a compiled template: a JSON value of which some parts are evaluated. At most one of leaf, object and array is set.
// If none is, the part is a constant, which all results share.
type tree struct {
	leaf     leaf
	keys     []string
	object   []tree
	array    []tree
	constant any
}

// leaf is an expression or a query in a template.
type leaf interface {
	eval(s *Scope) (any, error)
	variables(add func(string))
}

func (t *tree) isConstant() bool { return t.leaf == nil && t.object == nil && t.array == nil }

// treeOf returns parts, or the original value whole if all of them are constant.
func treeOf(parts tree, whole any) tree {
	for _, children := range [][]tree{parts.array, parts.object} {
		for i := range children {
			if !children[i].isConstant() {
				return parts
			}
		}
	}
	return tree{constant: whole}
}

// each visits the leaves in their order in the template.
func (t *tree) each(visit func(leaf)) {
	if t.leaf != nil {
		visit(t.leaf)
	}
	for i := range t.array {
		t.array[i].each(visit)
	}
	for i := range t.object {
		t.object[i].each(visit)
	}
}

// variables returns the names of the workflow variables that the leaves use, without $, sorted.
func (t *tree) variables() []string {
	return collect(func(add func(string)) { t.each(func(l leaf) { l.variables(add) }) })
}

// eval stops at the first leaf that fails, so that the error has one location. If a key occurs twice, its last value is kept.
func (t *tree) eval(s *Scope, left *budget) (any, error) {
	switch {
	case t.leaf != nil:
		v, err := t.leaf.eval(s)
		if err != nil {
			return nil, err
		}
		return v, left.take(v)
	case t.object != nil:
		out := value.NewObject(len(t.object))
		for i := range t.object {
			v, err := t.object[i].eval(s, left)
			if err != nil {
				return nil, err
			}
			out.Set(t.keys[i], v)
		}
		return out, nil
	case t.array != nil:
		out := make([]any, len(t.array))
		for i := range t.array {
			v, err := t.array[i].eval(s, left)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	return t.constant, nil
}

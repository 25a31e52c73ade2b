package expr

import "github.com/rayorch/rayorch/internal/value"

// tree is a compiled template: a JSON value of which some parts are evaluated. At most one of leaf, object and array is set; otherwise
// the part is constant, so that evaluation shares it.
type tree struct {
	leaf     leaf
	keys     []string
	object   []tree
	array    []tree
	constant any
}

// leaf is an expression or a query at its place in a template.
type leaf interface {
	eval(s *Scope) (any, error)
	variables(add func(string))
}

func (t *tree) isConstant() bool { return t.leaf == nil && t.object == nil && t.array == nil }

// treeOf is an array or an object of parts, or whole, as it was written, if no part is evaluated.
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

// each visits the leaves in the order of the text.
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

// variables are the names of the variables that the leaves take from outside, without $, sorted.
func (t *tree) variables() []string {
	return collect(func(add func(string)) { t.each(func(l leaf) { l.variables(add) }) })
}

// eval stops at the first leaf that fails, in the order of the text: one location is reported. Of a key given twice the later one stays.
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

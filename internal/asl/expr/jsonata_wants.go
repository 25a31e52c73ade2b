package expr

import "github.com/rayorch/rayorch/internal/value"

// wants says which part of a value an expression can see: $states.input.a.b sees nothing of the input beside a.b, so
// nothing else is given to the library. A nil *wants is nothing at all.
type wants struct {
	all   bool
	names map[string]*wants
}

// child is what is wanted of one field; asking for it makes it wanted.
func (w *wants) child(name string) *wants {
	if w.names == nil {
		w.names = map[string]*wants{}
	}
	c := w.names[name]
	if c == nil {
		c = &wants{}
		w.names[name] = c
	}
	return c
}

// want notes the path that starts at the variable at the walker's position.
func (w *walker) want(variable string) {
	here := w.roots.child(variable)
	for i := w.pos + 1; w.isOp(i, "."); i += 2 {
		next := w.at(i + 1)
		if next.kind != tokenName || w.isOp(i+2, "(") {
			break
		}
		here = here.child(next.text)
	}
	here.all = true
}

// toLibrary turns what is wanted of a value into what the library evaluates.
func (w *wants) toLibrary(v any) any {
	o, ok := v.(*value.Object)
	if !ok || w.all {
		return toLibrary(v)
	}
	m := newOrderedMap()
	for i := range o.Len() {
		k, item := o.At(i)
		if c := w.names[k]; c != nil {
			m.Set(k, c.toLibrary(item))
		}
	}
	return m
}

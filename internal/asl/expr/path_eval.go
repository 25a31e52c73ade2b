package expr

import (
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxPathSteps bounds the work of an indefinite path, because nested filters and scans multiply. Ten million nodes take about
// a second, and a useful path over a payload visits far fewer.
const maxPathSteps = 10_000_000

// pathEval collects the nodes that an indefinite path matches.
type pathEval struct {
	path   *Path
	root   any
	out    []any
	budget int
}

// spend counts n visited nodes.
func (e *pathEval) spend(n int) error {
	if e.budget -= n; e.budget < 0 {
		return &Error{Name: stepfn.StatesRuntime, Cause: "The path '" + e.path.text + "' visits too many nodes"}
	}
	return nil
}

// run applies the remaining steps to v and collects the results. In an indefinite path, a step that does not match is not an
// error. Each step calls run again for every node that it selects.
func (e *pathEval) run(v any, steps []step) error {
	if err := e.spend(1); err != nil {
		return err
	}
	if len(steps) == 0 {
		e.out = append(e.out, v)
		return nil
	}
	s, rest := &steps[0], steps[1:]
	switch s.kind {
	case stepName:
		return e.name(v, s.name, rest)
	case stepNames:
		return e.names(v, s.names, rest)
	case stepScan:
		return e.scan(v, rest)
	case stepWildcard:
		return e.children(v, rest)
	case stepFilter:
		return e.filter(v, s.filter, rest)
	default:
		return e.elements(v, s, rest)
	}
}

// name selects a field.
func (e *pathEval) name(v any, name string, rest []step) error {
	o, ok := v.(*value.Object)
	if !ok {
		return nil
	}
	if child, ok := o.Get(name); ok {
		return e.run(child, rest)
	}
	return nil
}

// names selects several fields, which form one object.
func (e *pathEval) names(v any, names []string, rest []step) error {
	if err := e.path.leaf(len(e.path.steps)-len(rest)-1, v); err != nil {
		return err
	}
	if o, ok := v.(*value.Object); ok {
		return e.run(pick(o, names), nil)
	}
	return nil
}

// elements selects indices in the given order, or a slice in the order of the array.
func (e *pathEval) elements(v any, s *step, rest []step) error {
	a, ok := v.([]any)
	if !ok {
		return nil
	}
	if s.kind == stepSlice {
		for _, item := range s.slice.of(a) {
			if err := e.run(item, rest); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range s.indices {
		if item, ok := at(a, i); ok {
			if err := e.run(item, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// of returns the slice of an array. Bounds beyond its ends are moved to the ends, as in Jayway.
func (s slice) of(a []any) []any {
	from, to := 0, len(a)
	if s.hasFrom {
		from = bound(s.from, len(a))
	}
	if s.hasTo {
		to = bound(s.to, len(a))
	}
	if from >= to {
		return nil
	}
	return a[from:to]
}

// bound limits an index to the range 0 to n. A negative index counts from the end.
func bound(i, n int) int {
	if i < 0 {
		i += n
	}
	return max(0, min(i, n))
}

// children selects all elements of an array, or all fields of an object in their order.
func (e *pathEval) children(v any, rest []step) error {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := e.run(item, rest); err != nil {
				return err
			}
		}
	case *value.Object:
		for i := range v.Len() {
			_, item := v.At(i)
			if err := e.run(item, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// filter selects the elements of an array, or the object itself, that match the condition.
func (e *pathEval) filter(v any, f filter, rest []step) error {
	candidates, ok := v.([]any)
	if !ok {
		if _, ok := v.(*value.Object); !ok {
			return nil
		}
		candidates = []any{v}
	}
	for _, item := range candidates {
		keep, err := f.match(e, item)
		if err != nil {
			return err
		}
		if keep {
			if err := e.run(item, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan applies the rest to v and to everything inside it, parents first.
func (e *pathEval) scan(v any, rest []step) error {
	if err := e.spend(1); err != nil {
		return err
	}
	if fits(v, rest) {
		if err := e.run(v, rest); err != nil {
			return err
		}
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := e.scan(item, rest); err != nil {
				return err
			}
		}
	case *value.Object:
		for i := range v.Len() {
			_, item := v.At(i)
			if err := e.scan(item, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// fits reports whether a scan applies the next step to v. If the last step is a list of names, v must have all of them. A
// filter is applied to each object, but not to arrays.
func fits(v any, rest []step) bool {
	o, object := v.(*value.Object)
	switch s := &rest[0]; s.kind {
	case stepFilter:
		return object
	case stepNames:
		if !object {
			return false
		}
		for _, n := range s.names {
			if len(rest) == 1 && !o.Has(n) {
				return false
			}
		}
	}
	return true
}

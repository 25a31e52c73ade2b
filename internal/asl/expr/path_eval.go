package expr

import (
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxPathSteps bounds the work of one indefinite path: filters and scans inside each other multiply.
const maxPathSteps = 10_000_000

// pathEval collects what an indefinite path names.
type pathEval struct {
	path   *Path
	root   any
	out    []any
	budget int
}

// spend counts places visited. Ten million take about a second, and no honest path over a payload needs as many.
func (e *pathEval) spend(n int) error {
	if e.budget -= n; e.budget < 0 {
		return &Error{Name: stepfn.StatesRuntime, Cause: "The path '" + e.path.text + "' visits too many places"}
	}
	return nil
}

// run takes the remaining steps from v and collects what they reach. What does not fit an indefinite path is skipped.
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

// name goes into a field. That it is missing is no error in an indefinite path.
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

// names takes a union of names, which gives one object.
func (e *pathEval) names(v any, names []string, rest []step) error {
	if err := e.path.leaf(len(e.path.steps)-len(rest)-1, v); err != nil {
		return err
	}
	if o, ok := v.(*value.Object); ok {
		return e.run(pick(o, names), nil)
	}
	return nil
}

// elements takes indices in the order given, and a slice in that of the array.
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

// of cuts an array; bounds beyond its ends are moved to them, as Jayway does.
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

// bound is an index, from the end when negative, within 0 and n.
func bound(i, n int) int {
	if i < 0 {
		i += n
	}
	return max(0, min(i, n))
}

// children takes all elements, or all fields in their order; other values have none.
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

// filter keeps the elements of an array, or the object itself, that satisfy the condition.
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

// scan takes the rest from v and from everything below it, parents first.
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

// fits says whether a scan takes the step after it from v: names at the end must all be there, and a filter judges
// each object by itself and no array.
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

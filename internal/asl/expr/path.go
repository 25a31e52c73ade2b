package expr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Source is the root that a path starts from.
type Source int

const (
	// FromInput is a path that starts with $: the state's input.
	FromInput Source = iota
	// FromContext is a path that starts with $$: the context object.
	FromContext
	// FromVariable is a path that starts with $name: a workflow variable.
	FromVariable
)

// Path is a compiled JSONPath with the semantics of Jayway's implementation, which Step Functions uses: a definite path
// yields a value or an error, an indefinite path yields an array, and ['a','b'] at the end yields one object.
type Path struct {
	text      string
	source    Source
	variable  string
	steps     []step
	function  *function // .length() or another function at the end; may be nil
	definite  bool
	reference bool
}

// step is one part of a path. The kind determines which field is used.
type step struct {
	kind    stepKind
	name    string   // stepName
	names   []string // stepNames: ['a','b']
	indices []int    // stepIndices: [1], [1,2]
	slice   slice    // stepSlice
	filter  filter   // stepFilter
}

// stepKind is the kind of a step.
type stepKind int

const (
	stepName stepKind = iota
	stepNames
	stepIndices
	stepSlice
	stepWildcard
	stepFilter
	stepScan // ..
)

// slice is [from:to]. Both bounds are optional; a negative one counts from the end.
type slice struct {
	from, to       int
	hasFrom, hasTo bool
}

// Text returns the path as it is written.
func (p *Path) Text() string { return p.text }

// Source returns the root that the path starts from.
func (p *Path) Source() Source { return p.source }

// Variable returns the name of the variable, without $, if Source is FromVariable.
func (p *Path) Variable() string { return p.variable }

// Root reports whether the path is only a root, such as $.
func (p *Path) Root() bool { return len(p.steps) == 0 && p.function == nil }

// Definite reports whether the path can match at most one node: it yields a value or an error. Other paths yield an array.
func (p *Path) Definite() bool { return p.definite }

// Reference reports whether the path is a reference path, as ResultPath requires: only names and single indices.
func (p *Path) Reference() bool { return p.reference }

// Resolve evaluates the path from its root in the scope. A missing variable is an *Error.
func (p *Path) Resolve(s *Scope) (any, error) {
	root, err := p.root(s)
	if err != nil {
		return nil, err
	}
	return p.Eval(root)
}

// root returns the value that the path starts from.
func (p *Path) root(s *Scope) (any, error) {
	switch p.source {
	case FromContext:
		root, ok := s.context()
		if !ok {
			return nil, &Error{Name: stepfn.StatesRuntime, Cause: "the context object is not available for the path '" + p.text + "'"}
		}
		return root, nil
	case FromVariable:
		v, ok := s.variable(p.variable)
		if !ok {
			return nil, &Error{Name: stepfn.StatesRuntime, Cause: "the variable '$" + p.variable + "' in the path '" + p.text + "' has no value"}
		}
		return v, nil
	case FromInput:
	}
	if s.Input == nil {
		return nil, &Error{Name: stepfn.StatesRuntime, Cause: "Unable to apply Path transformation to null or empty input."}
	}
	return s.Input, nil
}

// NotFound returns the error of a definite path that matches nothing, for fields whose name Step Functions reports.
func (p *Path) NotFound(s *Scope, field string) error {
	root, err := p.root(s)
	if err != nil {
		return err
	}
	return &Error{Name: stepfn.StatesRuntime, Cause: "The JSONPath '" + p.text + "' specified for the field '" + field +
		"' could not be found in the input '" + value.Text(root) + "'"}
}

// Eval evaluates the path on its root. If a definite path matches nothing, the error is a *NoResultsError.
func (p *Path) Eval(root any) (any, error) {
	if p.function != nil {
		return p.evalFunction(root)
	}
	return p.eval(root, root)
}

// eval evaluates the steps from here. root is needed for filters that contain $.
func (p *Path) eval(here, root any) (any, error) {
	if p.definite {
		return p.walk(here)
	}
	e := pathEval{path: p, root: root, out: []any{}, budget: maxPathSteps}
	if err := e.run(here, p.steps); err != nil {
		return nil, err
	}
	return e.out, nil
}

// walk evaluates a definite path.
func (p *Path) walk(v any) (any, error) {
	for i := range p.steps {
		if err := p.leaf(i, v); err != nil {
			return nil, err
		}
		next, found := p.steps[i].only(v)
		if !found {
			return nil, p.missing(i, v)
		}
		v = next
	}
	return v, nil
}

// leaf returns an error if step i selects several properties of an object and is not the last step. Step Functions reports
// this only when the evaluation reaches the step.
func (p *Path) leaf(i int, v any) error {
	if p.steps[i].kind != stepNames || i == len(p.steps)-1 {
		return nil
	}
	if _, ok := v.(*value.Object); !ok {
		return nil
	}
	return &Error{Name: stepfn.StatesRuntime, Cause: "Invalid path '" + p.text + "' : Multi properties can only be used as path leafs: " +
		p.bracketed(i+1)}
}

// only applies a step that selects at most one node.
func (s *step) only(v any) (any, bool) {
	switch s.kind {
	case stepName:
		o, ok := v.(*value.Object)
		if !ok {
			return nil, false
		}
		return o.Get(s.name)
	case stepNames:
		o, ok := v.(*value.Object)
		if !ok {
			return nil, false
		}
		return pick(o, s.names), true
	default:
		a, ok := v.([]any)
		if !ok {
			return nil, false
		}
		return at(a, s.indices[0])
	}
}

// pick returns an object with the given names. Missing names are omitted, as in Jayway.
func pick(o *value.Object, names []string) *value.Object {
	out := value.NewObject(len(names))
	for _, n := range names {
		if v, ok := o.Get(n); ok {
			out.Set(n, v)
		}
	}
	return out
}

// at returns an element of an array. A negative index counts from the end.
func at(a []any, i int) (any, bool) {
	if i < 0 {
		i += len(a)
	}
	if i < 0 || i >= len(a) {
		return nil, false
	}
	return a[i], true
}

// FirstMissing returns the name of the first step of a reference path that matches nothing in the input v; "" if there is none.
func (p *Path) FirstMissing(v any) string {
	if !p.reference || p.source != FromInput {
		return ""
	}
	for i := range p.steps {
		if p.steps[i].kind != stepName {
			return ""
		}
		o, _ := v.(*value.Object)
		next, ok := any(nil), false
		if o != nil {
			next, ok = o.Get(p.steps[i].name)
		}
		if !ok {
			return p.steps[i].name
		}
		v = next
	}
	return ""
}

// missing returns the error for step i, which matches nothing in v, in Jayway's wording: it differs between the last step and
// those before it.
func (p *Path) missing(i int, v any) *NoResultsError {
	e := &NoResultsError{Path: p.text, At: p.bracketed(len(p.steps))}
	last := i == len(p.steps)-1
	switch v.(type) {
	case *value.Object:
		if !last {
			e.Msg = "Missing property in path " + p.bracketed(i+1)
		}
	case []any:
		e.pastEnd = last && p.steps[i].kind == stepIndices
	}
	if _, isArray := v.([]any); p.steps[i].kind == stepIndices && !isArray && v != nil {
		e.library = func() string {
			return fmt.Sprintf("Filter: [%d] can only be applied to arrays. Current context is: %s", p.steps[i].indices[0], javaText(v))
		}
	}
	return e
}

// bracketed returns the first n steps of the path in the bracket notation of error messages.
func (p *Path) bracketed(n int) string {
	var b strings.Builder
	b.WriteByte('$')
	for i := range p.steps[:min(n, len(p.steps))] {
		switch s := &p.steps[i]; s.kind {
		case stepName:
			b.WriteString("['" + s.name + "']")
		case stepNames:
			b.WriteString("['" + strings.Join(s.names, "','") + "']")
		case stepIndices:
			b.WriteByte('[')
			for j, n := range s.indices {
				if j > 0 {
					b.WriteByte(',')
				}
				b.WriteString(strconv.Itoa(n))
			}
			b.WriteByte(']')
		case stepSlice:
			b.WriteString(s.slice.String())
		case stepWildcard:
			b.WriteString("[*]")
		case stepFilter:
			b.WriteString("[?]")
		case stepScan:
			b.WriteString("..")
		}
	}
	return b.String()
}

// String returns the slice in brackets.
func (s slice) String() string {
	text := "["
	if s.hasFrom {
		text += strconv.Itoa(s.from)
	}
	text += ":"
	if s.hasTo {
		text += strconv.Itoa(s.to)
	}
	return text + "]"
}

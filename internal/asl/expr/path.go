package expr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Source says what a path starts from.
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
// yields a value or fails, an indefinite one yields an array, ['a','b'] at the end yields one object.
type Path struct {
	text      string
	source    Source
	variable  string
	steps     []step
	function  *function // trailing .length() and the like
	definite  bool
	reference bool
}

// step is one part of a path. Exactly one kind applies.
type step struct {
	kind    stepKind
	name    string   // stepName
	names   []string // stepNames: ['a','b']
	indices []int    // stepIndices: [1], [1,2]
	slice   slice    // stepSlice
	filter  filter   // stepFilter
}

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

type slice struct {
	from, to       int
	hasFrom, hasTo bool
}

// Text is the path as written.
func (p *Path) Text() string { return p.text }

// Source says what the path starts from.
func (p *Path) Source() Source { return p.source }

// Variable is the variable's name, without $, when Source is FromVariable.
func (p *Path) Variable() string { return p.variable }

// Root says that the path names its whole root.
func (p *Path) Root() bool { return len(p.steps) == 0 && p.function == nil }

// Definite says that the path names at most one place: it then yields a value or fails; else it yields an array.
func (p *Path) Definite() bool { return p.definite }

// Reference says that the path is a reference path: names and single indices only, as ResultPath demands.
func (p *Path) Reference() bool { return p.reference }

// Resolve evaluates the path on the root that its source names. A variable that is not there is an *Error.
func (p *Path) Resolve(s *Scope) (any, error) {
	root, err := p.root(s)
	if err != nil {
		return nil, err
	}
	return p.Eval(root)
}

// root is the value that the path starts from.
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

// NotFound is the error of a definite path that leads nowhere, where Step Functions names the field that it stands in.
func (p *Path) NotFound(s *Scope, field string) error {
	root, err := p.root(s)
	if err != nil {
		return err
	}
	return &Error{Name: stepfn.StatesRuntime, Cause: "The JSONPath '" + p.text + "' specified for the field '" + field +
		"' could not be found in the input '" + value.Text(root) + "'"}
}

// Eval evaluates the path on its root. A definite path that leads nowhere gives a *NoResultsError.
func (p *Path) Eval(root any) (any, error) {
	if p.function != nil {
		return p.evalFunction(root)
	}
	return p.eval(root, root)
}

// eval evaluates the steps from here; the root of the document serves filters ($ inside them).
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

// walk follows a definite path.
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

// leaf refuses to go on behind several properties of an object, as Step Functions does when it gets there.
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

// only takes a step that names one place.
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

// pick makes the object of a union of names; names that are missing are left out, as Jayway's multi-property step does.
func pick(o *value.Object, names []string) *value.Object {
	out := value.NewObject(len(names))
	for _, n := range names {
		if v, ok := o.Get(n); ok {
			out.Set(n, v)
		}
	}
	return out
}

// at is an element of an array; a negative index counts from the end.
func at(a []any, i int) (any, bool) {
	if i < 0 {
		i += len(a)
	}
	if i < 0 || i >= len(a) {
		return nil, false
	}
	return a[i], true
}

// Stuck is the name of the first step of a reference path into the input that v has nothing for; empty where there is none.
func (p *Path) Stuck(v any) string {
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

// missing tells why step i cannot be taken from v, in Jayway's words: what is missing at the end gives no results, what
// is missing before it is named.
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

// bracketed is the path's first n steps in the bracket notation of error texts.
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

// String is the slice in brackets.
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

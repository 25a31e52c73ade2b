package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Query is what stands in a field that ends in ".$", and in Fail's paths: a path, or a call of an intrinsic function.
type Query struct {
	path *Path
	call *Intrinsic
}

// CompileQuery reads a path ($...) or a call (States.F(...)).
func CompileQuery(text string) (*Query, error) {
	if strings.HasPrefix(text, "$") {
		p, err := CompilePath(text)
		return &Query{path: p}, err
	}
	f, err := CompileIntrinsic(text)
	return &Query{call: f}, err
}

// Path is the query's path, nil when it is a call.
func (q *Query) Path() *Path { return q.path }

// Text is the query as written.
func (q *Query) Text() string {
	if q.path != nil {
		return q.path.text
	}
	return q.call.text
}

// Eval evaluates the query. A definite path that leads nowhere gives a *NoResultsError; all else that fails is an *Error.
func (q *Query) Eval(s *Scope) (any, error) {
	if q.path != nil {
		return q.path.Resolve(s)
	}
	return q.call.Eval(s)
}

// Variables are the names of the variables that the query references, without $, sorted.
func (q *Query) Variables() []string { return collect(q.variables) }

func (q *Query) variables(add func(string)) {
	if q.call != nil {
		q.call.variables(add)
	} else if q.path != nil && q.path.source == FromVariable {
		add(q.path.variable)
	}
}

// collect gathers names, each once.
func collect(visit func(add func(string))) []string {
	seen := map[string]bool{}
	names := []string{}
	visit(func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return names
}

// Template is a compiled payload template: Parameters, ResultSelector, ItemSelector, Assign.
type Template struct{ root node }

// node is a part of a template. At most one of query, object and array is set; else the part is constant.
type node struct {
	query    *Query
	key      string // the field that the query stands in, with its .$
	keys     []string
	object   []node
	array    []node
	constant any
}

// TemplateError says which field of a template cannot be compiled.
type TemplateError struct {
	Pointer string // the object that holds the field, as /a/0; empty for the template itself
	Field   string // with its .$
	Err     error
}

func (e *TemplateError) Error() string { return fmt.Sprintf("%s/%s: %v", e.Pointer, e.Field, e.Err) }

func (e *TemplateError) Unwrap() error { return e.Err }

// CompileTemplate reads a payload template. The error is a *TemplateError; CompileTemplateAll gives all of them.
func CompileTemplate(v any) (*Template, error) {
	t, errs := CompileTemplateAll(v)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return t, nil
}

// CompileTemplateAll reads a payload template and gives every error in it.
func CompileTemplateAll(v any) (*Template, []*TemplateError) {
	var c templateCompiler
	root := c.compile(v, "")
	return &Template{root}, c.errs
}

type templateCompiler struct{ errs []*TemplateError }

func (c *templateCompiler) compile(v any, pointer string) node {
	switch v := v.(type) {
	case []any:
		return c.array(v, pointer)
	case *value.Object:
		return c.object(v, pointer)
	}
	return node{constant: v}
}

// array keeps an array without queries as it is, so that evaluation shares it.
func (c *templateCompiler) array(a []any, pointer string) node {
	n := node{array: make([]node, len(a))}
	constant := true
	for i, item := range a {
		n.array[i] = c.compile(item, fmt.Sprintf("%s/%d", pointer, i))
		constant = constant && n.array[i].isConstant()
	}
	if constant {
		return node{constant: a}
	}
	return n
}

// object takes keys that end in .$ for queries, and keeps an object without any as it is.
func (c *templateCompiler) object(o *value.Object, pointer string) node {
	n := node{object: make([]node, o.Len()), keys: make([]string, o.Len())}
	constant := true
	for i := range o.Len() {
		k, item := o.At(i)
		if bare, ok := strings.CutSuffix(k, ".$"); ok {
			n.keys[i], n.object[i] = bare, c.field(k, item, pointer)
		} else {
			n.keys[i], n.object[i] = k, c.compile(item, pointer+"/"+k)
		}
		constant = constant && n.object[i].isConstant()
	}
	if constant {
		return node{constant: o}
	}
	return n
}

// field compiles the value of a key that ends in .$. After an error the node only keeps its place: nobody evaluates it.
func (c *templateCompiler) field(key string, v any, pointer string) node {
	text, ok := v.(string)
	if !ok {
		c.errs = append(c.errs, &TemplateError{pointer, key, fmt.Errorf("must be a string that holds a path or a call")})
		return node{query: &Query{}}
	}
	q, err := CompileQuery(text)
	if err != nil {
		c.errs = append(c.errs, &TemplateError{pointer, key, err})
	}
	return node{query: q, key: key}
}

func (n *node) isConstant() bool { return n.query == nil && n.object == nil && n.array == nil }

// Eval gives the payload. Every error is an *Error.
func (t *Template) Eval(s *Scope) (any, error) {
	left := budget(maxBuilt)
	return t.root.eval(s, &left)
}

// Constant gives the payload of a template that holds no queries.
func (t *Template) Constant() (any, bool) { return t.root.constant, t.root.isConstant() }

// Variables are the names of the variables that the template references, without $, sorted.
func (t *Template) Variables() []string { return collect(t.root.variables) }

func (n *node) variables(add func(string)) {
	if n.query != nil {
		n.query.variables(add)
	}
	for i := range n.array {
		n.array[i].variables(add)
	}
	for i := range n.object {
		n.object[i].variables(add)
	}
}

// eval keeps the order of keys; of a key given with and without .$ the later one stays.
func (n *node) eval(s *Scope, left *budget) (any, error) {
	switch {
	case n.query != nil:
		v, err := n.evalQuery(s)
		if err != nil {
			return nil, err
		}
		return v, left.take(v)
	case n.object != nil:
		out := value.NewObject(len(n.object))
		for i := range n.object {
			v, err := n.object[i].eval(s, left)
			if err != nil {
				return nil, err
			}
			out.Set(n.keys[i], v)
		}
		return out, nil
	case n.array != nil:
		out := make([]any, len(n.array))
		for i := range n.array {
			v, err := n.array[i].eval(s, left)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	return n.constant, nil
}

// evalQuery evaluates one field. An index past the end of an array gives null here, and only here (seen on AWS).
func (n *node) evalQuery(s *Scope) (any, error) {
	v, err := n.query.Eval(s)
	var missing *NoResultsError
	if !errors.As(err, &missing) {
		return v, err
	}
	if missing.pastEnd {
		return nil, nil
	}
	return nil, n.query.path.NotFound(s, n.key)
}

package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Query is the value of a field that ends in ".$", and of ErrorPath and CausePath: a path, or a call of an intrinsic
// function.
type Query struct {
	path *Path
	call *Intrinsic
}

// CompileQuery compiles a path ($...) or a call (States.F(...)).
func CompileQuery(text string) (*Query, error) {
	if strings.HasPrefix(text, "$") {
		p, err := CompilePath(text)
		return &Query{path: p}, err
	}
	f, err := CompileIntrinsic(text)
	return &Query{call: f}, err
}

// Path returns the path, or nil if the query is a call.
func (q *Query) Path() *Path { return q.path }

// Text returns the query as it is written.
func (q *Query) Text() string {
	if q.path != nil {
		return q.path.text
	}
	return q.call.text
}

// Eval evaluates the query. If a definite path matches nothing, the error is a *NoResultsError; any other error is an *Error.
func (q *Query) Eval(s *Scope) (any, error) {
	if q.path != nil {
		return q.path.Resolve(s)
	}
	return q.call.Eval(s)
}

// Variables returns the names of the workflow variables that the query uses, without $, sorted.
func (q *Query) Variables() []string { return collect(q.variables) }

func (q *Query) variables(add func(string)) {
	if q.call != nil {
		q.call.variables(add)
	} else if q.path != nil && q.path.source == FromVariable {
		add(q.path.variable)
	}
}

// collect returns the distinct names that visit adds, sorted.
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
type Template struct{ root tree }

// field is a query and the name of its field, including .$.
type field struct {
	query *Query
	key   string
}

func (f *field) variables(add func(string)) { f.query.variables(add) }

// TemplateError is the error of one field of a template.
type TemplateError struct {
	Pointer string // the object that contains the field, such as /a/0; empty for the template itself
	Field   string // including .$
	Err     error
}

func (e *TemplateError) Error() string { return fmt.Sprintf("%s/%s: %v", e.Pointer, e.Field, e.Err) }

func (e *TemplateError) Unwrap() error { return e.Err }

// CompileTemplate compiles a payload template. An error is a *TemplateError, the first of those that CompileTemplateAll
// returns.
func CompileTemplate(v any) (*Template, error) {
	t, errs := CompileTemplateAll(v)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return t, nil
}

// CompileTemplateAll compiles a payload template and returns all errors.
func CompileTemplateAll(v any) (*Template, []*TemplateError) {
	var c templateCompiler
	root := c.compile(v, "")
	return &Template{root}, c.errs
}

// templateCompiler compiles a payload template, and collects all errors.
type templateCompiler struct{ errs []*TemplateError }

func (c *templateCompiler) compile(v any, pointer string) tree {
	switch v := v.(type) {
	case []any:
		parts := make([]tree, len(v))
		for i, item := range v {
			parts[i] = c.compile(item, fmt.Sprintf("%s/%d", pointer, i))
		}
		return treeOf(tree{array: parts}, v)
	case *value.Object:
		return c.object(v, pointer)
	}
	return tree{constant: v}
}

// object compiles the values of keys that end in .$ as queries.
func (c *templateCompiler) object(o *value.Object, pointer string) tree {
	parts := tree{object: make([]tree, o.Len()), keys: make([]string, o.Len())}
	for i := range o.Len() {
		k, item := o.At(i)
		if bare, ok := strings.CutSuffix(k, ".$"); ok {
			parts.keys[i], parts.object[i] = bare, c.field(k, item, pointer)
		} else {
			parts.keys[i], parts.object[i] = k, c.compile(item, pointer+"/"+k)
		}
	}
	return treeOf(parts, o)
}

// field compiles the value of a key that ends in .$. After an error the result is only a placeholder, and is never evaluated.
func (c *templateCompiler) field(key string, v any, pointer string) tree {
	text, ok := v.(string)
	if !ok {
		c.errs = append(c.errs, &TemplateError{pointer, key, errors.New("must be a string with a path or a call of an intrinsic function")})
		return tree{leaf: &field{query: &Query{}}}
	}
	q, err := CompileQuery(text)
	if err != nil {
		c.errs = append(c.errs, &TemplateError{pointer, key, err})
	}
	return tree{leaf: &field{q, key}}
}

// Eval evaluates the template. An error is an *Error.
func (t *Template) Eval(s *Scope) (any, error) {
	left := budget(maxBuilt)
	return t.root.eval(s, &left)
}

// Constant returns the value of a template without queries; false if it has any.
func (t *Template) Constant() (any, bool) { return t.root.constant, t.root.isConstant() }

// Variables returns the names of the workflow variables that the template uses, without $, sorted.
func (t *Template) Variables() []string { return t.root.variables() }

// eval evaluates one field. Only in a template, an index past the end of an array gives null (observed on AWS).
func (f *field) eval(s *Scope) (any, error) {
	v, err := f.query.Eval(s)
	var missing *NoResultsError
	if !errors.As(err, &missing) {
		return v, err
	}
	if missing.pastEnd {
		return nil, nil
	}
	return nil, f.query.path.NotFound(s, f.key)
}

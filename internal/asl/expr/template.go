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
type Template struct{ root tree }

// field is a query and the field that it stands in, with its .$.
type field struct {
	query *Query
	key   string
}

func (f *field) variables(add func(string)) { f.query.variables(add) }

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

// object takes keys that end in .$ for queries.
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

// field compiles the value of a key that ends in .$. After an error the part only keeps its place: nobody evaluates it.
func (c *templateCompiler) field(key string, v any, pointer string) tree {
	text, ok := v.(string)
	if !ok {
		c.errs = append(c.errs, &TemplateError{pointer, key, fmt.Errorf("must be a string that holds a path or a call")})
		return tree{leaf: &field{query: &Query{}}}
	}
	q, err := CompileQuery(text)
	if err != nil {
		c.errs = append(c.errs, &TemplateError{pointer, key, err})
	}
	return tree{leaf: &field{q, key}}
}

// Eval gives the payload. Every error is an *Error.
func (t *Template) Eval(s *Scope) (any, error) {
	left := budget(maxBuilt)
	return t.root.eval(s, &left)
}

// Constant gives the payload of a template that holds no queries.
func (t *Template) Constant() (any, bool) { return t.root.constant, t.root.isConstant() }

// Variables are the names of the variables that the template references, without $, sorted.
func (t *Template) Variables() []string { return t.root.variables() }

// eval evaluates one field. An index past the end of an array gives null here, and only here (seen on AWS).
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

package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// JSONata is a compiled JSONata expression in the dialect of Step Functions: version 2.0.6 of the language without $eval, but
// with the functions $partition, $range, $hash, $random, $uuid and $parse.
type JSONata struct {
	text        string
	expr        *jsonata.Expr
	free        []string // the variables of the workflow that it uses
	states      []string // see States
	unsupported []*SyntaxError
}

// JSONataBody returns the expression inside {% %}, if the string has this form.
func JSONataBody(s string) (body string, ok bool) {
	if len(s) < 4 || !strings.HasPrefix(s, "{%") || !strings.HasSuffix(s, "%}") {
		return "", false
	}
	return strings.TrimSpace(s[2 : len(s)-2]), true
}

// CompileJSONata compiles an expression without {% %}. An error is a *SyntaxError.
func CompileJSONata(body string) (*JSONata, error) {
	x, err := jsonata.Compile(body)
	var coded *jsonata.Error
	var rejected *jsonata.CompileError
	switch {
	case errors.As(err, &coded):
		return nil, &SyntaxError{body, coded.Position, coded.Message()}
	case errors.As(err, &rejected):
		return nil, &SyntaxError{body, rejected.Position, rejected.Text}
	case err != nil:
		return nil, &SyntaxError{body, 0, err.Error()}
	}
	j := &JSONata{text: body, expr: x}
	x.Refs(j.refer)
	slices.SortStableFunc(j.unsupported, func(a, b *SyntaxError) int { return a.Offset - b.Offset })
	return j, nil
}

// refer records a reference in the expression. References to the context item are unsupported, because expressions in a
// definition have none.
func (j *JSONata) refer(r jsonata.Ref) {
	switch {
	case r.Kind == jsonata.RefRoot:
		j.reject(r, "Reference to '$$' is not supported.")
	case r.Kind == jsonata.RefContext:
		j.reject(r, "Reference to '$' at the top level is not supported.")
	case r.Kind == jsonata.RefField:
		j.reject(r, "Reference to '"+r.Name+"' at the top level is not supported.")
	case r.Name == "states":
		j.states = append(j.states, r.Field)
	case !builtinFunctions[r.Name] && !slices.Contains(j.free, r.Name):
		j.free = append(j.free, r.Name)
	}
}

// reject records an unsupported reference; each message only once, as in Step Functions.
func (j *JSONata) reject(r jsonata.Ref, msg string) {
	if !slices.ContainsFunc(j.unsupported, func(e *SyntaxError) bool { return e.Msg == msg }) {
		j.unsupported = append(j.unsupported, &SyntaxError{j.text, r.Position, msg})
	}
}

// Text returns the expression as it is written, without {% %}.
func (j *JSONata) Text() string { return j.text }

// Variables returns the names of the workflow variables that the expression uses, without $, sorted.
func (j *JSONata) Variables() []string { return collect(j.variables) }

func (j *JSONata) variables(add func(string)) {
	for _, name := range j.free {
		add(name)
	}
}

// Unsupported lists the references that Step Functions rejects when a state machine is created: $$, and names that would be
// looked up in a context item. The messages are those of Step Functions.
func (j *JSONata) Unsupported() []*SyntaxError { return j.unsupported }

// States returns the fields of $states that the expression uses, in order. The name "" means that it uses $states as a whole.
func (j *JSONata) States() []string { return j.states }

// Eval evaluates the expression for the field at location, such as "Items". An error is an *Error.
func (j *JSONata) Eval(s *Scope, location string) (any, error) {
	v, defined, err := j.run(s)
	switch {
	case err != nil:
		return nil, j.threw(s, location, err)
	case !defined:
		return nil, j.undefined(location)
	}
	return v, nil
}

// fail returns an error in the wording of Step Functions.
func (j *JSONata) fail(location, what string) *Error {
	return &Error{Name: stepfn.StatesQueryEvaluationError, Location: location,
		Cause: "The JSONata expression '" + j.text + "' specified for the field '" + location + "' " + what}
}

func (j *JSONata) undefined(location string) *Error {
	return j.fail(location, "returned nothing (undefined).")
}

// WrongType returns the error for an expression whose result has another type than its field requires ("array", "number").
func (j *JSONata) WrongType(location, want string, got any) *Error {
	return j.fail(location, "returned an unexpected result type. Expected '"+want+"', but was '"+TypeName(got)+
		"' for value: "+value.Text(got))
}

// TypeName returns the name of a value's type in error messages.
func TypeName(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case string:
		return "string"
	case value.Number:
		return "number"
	case []any:
		return "array"
	case *value.Object:
		return "object"
	}
	return "null"
}

// JSONataTemplate is a JSON value in which strings of the form {% ... %} are expressions: Arguments, Output, Assign.
type JSONataTemplate struct{ root tree }

// located is an expression and the location of its field. The expression is nil if it could not be compiled.
type located struct {
	expr     *JSONata
	location string
}

func (l *located) eval(s *Scope) (any, error) { return l.expr.Eval(s, l.location) }
func (l *located) variables(add func(string)) {
	if l.expr != nil {
		l.expr.variables(add)
	}
}

// CompileJSONataTemplate compiles a template. location is the name of the field, such as "Output". An error is a
// *TemplateError, the first of those that CompileJSONataTemplateAll returns.
func CompileJSONataTemplate(v any, location string) (*JSONataTemplate, error) {
	t, errs := CompileJSONataTemplateAll(v, location)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return t, nil
}

// CompileJSONataTemplateAll compiles a template and returns all errors. Their Pointers are locations: Output/a[0].
func CompileJSONataTemplateAll(v any, location string) (*JSONataTemplate, []*TemplateError) {
	var c dataCompiler
	root := c.compile(v, location)
	return &JSONataTemplate{root}, c.errs
}

// dataCompiler compiles the strings of a JSON value that are expressions, and collects all errors.
type dataCompiler struct{ errs []*TemplateError }

func (c *dataCompiler) compile(v any, location string) tree {
	switch v := v.(type) {
	case string:
		return c.text(v, location)
	case []any:
		parts := make([]tree, len(v))
		for i, item := range v {
			parts[i] = c.compile(item, fmt.Sprintf("%s[%d]", location, i))
		}
		return treeOf(tree{array: parts}, v)
	case *value.Object: // keys cannot be expressions
		parts := make([]tree, v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			parts[i] = c.compile(item, location+"/"+k)
		}
		return treeOf(tree{object: parts, keys: v.Keys()}, v)
	}
	return tree{constant: v}
}

// text compiles a string. A string that is not entirely enclosed in {% %} is a constant, even if it contains {% %}. After an
// error the result is only a placeholder, and is never evaluated.
func (c *dataCompiler) text(s, location string) tree {
	body, ok := JSONataBody(s)
	if !ok {
		return tree{constant: s}
	}
	j, err := CompileJSONata(body)
	if err != nil {
		c.errs = append(c.errs, &TemplateError{Pointer: location, Err: err})
	}
	return tree{leaf: &located{j, location}}
}

// Eval evaluates the template. An error is an *Error with the location of the expression that failed.
func (t *JSONataTemplate) Eval(s *Scope) (any, error) {
	if t.root.leaf != nil {
		return t.root.leaf.eval(s)
	}
	left := budget(maxBuilt)
	return t.root.eval(s, &left)
}

// Constant returns the value of a template without expressions; false if it has any.
func (t *JSONataTemplate) Constant() (any, bool) { return t.root.constant, t.root.isConstant() }

// Expression returns the expression if the template consists of exactly one, else nil.
func (t *JSONataTemplate) Expression() *JSONata {
	if l, ok := t.root.leaf.(*located); ok {
		return l.expr
	}
	return nil
}

// Variables returns the names of the workflow variables that the template uses, without $, sorted.
func (t *JSONataTemplate) Variables() []string { return t.root.variables() }

// Walk visits the expressions and their locations, in order.
func (t *JSONataTemplate) Walk(visit func(location string, j *JSONata)) {
	t.root.each(func(l leaf) {
		if at := l.(*located); at.expr != nil {
			visit(at.location, at.expr)
		}
	})
}

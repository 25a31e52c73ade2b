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

// JSONata is a compiled JSONata expression in the dialect of Step Functions: version 2.0.6 of the language without $eval,
// and with the functions $partition, $range, $hash, $random, $uuid and $parse.
type JSONata struct {
	text        string
	expr        *jsonata.Expr
	free        []string
	states      []string
	unsupported []*SyntaxError
}

// JSONataBody is the expression inside {% %}, when the string is of this form.
func JSONataBody(s string) (body string, ok bool) {
	if len(s) < 4 || !strings.HasPrefix(s, "{%") || !strings.HasSuffix(s, "%}") {
		return "", false
	}
	return strings.TrimSpace(s[2 : len(s)-2]), true
}

// CompileJSONata reads what stands between {% and %}. The error is a *SyntaxError.
func CompileJSONata(body string) (*JSONata, error) {
	x, err := jsonata.Compile(body)
	var coded *jsonata.Error
	var refused *jsonata.CompileError
	switch {
	case errors.As(err, &coded):
		return nil, &SyntaxError{body, coded.Position, coded.Message()}
	case errors.As(err, &refused):
		return nil, &SyntaxError{body, refused.Position, refused.Text}
	case err != nil:
		return nil, &SyntaxError{body, 0, err.Error()}
	}
	j := &JSONata{text: body, expr: x}
	x.Refs(j.refer)
	slices.SortStableFunc(j.unsupported, func(a, b *SyntaxError) int { return a.Offset - b.Offset })
	return j, nil
}

// refer records a reference of the expression. An expression in a definition does not have a context item.
func (j *JSONata) refer(r jsonata.Ref) {
	switch {
	case r.Kind == jsonata.RefRoot:
		j.refuse(r, "Reference to '$$' is not supported.")
	case r.Kind == jsonata.RefContext:
		j.refuse(r, "Reference to '$' at the top level is not supported.")
	case r.Kind == jsonata.RefField:
		j.refuse(r, "Reference to '"+r.Name+"' at the top level is not supported.")
	case r.Name == "states":
		j.states = append(j.states, r.Field)
	case !builtinFunctions[r.Name] && !slices.Contains(j.free, r.Name):
		j.free = append(j.free, r.Name)
	}
}

// refuse reports each message once, as Step Functions does.
func (j *JSONata) refuse(r jsonata.Ref, msg string) {
	if !slices.ContainsFunc(j.unsupported, func(e *SyntaxError) bool { return e.Msg == msg }) {
		j.unsupported = append(j.unsupported, &SyntaxError{j.text, r.Position, msg})
	}
}

// Text is the expression as written, without {% %}.
func (j *JSONata) Text() string { return j.text }

// Variables are the names of the variables that the expression takes from outside, without $, sorted; functions and
// $states are none.
func (j *JSONata) Variables() []string { return collect(j.variables) }

func (j *JSONata) variables(add func(string)) {
	for _, name := range j.free {
		add(name)
	}
}

// Unsupported lists what Step Functions refuses when a definition is made: $$, and names that would be looked up in a
// context item, which no expression has there. Messages are Step Functions' own.
func (j *JSONata) Unsupported() []*SyntaxError { return j.unsupported }

// States are the fields of $states that the expression names (input, result, errorOutput, context and what else is
// written), in order; "" stands for $states as a whole.
func (j *JSONata) States() []string { return j.states }

// Eval evaluates the expression for the field at location, such as "Items". Every error is an *Error.
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

// fail words an error as Step Functions does; the expression shows without its {% %}.
func (j *JSONata) fail(location, what string) *Error {
	return &Error{Name: stepfn.StatesQueryEvaluationError, Location: location,
		Cause: "The JSONata expression '" + j.text + "' specified for the field '" + location + "' " + what}
}

func (j *JSONata) undefined(location string) *Error {
	return j.fail(location, "returned nothing (undefined).")
}

// WrongType is the error for an expression that gave a value of another type than its field wants ("array", "number").
func (j *JSONata) WrongType(location, want string, got any) *Error {
	return j.fail(location, "returned an unexpected result type. Expected '"+want+"', but was '"+TypeName(got)+
		"' for value: "+value.Text(got))
}

// TypeName is what error texts call a value's type.
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

// located is an expression, nil if it could not be compiled, and the location of its field.
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

// CompileJSONataTemplate reads a template. location is the field's name, such as "Output". The error is a *TemplateError.
func CompileJSONataTemplate(v any, location string) (*JSONataTemplate, error) {
	t, errs := CompileJSONataTemplateAll(v, location)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return t, nil
}

// CompileJSONataTemplateAll reads a template and gives every error in it. Pointers are locations: Output/a[0].
func CompileJSONataTemplateAll(v any, location string) (*JSONataTemplate, []*TemplateError) {
	var c dataCompiler
	root := c.compile(v, location)
	return &JSONataTemplate{root}, c.errs
}

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
	case *value.Object: // keys are never expressions
		parts := make([]tree, v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			parts[i] = c.compile(item, location+"/"+k)
		}
		return treeOf(tree{object: parts, keys: v.Keys()}, v)
	}
	return tree{constant: v}
}

// text compiles a string. What is not wrapped in {% %} as a whole stands for itself, even with {% %} inside. After an error the part
// only keeps its place: nobody evaluates it.
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

// Eval gives the value. Every error is an *Error with the location of the expression that failed.
func (t *JSONataTemplate) Eval(s *Scope) (any, error) {
	if t.root.leaf != nil {
		return t.root.leaf.eval(s)
	}
	left := budget(maxBuilt)
	return t.root.eval(s, &left)
}

// Constant gives the value of a template that holds no expressions.
func (t *JSONataTemplate) Constant() (any, bool) { return t.root.constant, t.root.isConstant() }

// Expression is the template's expression when it is nothing but one, else nil.
func (t *JSONataTemplate) Expression() *JSONata {
	if l, ok := t.root.leaf.(*located); ok {
		return l.expr
	}
	return nil
}

// Variables are the names of the variables that the template takes from outside, without $, sorted.
func (t *JSONataTemplate) Variables() []string { return t.root.variables() }

// Walk visits the expressions with their locations, in order.
func (t *JSONataTemplate) Walk(visit func(location string, j *JSONata)) {
	t.root.each(func(l leaf) {
		if at := l.(*located); at.expr != nil {
			visit(at.location, at.expr)
		}
	})
}

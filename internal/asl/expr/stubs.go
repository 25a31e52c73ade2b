package expr

import "errors"

var errTODO = errors.New("not written yet")

// JSONata is a compiled JSONata expression.
type JSONata struct{}

// JSONataBody is the expression inside {% %}, when the string is of this form.
func JSONataBody(s string) (body string, ok bool) { return "", false }

// CompileJSONata reads what stands between {% and %}.
func CompileJSONata(body string) (*JSONata, error) { return nil, errTODO }

// Eval evaluates the expression. location is the field's name for errors, such as "Items". Errors are *Error.
func (j *JSONata) Eval(s *Scope, location string) (any, error) { return nil, errTODO }

// Text is the expression as written.
func (j *JSONata) Text() string { return "" }

// Variables are the names of the variables it references, without $; not states, nor those it binds itself.
func (j *JSONata) Variables() []string { return nil }

// WrongType is the error for an expression that gave a value of another type than its field wants ("array", "number").
func (j *JSONata) WrongType(location, want string, got any) *Error { return nil }

// JSONataTemplate is a JSON value in which strings of the form {% ... %} are expressions: Arguments, Output, Assign.
type JSONataTemplate struct{}

// CompileJSONataTemplate reads one. location is the field's name, such as "Output".
func CompileJSONataTemplate(v any, location string) (*JSONataTemplate, error) { return nil, errTODO }

// Eval gives the value. Errors are *Error with the location of the failing expression.
func (t *JSONataTemplate) Eval(s *Scope) (any, error) { return nil, errTODO }

// Variables are the names of the variables it references, without $.
func (t *JSONataTemplate) Variables() []string { return nil }

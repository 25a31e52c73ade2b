package check

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

// badSyntax returns the syntax error in err, if it has one. Other errors do not concern the definition.
func badSyntax(err error) (*expr.SyntaxError, bool) {
	var s *expr.SyntaxError
	bad := errors.As(err, &s)
	return s, bad
}

// path compiles a string as a JSONPath. If it is invalid, path reports the problem and returns nil.
func path(a at, v any) *expr.Path {
	text, ok := v.(string)
	if !ok {
		a.schema("Expected value of type [STRING]")
		return nil
	}
	p, err := expr.CompilePath(text)
	if err != nil {
		if _, bad := badSyntax(err); bad {
			a.schema("Value must be a valid JSONPath.")
		}
		return nil
	}
	return p
}

// nullablePath also accepts null: an InputPath or OutputPath that is null stands for an empty object.
func nullablePath(a at, v any) {
	if v != nil {
		path(a, v)
	}
}

const notReference = "Value is not a Reference Path"

// referencePath requires a path that identifies exactly one node of the input, of the context object, or of a variable.
func referencePath(a at, v any) {
	text, ok := v.(string)
	if ok && !strings.HasPrefix(text, "$") {
		a.schema(notReference + ": Reference path didn't start with '$'")
		return
	}
	if p := path(a, v); p != nil && !p.Reference() {
		a.schema(notReference)
	}
}

// resultPath requires a reference path into the input, or null.
func resultPath(a at, v any) {
	if v == nil {
		return
	}
	text, _ := v.(string)
	switch {
	case strings.HasPrefix(text, "$$"):
		a.schema(notReference + ": The Context Object cannot be changed")
	case len(text) > 1 && text[0] == '$' && text[1] != '.' && text[1] != '[':
		a.schema(notReference + ": A variable cannot be changed")
	default:
		referencePath(a, v)
	}
}

// pathOrIntrinsic requires a path or a call of an intrinsic function, as in ErrorPath.
func pathOrIntrinsic(a at, v any) {
	text, ok := v.(string)
	if !ok {
		a.schema("Expected value of type [STRING]")
		return
	}
	if _, err := expr.CompileQuery(text); err != nil {
		if _, bad := badSyntax(err); bad {
			a.schema("Value must be a valid JSONPath or a valid intrinsic function call")
		}
	}
}

// template checks a payload template: in JSONPath, every key that ends in .$ has a path or a call of an intrinsic function;
// in JSONata, fields such as ItemSelector contain expressions.
func template(a at, v any) {
	if a.lang == jsonata {
		jsonataTemplate(a, v)
		return
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			template(at{a.c, a.loc + "[" + strconv.Itoa(i) + "]", a.lang}, item)
		}
	case *value.Object:
		for i := range v.Len() {
			if k, item := v.At(i); strings.HasSuffix(k, ".$") {
				if name := strings.TrimSuffix(k, ".$"); v.Has(name) {
					a.schema("The fields '%s' and '%s' stand for the same field", name, k)
				}
				dollarField(a, k, item)
			} else {
				template(a.field(k), item)
			}
		}
	}
}

// dollarField reports problems at the location of the object, and names the field in the message, as AWS does.
func dollarField(a at, key string, v any) {
	text, ok := v.(string)
	if !ok {
		a.schema("The value for the field '%s' must be a STRING that contains a JSONPath but was an %s", key, typeName(v))
		return
	}
	if _, err := expr.CompileQuery(text); err != nil {
		if _, bad := badSyntax(err); bad {
			a.schema("The value for the field '%s' must be a valid JSONPath or a valid intrinsic function call", key)
		}
	}
}

// typeName returns the type of a value in the wording of AWS's messages.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "NULL"
	case bool:
		return "BOOLEAN"
	case value.Number:
		return "NUMBER"
	case []any:
		return "ARRAY"
	case *value.Object:
		return "OBJECT"
	}
	return "STRING"
}

// jsonataTemplate checks the expressions in a value, at any depth.
func jsonataTemplate(a at, v any) {
	switch v := v.(type) {
	case string:
		switch {
		case isExpression(v):
			a.c.jsonata(a.loc, v)
		case strings.HasPrefix(v, "{%"), strings.HasSuffix(v, "%}"): // with white space around it, the text is a plain string
			a.c.schema(a.loc, "JSONata string must start with {% and end with %}")
		}
	case []any:
		for i, item := range v {
			jsonataTemplate(at{a.c, a.loc + "[" + strconv.Itoa(i) + "]", a.lang}, item)
		}
	case *value.Object:
		for i := range v.Len() {
			k, item := v.At(i)
			jsonataTemplate(a.field(k), item)
		}
	}
}

// jsonata checks an expression of the form {% ... %}.
func (c *checker) jsonata(loc, text string) {
	body, ok := expr.JSONataBody(text)
	if !ok {
		return
	}
	e, err := expr.CompileJSONata(body)
	if err != nil {
		if s, bad := badSyntax(err); bad {
			c.add(codeBadJSONata, loc, s.Msg)
		}
		return
	}
	for _, u := range e.Unsupported() {
		c.add(codeUnsupported, loc, u.Msg)
	}
	for _, field := range e.States() {
		known := slices.Contains([]string{"", "input", "context", "result"}, field) || field == "errorOutput" && c.caught
		if !known {
			c.add(codeUnsupported, loc, "Field '$states."+field+"' does not exist.")
		}
	}
}

// timestamp requires RFC 3339 with an uppercase T and a time zone.
func timestamp(a at, v any) {
	text, ok := v.(string)
	if !ok {
		a.schema("Expected value of type [STRING]")
		return
	}
	if _, err := time.Parse(time.RFC3339Nano, text); err != nil || strings.ContainsAny(text, "tz,") {
		a.schema("String does not match RFC3339 timestamp")
	}
}

// assignment checks the names and values of variables in Assign.
func assignment(a at, v any) {
	o, ok := v.(*value.Object)
	if !ok {
		if !isExpression(v) || a.lang != jsonata {
			a.schema("Expected value of type [OBJECT]")
		}
		return
	}
	for _, key := range o.Keys() {
		variableName(a, assignedName(key, a.lang))
	}
	template(a, v)
}

// assignedName returns the name of the variable that a key of Assign sets.
func assignedName(key string, lang language) string {
	if lang == jsonPath {
		return strings.TrimSuffix(key, ".$")
	}
	return key
}

// variableName checks the name of a variable. The only reserved name is states.
func variableName(a at, name string) {
	switch {
	case name == "states":
		a.c.add(codeReserved, a.loc, "Cannot assign to reserved variable '$states'.")
	case len(name) > maxStateName:
		a.c.add(codeVariable, a.loc, fmt.Sprintf("Invalid variable name '%s': the variable name exceeds the %d-character limit.", name, maxStateName))
	case !validVariable(name):
		a.c.add(codeVariable, a.loc, fmt.Sprintf("Invalid variable name '%s': the variable name contains invalid characters.", name))
	}
}

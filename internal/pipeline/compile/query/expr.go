// Package query builds JSONata expressions as text. An Expr can be created only in this package: by constructors, which add quotes and
// parentheses, or from a .jsonata file of this package, whose inputs are bound by name. Therefore, no other package concatenates JSONata,
// and a Go string is never mistaken for an expression. The package does not evaluate expressions; its tests do, with the JSONata that
// Step Functions uses. Only package compile uses it.
package query

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Expr is a JSONata expression. The zero value is no expression.
type Expr struct {
	text string
	op   string // the outermost operator: a key of powers
	open bool   // ends with a conditional without an else, to which a following colon would be attached
}

// The outermost operator of an expression that is not a binary operation.
const (
	atom = ""  // a literal, a variable, a call, or something in brackets: never needs parentheses
	path = "." // a path: needs parentheses only before an index
	cond = "?"
)

// powers are the binding powers of JSONata's operators. Operators with a higher power bind more tightly.
var powers = map[string]int{
	cond: 20, "or": 25, "and": 30, "=": 40, "!=": 40, "<": 40, "<=": 40, ">": 40, ">=": 40, "in": 40, "~>": 40,
	"+": 50, "-": 50, "&": 50, "*": 60, "/": 60, "%": 60, path: 75, atom: 100,
}

// IsZero reports whether there is no expression.
func (e Expr) IsZero() bool { return e.text == "" }

// Value returns the expression as the value of a state's field.
func (e Expr) Value() string { return "{% " + e.text + " %}" }

// Plain returns a string as the value of a state's field. It becomes an expression if it could be mistaken for one, or if the schema of
// asl-validator would reject it because it is empty or has several lines.
func Plain(text string) string {
	if text == "" || strings.Contains(text, "\n") || strings.HasPrefix(text, "{%") || strings.HasSuffix(text, "%}") {
		return Str(text).Value()
	}
	return text
}

// Inline converts the value of a state's field, in which strings may be expressions, to one expression.
func Inline(v any) Expr {
	switch v := v.(type) {
	case string:
		return inlineText(v)
	case []any:
		items := make([]Expr, len(v))
		for i, item := range v {
			items[i] = Inline(item)
		}
		return Array(items...)
	case *value.Object:
		fields := make([]Binding, v.Len())
		for i := range fields {
			k, item := v.At(i)
			fields[i] = Bind(k, Inline(item))
		}
		return Object(fields...)
	}
	return Literal(v)
}

// inlineText converts a string of a field's value. An expression other than a path is treated like a conditional, so that it gets
// parentheses wherever they may be necessary.
func inlineText(text string) Expr {
	expr, ok := strings.CutPrefix(text, "{% ")
	switch expr = strings.TrimSuffix(expr, " %}"); {
	case !ok:
		return Str(text)
	case fields.MatchString(expr):
		return Expr{text: expr, op: path}
	}
	return Expr{text: expr, op: cond, open: true}
}

// fields matches an expression that is a path.
var fields = regexp.MustCompile(`^\$[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]+\])*$`)

// The constants of JSONata.
var (
	Null  = Expr{text: "null"}
	True  = Expr{text: "true"}
	False = Expr{text: "false"}
)

// Str returns a string. It is in single quotes, which are more readable inside JSON, unless it contains one, which JSONata cannot escape.
func Str(text string) Expr {
	quoted := value.Text(text)
	if strings.Contains(text, "'") {
		return Expr{text: quoted}
	}
	return Expr{text: "'" + strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`) + "'"}
}

// Int returns an integer.
func Int(n int64) Expr { return Expr{text: strconv.FormatInt(n, 10)} }

// Literal returns a JSON value (package value).
func Literal(v any) Expr {
	switch v := v.(type) {
	case string:
		return Str(v)
	case []any:
		items := make([]Expr, len(v))
		for i, item := range v {
			items[i] = Literal(item)
		}
		return Array(items...)
	case *value.Object:
		fields := make([]Binding, v.Len())
		for i := range fields {
			k, item := v.At(i)
			fields[i] = Bind(k, Literal(item))
		}
		return Object(fields...)
	}
	return Expr{text: value.Text(v)}
}

// Pattern returns a regular expression that matches only whole strings.
func Pattern(pattern string) Expr {
	var b strings.Builder
	escaped := false
	for i := range len(pattern) {
		if pattern[i] == '/' && !escaped { // a slash would end the regular expression
			b.WriteByte('\\')
		}
		escaped = pattern[i] == '\\' && !escaped
		b.WriteByte(pattern[i])
	}
	return Expr{text: "/^(?:" + b.String() + ")$/"}
}

// Strs returns a list of strings.
func Strs(texts []string) Expr { return Literal(value.FromGo(texts)) }

// Var returns a variable. The name is without $.
func Var(name string) Expr { return Expr{text: "$" + name} }

// States returns a path below $states: the data of the state and of the execution.
func States(names ...string) Expr { return Var("states").Get(names...) }

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are the words that are valid as field names only in quotes.
var reserved = map[string]bool{"and": true, "or": true, "in": true, "true": true, "false": true, "null": true, "function": true}

// Get returns a path of fields, starting at the expression.
func (e Expr) Get(names ...string) Expr {
	for _, name := range names {
		switch {
		case strings.Contains(name, "`"): // a quoted name cannot contain a backquote
			e = Call("lookup", e, Str(name))
		case reserved[name] || !identifier.MatchString(name):
			e = Expr{text: e.operand(path) + ".`" + name + "`", op: path}
		default:
			e = Expr{text: e.operand(path) + "." + name, op: path}
		}
	}
	return e
}

// At returns an item of a list. After a path, the index applies to the last field of the path.
func (e Expr) At(index int) Expr {
	return Expr{text: e.operand(path) + "[" + strconv.Itoa(index) + "]", op: path}
}

// Values returns a path to the values of all fields.
func (e Expr) Values() Expr { return Expr{text: e.operand(path) + ".*", op: path} }

// Array returns a list. Items without a value are omitted. JSONata flattens an item that is a list, unless it is an Array itself.
func Array(items ...Expr) Expr { return Expr{text: "[" + list(items) + "]"} }

// Binding is a named expression: a variable, an input of a file, or a field of an object.
type Binding struct {
	name string
	expr Expr
}

// Bind names an expression. Names of variables are without $.
func Bind(name string, e Expr) Binding { return Binding{name, e} }

// Object returns an object with these fields. Fields without a value are omitted.
func Object(fields ...Binding) Expr {
	pairs := make([]string, len(fields))
	for i, f := range fields {
		pairs[i] = Str(f.name).text + ": " + f.expr.text
	}
	return Expr{text: "{" + strings.Join(pairs, ", ") + "}"}
}

// Block binds variables and returns result. The result and later bindings can use the variables.
func Block(result Expr, bindings ...Binding) Expr {
	var b strings.Builder
	for _, v := range bindings {
		b.WriteString("$" + v.name + " := " + v.expr.text + "; ")
	}
	return Expr{text: "(" + b.String() + result.text + ")"}
}

// Call returns a call of a function. The name is without $.
func Call(function string, args ...Expr) Expr {
	return Expr{text: "$" + function + "(" + list(args) + ")"}
}

// Function returns a function. The names of the parameters are without $.
func Function(body Expr, params ...string) Expr {
	names := make([]Expr, len(params))
	for i, p := range params {
		names[i] = Var(p)
	}
	return Expr{text: "function(" + list(names) + ") { " + body.text + " }"}
}

// If returns a conditional. If otherwise is the zero value, the conditional has no value if the condition is false.
func If(condition, then, otherwise Expr) Expr {
	text := condition.within(powers[cond]+1) + " ? " + then.text
	if otherwise.IsZero() {
		return Expr{text: text, op: cond, open: true}
	}
	if then.open {
		text = condition.within(powers[cond]+1) + " ? (" + then.text + ")"
	}
	return Expr{text: text + " : " + otherwise.text, op: cond, open: otherwise.open}
}

// Op returns a binary operation: a comparison, in, or arithmetic.
func Op(left Expr, operator string, right Expr) Expr {
	return Expr{text: left.operand(operator) + " " + operator + " " + right.within(powers[operator]+1), op: operator}
}

// Eq returns a comparison for equality.
func Eq(left, right Expr) Expr { return Op(left, "=", right) }

// And returns the conjunction of conditions. Zero values are omitted; without any other condition, the result is the zero value.
func And(conditions ...Expr) Expr { return joined("and", conditions) }

// Or returns the disjunction of conditions. Zero values are omitted; without any other condition, the result is the zero value.
func Or(conditions ...Expr) Expr { return joined("or", conditions) }

// Not returns the negation of a condition.
func Not(condition Expr) Expr { return Call("not", condition) }

// Concat returns the concatenation of strings. Zero values are omitted; without any other part, the result is an empty string.
func Concat(parts ...Expr) Expr {
	if e := joined("&", parts); !e.IsZero() {
		return e
	}
	return Str("")
}

// joined returns an associative operation with any number of operands.
func joined(operator string, operands []Expr) Expr {
	var out Expr
	for _, e := range operands {
		switch {
		case e.IsZero():
		case out.IsZero():
			out = e
		case e.op == operator:
			out = Expr{text: out.operand(operator) + " " + operator + " " + e.text, op: operator}
		default:
			out = Op(out, operator, e)
		}
	}
	return out
}

// operand returns the text of the expression as the left operand of an operator.
func (e Expr) operand(operator string) string { return e.within(powers[operator]) }

// within returns the text of the expression, in parentheses if its outermost operator has a lower binding power than power.
func (e Expr) within(power int) string {
	if powers[e.op] < power {
		return "(" + e.text + ")"
	}
	return e.text
}

// list returns the texts of expressions, separated by commas.
func list(items []Expr) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.text
	}
	return strings.Join(texts, ", ")
}

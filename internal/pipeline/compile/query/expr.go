// Package query builds JSONata expressions as text. An Expr can be made only here: by constructors, whose one printer quotes and
// parenthesizes, or from a .jsonata file of this package, whose inputs are bound by name. So no other package concatenates JSONata,
// and a Go string is never taken for an expression. It does not evaluate: its tests do, with the JSONata of Step Functions.
// Package compile is its only caller.
package query

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Expr is a JSONata expression. The zero value is none.
type Expr struct {
	text string
	op   string // the outermost operator, a key of powers
	open bool   // ends with a conditional without an else, which a following colon would complete
}

// The outermost operator of an expression that is not a binary operation.
const (
	atom = ""  // a literal, a variable, a call, or something in brackets: never needs parentheses
	path = "." // a path: needs parentheses only before an index
	cond = "?"
)

// powers are the binding powers of JSONata's operators: a higher power binds tighter.
var powers = map[string]int{
	cond: 20, "or": 25, "and": 30, "=": 40, "!=": 40, "<": 40, "<=": 40, ">": 40, ">=": 40, "in": 40, "~>": 40,
	"+": 50, "-": 50, "&": 50, "*": 60, "/": 60, "%": 60, path: 75, atom: 100,
}

// IsZero reports whether there is no expression.
func (e Expr) IsZero() bool { return e.text == "" }

// Value is the expression as the value of a state's field.
func (e Expr) Value() string { return "{% " + e.text + " %}" }

// Plain is a text as the value of a state's field. It becomes an expression if it could be mistaken for one, or if the schema of
// asl-validator rejects it, because it is empty or has several lines.
func Plain(text string) string {
	if text == "" || strings.Contains(text, "\n") || strings.HasPrefix(text, "{%") || strings.HasSuffix(text, "%}") {
		return Str(text).Value()
	}
	return text
}

// Inline is a field's value, in which strings may be expressions, as one expression.
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

// inlineText is a text that may be the value of an expression, of which only a path can be recognized.
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

var fields = regexp.MustCompile(`^\$[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]+\])*$`)

// The constants of JSONata.
var (
	Null  = Expr{text: "null"}
	True  = Expr{text: "true"}
	False = Expr{text: "false"}
)

// Str is a text. It is in single quotes, which read better inside JSON, unless it contains one, which JSONata cannot escape.
func Str(text string) Expr {
	quoted := value.Text(text)
	if strings.Contains(text, "'") {
		return Expr{text: quoted}
	}
	return Expr{text: "'" + strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`) + "'"}
}

// Int is a whole number.
func Int(n int64) Expr { return Expr{text: strconv.FormatInt(n, 10)} }

// Literal is a JSON value, as in package value.
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

// Pattern is a regular expression, of which the whole text must match.
func Pattern(pattern string) Expr {
	var b strings.Builder
	escaped := false
	for i := range len(pattern) {
		if pattern[i] == '/' && !escaped { // which would end it
			b.WriteByte('\\')
		}
		escaped = pattern[i] == '\\' && !escaped
		b.WriteByte(pattern[i])
	}
	return Expr{text: "/^(?:" + b.String() + ")$/"}
}

// Strs is a list of texts.
func Strs(texts []string) Expr { return Literal(value.FromGo(texts)) }

// Var is a variable, named without $.
func Var(name string) Expr { return Expr{text: "$" + name} }

// States is a path below $states: what a state sees of itself and of the execution.
func States(names ...string) Expr { return Var("states").Get(names...) }

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are the identifiers that name a field only if they are quoted.
var reserved = map[string]bool{"and": true, "or": true, "in": true, "true": true, "false": true, "null": true, "function": true}

// Get is a path of fields from the expression.
func (e Expr) Get(names ...string) Expr {
	for _, name := range names {
		switch {
		case strings.Contains(name, "`"): // which a quoted name cannot contain
			e = Call("lookup", e, Str(name))
		case reserved[name] || !identifier.MatchString(name):
			e = Expr{text: e.operand(path) + ".`" + name + "`", op: path}
		default:
			e = Expr{text: e.operand(path) + "." + name, op: path}
		}
	}
	return e
}

// At is an item of a list. After a path, it is an item of what the last field of the path gives.
func (e Expr) At(index int) Expr {
	return Expr{text: e.operand(path) + "[" + strconv.Itoa(index) + "]", op: path}
}

// Values is a path to the values of all fields.
func (e Expr) Values() Expr { return Expr{text: e.operand(path) + ".*", op: path} }

// Array is a list of the expressions that have a value. JSONata merges an item that is a list, unless the item is an Array too.
func Array(items ...Expr) Expr { return Expr{text: "[" + list(items) + "]"} }

// Binding is an expression with a name: of a variable, of a file's input or of an object's field.
type Binding struct {
	name string
	expr Expr
}

// Bind names an expression. Variables are named without $.
func Bind(name string, e Expr) Binding { return Binding{name, e} }

// Object is an object with these fields. A field without a value is left out.
func Object(fields ...Binding) Expr {
	pairs := make([]string, len(fields))
	for i, f := range fields {
		pairs[i] = Str(f.name).text + ": " + f.expr.text
	}
	return Expr{text: "{" + strings.Join(pairs, ", ") + "}"}
}

// Block gives result, which may use the variables that are bound before it, and so may later bindings.
func Block(result Expr, bindings ...Binding) Expr {
	var b strings.Builder
	for _, v := range bindings {
		b.WriteString("$" + v.name + " := " + v.expr.text + "; ")
	}
	return Expr{text: "(" + b.String() + result.text + ")"}
}

// Call calls a function, named without $.
func Call(function string, args ...Expr) Expr {
	return Expr{text: "$" + function + "(" + list(args) + ")"}
}

// Function is a function of parameters, named without $.
func Function(body Expr, params ...string) Expr {
	names := make([]Expr, len(params))
	for i, p := range params {
		names[i] = Var(p)
	}
	return Expr{text: "function(" + list(names) + ") { " + body.text + " }"}
}

// If is a conditional. Without an otherwise, it has no value if the condition does not hold.
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

// Op is a binary operation: a comparison, in, or arithmetic.
func Op(left Expr, operator string, right Expr) Expr {
	return Expr{text: left.operand(operator) + " " + operator + " " + right.within(powers[operator]+1), op: operator}
}

// Eq compares for equality.
func Eq(left, right Expr) Expr { return Op(left, "=", right) }

// And holds if all conditions do, Or if any does. Of none, or of zero values alone, they are the zero value.
func And(conditions ...Expr) Expr { return joined("and", conditions) }

// Or is described with And.
func Or(conditions ...Expr) Expr { return joined("or", conditions) }

// Not holds if the condition does not.
func Not(condition Expr) Expr { return Call("not", condition) }

// Concat is the text of the expressions one after another. Of none it is an empty text.
func Concat(parts ...Expr) Expr {
	if e := joined("&", parts); !e.IsZero() {
		return e
	}
	return Str("")
}

// joined is an associative operation of any number of operands.
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

// operand is the text of the expression as the left operand of an operator.
func (e Expr) operand(operator string) string { return e.within(powers[operator]) }

// within is the text of the expression where operators of less power would bind to something else.
func (e Expr) within(power int) string {
	if powers[e.op] < power {
		return "(" + e.text + ")"
	}
	return e.text
}

func list(items []Expr) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.text
	}
	return strings.Join(texts, ", ")
}

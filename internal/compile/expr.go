package compile

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// What a reference gives that finds nothing: strict fails the state with a message, lenient gives null.
const (
	strict  = false
	lenient = true
)

// wrap makes a JSONata expression a field's value.
func wrap(expr string) string { return "{% " + expr + " %}" }

// plain is text as a field's value. It becomes an expression where it would be taken for one, and where asl-validator's
// schema takes no plain text: when it is empty or has several lines.
func plain(text string) string {
	if text == "" || strings.Contains(text, "\n") || strings.HasPrefix(text, "{%") || strings.HasSuffix(text, "%}") {
		return wrap(str(text))
	}
	return text
}

// str is a JSONata string literal. Single quotes read better inside JSON, but JSONata cannot escape one within them.
func str(text string) string {
	quoted := value.Text(text)
	if strings.Contains(text, "'") {
		return quoted
	}
	return "'" + strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`) + "'"
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// field is one step of a JSONata path.
func field(name string) string {
	switch {
	case name == "and" || name == "or" || name == "in" || !identifier.MatchString(name):
		return ".`" + name + "`"
	default:
		return "." + name
	}
}

// ref is the expression of a reference.
func (c *compiler) ref(r *pipeline.Ref, in *scope, missing bool) string {
	root, keys := c.root(r, in)
	if len(keys) == 0 {
		return root
	}
	expr := path(root, keys)
	if !c.mayLack(r, in) {
		return expr
	}
	otherwise := "null"
	if !missing { // strict
		otherwise = c.inputMissing(r, in)
	}
	return fmt.Sprintf("($v := %s; $exists($v) ? $v : %s)", expr, otherwise)
}

// root is the variable that a reference starts at, which is always there, and what of its path remains.
func (c *compiler) root(r *pipeline.Ref, in *scope) (string, []pipeline.Key) {
	switch r.Root {
	case "params":
		return "$params" + field(r.Name(0)), r.Path[1:]
	case "run":
		return "$run" + field(r.Name(0)), nil
	case "storage":
		return str(c.storage), nil
	case "steps":
		return in.output(r.Name(0)), r.Path[2:]
	case "index":
		return "$index_" + in.loop().name, r.Path
	default:
		return "$item_" + in.loopOf(r.Root).name, r.Path
	}
}

// text is the expression of a template as text. An empty template has no parts, and is an empty text.
func (c *compiler) text(t pipeline.Template, in *scope) string {
	if len(t.Parts) == 0 {
		return str("")
	}
	parts := make([]string, len(t.Parts))
	for i, p := range t.Parts {
		if p.Ref == nil {
			parts[i] = str(p.Text)
		} else {
			parts[i] = "$string(" + c.ref(p.Ref, in, strict) + ")"
		}
	}
	return strings.Join(parts, " & ")
}

// textField is a template as a field's value that is always text.
func (c *compiler) textField(t pipeline.Template, in *scope) string {
	if s, ok := t.Plain(); ok {
		return plain(s)
	}
	return wrap(c.text(t, in))
}

// quoted is the expression of one value as one word for sh: nothing in single quotes is special but their end.
func quoted(expr string) string {
	return `"'" & $join($split($string(` + expr + `), "'"), "'\\''") & "'"`
}

// shell is the expression of a command for sh, its references quoted.
func (c *compiler) shell(s pipeline.Shell, in *scope) string {
	parts := make([]string, len(s.Parts))
	for i, p := range s.Parts {
		if p.Ref == nil {
			parts[i] = str(p.Text)
		} else {
			parts[i] = quoted(c.ref(p.Ref, in, strict))
		}
	}
	return strings.Join(parts, " & ")
}

// argv is the expression of a program with arguments as a command for sh.
func (c *compiler) argv(args []pipeline.Template, in *scope) string {
	words := make([]string, len(args))
	for i, arg := range args {
		if s, ok := arg.Plain(); ok {
			words[i] = str("'" + strings.ReplaceAll(s, "'", `'\''`) + "'")
		} else {
			words[i] = quoted(c.text(arg, in))
		}
	}
	return strings.Join(words, " & ' ' & ")
}

// dynamic is a JSON value with references as a field's value: a reference alone keeps its type.
func (c *compiler) dynamic(v any, in *scope, missing bool) any {
	switch v := v.(type) {
	case string:
		return plain(v)
	case pipeline.Template:
		if r := v.Sole(); r != nil {
			return wrap(c.ref(r, in, missing))
		}
		if there := c.there(v, in); missing && there != "" {
			return wrap(there + " ? " + c.text(v, in) + " : null")
		}
		return wrap(c.text(v, in))
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = c.dynamic(item, in, missing)
		}
		return out
	case *value.Object:
		o := value.NewObject(v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			o.Set(k, c.dynamic(item, in, missing))
		}
		return o
	}
	return v
}

// number is a number as a field's value, or what it refers to.
func (c *compiler) number(n *pipeline.Number, in *scope) any {
	if n.Ref != nil {
		return wrap(c.ref(n.Ref, in, strict))
	}
	return value.Float(n.Value)
}

// quantity is a number of bytes, or what it refers to.
func (c *compiler) quantity(q *pipeline.Quantity, in *scope) any {
	if q.Ref != nil {
		return wrap(c.ref(q.Ref, in, strict))
	}
	return value.Int(q.Bytes)
}

// condition is the expression of a condition; it is always a boolean, whatever the references find.
func (c *compiler) condition(e pipeline.Expr, in *scope) string {
	switch e.Op {
	case "and", "or":
		parts := make([]string, len(e.Args))
		for i, arg := range e.Args {
			parts[i] = c.condition(arg, in)
		}
		return "(" + strings.Join(parts, " "+e.Op+" ") + ")"
	case "not":
		return "$not(" + c.condition(e.Args[0], in) + ")"
	case "ref", "literal":
		return "$boolean(" + c.operand(e, in) + ")"
	case "<", "<=", ">", ">=":
		return fmt.Sprintf("($a := %s; $b := %s; $type($a) = $type($b) ? ($type($a) in ['number', 'string'] ? $a %s $b : false) : false)",
			c.operand(e.Args[0], in), c.operand(e.Args[1], in), e.Op)
	}
	sign := map[string]string{"==": "=", "!=": "!=", "in": "in"}[e.Op]
	return fmt.Sprintf("(%s %s %s)", c.operand(e.Args[0], in), sign, c.operand(e.Args[1], in))
}

// operand is the expression of what is compared; a reference to nothing is null there, so that every comparison has a
// result.
func (c *compiler) operand(e pipeline.Expr, in *scope) string {
	switch e.Op {
	case "ref":
		return c.ref(e.Ref, in, lenient)
	case "literal":
		return literal(e.Value)
	}
	return c.condition(e, in)
}

// literal is a JSON value as a JSONata expression.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return str(v)
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = literal(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *value.Object:
		pairs := make([]string, v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			pairs[i] = str(k) + ": " + literal(item)
		}
		return "{" + strings.Join(pairs, ", ") + "}"
	}
	return value.Text(v)
}

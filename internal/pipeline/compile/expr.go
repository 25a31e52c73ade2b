package compile

import (
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// missingKey is what happens at run time if the value of a reference does not exist.
type missingKey int

const (
	strict  missingKey = iota // the step fails with Step.InputMissing
	lenient                   // the value is null
)

// reference returns the value of a reference.
func (c *compiler) reference(r *pipeline.Ref, in *scope, missing missingKey) query.Expr {
	root, keys := c.root(r, in)
	found := follows(root, keys)
	if !c.mayBeMissing(r, in) {
		return found
	}
	otherwise := query.Null
	if missing == strict {
		otherwise = c.inputMissing(r, in)
	}
	v := query.Var("v")
	return query.Block(query.If(query.Call("exists", v), v, otherwise), query.Bind("v", found))
}

// root returns the value at which a reference starts, which always exists, and the rest of the reference's path.
func (c *compiler) root(r *pipeline.Ref, in *scope) (query.Expr, []pipeline.Key) {
	switch r.Root {
	case "params":
		return query.Var("params").Get(r.Name(0)), r.Path[1:]
	case "run":
		return query.Var("run").Get(r.Name(0)), nil
	case "storage":
		return query.Str(c.storage), nil
	case "steps":
		return in.output(r.Name(0)), r.Path[2:]
	case "index":
		return query.Var("index_" + in.loop().name), r.Path
	default:
		return query.Var("item_" + in.loopOf(r.Root).name), r.Path
	}
}

// follows returns the value at a path.
func follows(from query.Expr, keys []pipeline.Key) query.Expr {
	for _, k := range keys {
		if k.Name == "" {
			from = from.At(k.Index)
		} else {
			from = from.Get(k.Name)
		}
	}
	return from
}

// template returns the string of a template.
func (c *compiler) template(t pipeline.Template, in *scope) query.Expr {
	return c.parts(t.Parts, in, func(e query.Expr) query.Expr { return query.Call("string", e) })
}

// parts concatenates the parts of a template. The function text converts the values of references to strings.
func (c *compiler) parts(parts []pipeline.Part, in *scope, text func(query.Expr) query.Expr) query.Expr {
	texts := make([]query.Expr, len(parts))
	for i, p := range parts {
		if p.Ref == nil {
			texts[i] = query.Str(p.Text)
		} else {
			texts[i] = text(c.reference(p.Ref, in, strict))
		}
	}
	return query.Concat(texts...)
}

// textField returns a template as a field's value, which is always a string.
func (c *compiler) textField(t pipeline.Template, in *scope) string {
	if s, ok := t.Plain(); ok {
		return query.Plain(s)
	}
	return c.template(t, in).Value()
}

// quoted returns a value as one word for sh.
func quoted(e query.Expr) query.Expr { return query.File("shellword", query.Bind("value", e)) }

// script returns a command for sh, with the values of references quoted.
func (c *compiler) script(s pipeline.Shell, in *scope) query.Expr {
	return c.parts(s.Parts, in, quoted)
}

// commandLine returns a program with its arguments as a command for sh.
func (c *compiler) commandLine(args []pipeline.Template, in *scope) query.Expr {
	var words []query.Expr
	for i, arg := range args {
		if i > 0 {
			words = append(words, query.Str(" "))
		}
		if s, ok := arg.Plain(); ok {
			words = append(words, query.Str("'"+strings.ReplaceAll(s, "'", `'\''`)+"'"))
		} else {
			words = append(words, quoted(c.template(arg, in)))
		}
	}
	return query.Concat(words...)
}

// dynamic returns a JSON value with references as a field's value. The value of a single reference keeps its type.
func (c *compiler) dynamic(v any, in *scope, missing missingKey) any {
	switch v := v.(type) {
	case string:
		return query.Plain(v)
	case pipeline.Template:
		if r := v.Sole(); r != nil {
			return c.reference(r, in, missing).Value()
		}
		if found := c.found(v, in); missing == lenient && !found.IsZero() {
			return query.If(found, c.template(v, in), query.Null).Value()
		}
		return c.template(v, in).Value()
	default:
		return value.Map(v, func(item any) any { return c.dynamic(item, in, missing) })
	}
}

// number returns a number as a field's value.
func (c *compiler) number(n *pipeline.Number, in *scope) any {
	if n.Ref != nil {
		return c.reference(n.Ref, in, strict).Value()
	}
	return value.Float(n.Value)
}

// quantity returns a size in bytes as a field's value.
func (c *compiler) quantity(q *pipeline.Quantity, in *scope) any {
	if q.Ref != nil {
		return c.reference(q.Ref, in, strict).Value()
	}
	return value.Int(q.Bytes)
}

// operators maps the operators of conditions to those of JSONata.
var operators = map[string]string{"==": "=", "!=": "!=", "in": "in"}

// condition returns the value of a condition. It is always a boolean, even if values of references are missing.
func (c *compiler) condition(e pipeline.Expr, in *scope) query.Expr {
	switch e.Op {
	case "and":
		return query.And(c.conditions(e.Args, in)...)
	case "or":
		return query.Or(c.conditions(e.Args, in)...)
	case "not":
		return query.Not(c.condition(e.Args[0], in))
	case "ref", "literal":
		return query.Call("boolean", c.operand(e, in))
	case "<", "<=", ">", ">=":
		return ordered(c.operand(e.Args[0], in), e.Op, c.operand(e.Args[1], in))
	}
	return query.Op(c.operand(e.Args[0], in), operators[e.Op], c.operand(e.Args[1], in))
}

// ordered compares two numbers or two strings. For other types it is false, because the comparison would be an error in JSONata.
func ordered(left query.Expr, operator string, right query.Expr) query.Expr {
	a, b := query.Var("a"), query.Var("b")
	kind := query.Call("type", a)
	hasOrder := query.Op(kind, "in", query.Strs([]string{"number", "string"}))
	return query.Block(query.If(query.Eq(kind, query.Call("type", b)), query.If(hasOrder, query.Op(a, operator, b), query.False), query.False),
		query.Bind("a", left), query.Bind("b", right))
}

func (c *compiler) conditions(args []pipeline.Expr, in *scope) []query.Expr {
	out := make([]query.Expr, len(args))
	for i, arg := range args {
		out[i] = c.condition(arg, in)
	}
	return out
}

// operand returns the value of an operand. A missing value is null, so that every comparison has a result.
func (c *compiler) operand(e pipeline.Expr, in *scope) query.Expr {
	switch e.Op {
	case "ref":
		return c.reference(e.Ref, in, lenient)
	case "literal":
		return query.Literal(e.Value)
	}
	return c.condition(e, in)
}

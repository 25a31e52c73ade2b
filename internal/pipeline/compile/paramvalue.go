package compile

import (
	"fmt"
	"strconv"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// given returns a parameter's value in the form that the steps get: x from the input if it exists, otherwise the default. The result for an
// input of another type does not matter, because the check rejects it. depth is the number of lists around x, which have their own
// variables.
func given(p *pipeline.Param, x query.Expr, depth int) query.Expr {
	otherwise := query.Null // the check rejects the missing parameter
	if p.Default != nil {
		otherwise = query.Literal(p.Normalize(p.Default.Value))
	}
	if !changes(p) {
		return query.If(query.Call("exists", x), x, otherwise)
	}
	kind, normal := normalized(p, x, depth)
	return query.If(query.Eq(query.Call("type", x), query.Str(kind)), normal, otherwise)
}

// normalized returns the expression for the result of Param.Normalize, and the JSONata type that x must have for it.
func normalized(p *pipeline.Param, x query.Expr, depth int) (kind string, normal query.Expr) {
	switch p.Type {
	case "integer":
		return "number", query.Call("floor", x)
	case "list":
		return "array", normalizedList(p.Items, x, depth+1)
	}
	fields := make([]query.Binding, p.Properties.Len())
	for i := range fields {
		e := &p.Properties.Entries[i]
		fields[i] = query.Bind(e.Key, given(&e.Value, x.Get(e.Key), depth))
	}
	return "object", query.Object(fields...)
}

// changes reports whether Param.Normalize may change a value.
func changes(p *pipeline.Param) bool {
	switch p.Type {
	case "integer":
		return true
	case "list":
		return changes(p.Items)
	}
	for i := range p.Properties.Entries {
		if e := &p.Properties.Entries[i]; e.Value.Default != nil || changes(&e.Value) {
			return true
		}
	}
	return false
}

// normalizedList normalizes the items of a list. JSONata's $map returns the item itself for a list with one item, and no value for an empty
// list. [...] flattens lists in it that are not written as [...] themselves. Therefore, these two cases are written out.
func normalizedList(items *pipeline.Param, x query.Expr, depth int) query.Expr {
	v, f := numbered("v", depth), numbered("f", depth)
	only := query.Array(query.Call(f, x.At(0)))
	if items.Type == "list" {
		only = query.Array(only)
	}
	count := query.Call("count", x)
	return query.Block(
		query.If(query.Op(count, ">", query.Int(1)), query.Call("map", x, query.Var(f)), query.If(query.Eq(count, query.Int(1)), only, query.Array())),
		query.Bind(f, query.Function(given(items, query.Var(v), depth), v)))
}

// numbered returns the name of a variable that is unique among those of the lists around it.
func numbered(name string, depth int) string { return name + strconv.Itoa(depth) }

// spot is the path of a value in the input, for messages. It consists of a part that is known only at run time, such as an index, and a
// constant text after it.
type spot struct {
	before query.Expr
	text   string
	depth  int  // number of lists around the value
	output bool // the value is in a step's output: messages end with the value, and undeclared keys are allowed
}

// got returns the value of x for the end of a message, or the zero value if messages do not show it.
func (at spot) got(x query.Expr) query.Expr {
	if at.output {
		return query.Call("got", x)
	}
	return query.Expr{}
}

// says returns a message that starts with the path.
func (at spot) says(msg string) query.Expr { return query.Concat(at.before, query.Str(at.text+msg)) }

// check returns the problems of x, or no value.
func check(p *pipeline.Param, x query.Expr, at spot) query.Expr {
	if p.Default != nil {
		return query.If(query.Call("exists", x), checkValue(p, x, at), query.Expr{})
	}
	missing := " is missing"
	if at.output {
		missing += " and " + pipeline.TypeWords[p.Type]
	}
	return query.If(query.Call("exists", x), checkValue(p, x, at), at.says(missing))
}

// checkValue returns the problems of x, which must exist, or no value.
func checkValue(p *pipeline.Param, x query.Expr, at spot) query.Expr {
	rules := checkScalar(p, x, at)
	var problem query.Expr
	switch {
	case p.Type == "list" && p.Items != nil:
		problem = checkItems(p, x, at)
	case p.Type == "object" && p.Properties.Len() > 0:
		problem = checkProperties(p, x, at)
	}
	for i := len(rules) - 1; i >= 0; i-- {
		problem = query.If(rules[i].broken, rules[i].message, problem)
	}
	return problem
}

// rule has a condition that is true if a value breaks the rule, and the message for that case.
type rule struct{ broken, message query.Expr }

// checkScalar returns the rules of a parameter, without its items or properties, in the order in which they are checked.
func checkScalar(p *pipeline.Param, x query.Expr, at spot) []rule {
	var rules []rule
	add := func(broken query.Expr, message string) {
		rules = append(rules, rule{broken, query.Concat(at.says(" "+message), at.got(x))})
	}
	add(brokenType(p.Type, x), pipeline.TypeWords[p.Type])
	if p.Min != nil {
		add(query.Op(x, "<", query.Literal(value.Float(*p.Min))), "must be at least "+string(value.Float(*p.Min)))
	}
	if p.Max != nil {
		add(query.Op(x, ">", query.Literal(value.Float(*p.Max))), "must be at most "+string(value.Float(*p.Max)))
	}
	length := query.Call("length", x)
	if p.MinLength != nil {
		add(query.Op(length, "<", query.Int(int64(*p.MinLength))), fmt.Sprintf("must have at least %d characters", *p.MinLength))
	}
	if p.MaxLength != nil {
		add(query.Op(length, ">", query.Int(int64(*p.MaxLength))), fmt.Sprintf("must have at most %d characters", *p.MaxLength))
	}
	if p.Pattern != "" {
		add(query.Not(query.Call("contains", x, query.Pattern(p.Pattern))), "must match "+p.Pattern)
	}
	if len(p.Choices) > 0 {
		add(query.Not(query.Op(x, "in", query.Literal(choices(p)))), "must be one of "+p.ChoiceList())
	}
	return rules
}

// checkItems returns the problems of a list's items, or no value.
func checkItems(p *pipeline.Param, x query.Expr, at spot) query.Expr {
	depth := at.depth + 1
	item, index := numbered("v", depth), numbered("i", depth)
	inner := spot{query.Concat(at.says("["), query.Call("string", query.Var(index))), "]", depth, at.output}
	return someProblems(at, query.Call("map", x, query.Function(checkValue(p.Items, query.Var(item), inner), item, index)))
}

// checkProperties returns the problems of an object's properties, or no value.
func checkProperties(p *pipeline.Param, x query.Expr, at spot) query.Expr {
	var checks []query.Expr
	if !at.output {
		checks = append(checks, undeclared(x, p.Properties.Keys(), func(key query.Expr) query.Expr {
			return query.Concat(at.says("."), key, query.Str(" is not declared"))
		}))
	}
	for i := range p.Properties.Entries {
		e := &p.Properties.Entries[i]
		checks = append(checks, check(&e.Value, x.Get(e.Key), spot{at.before, at.text + "." + e.Key, at.depth, at.output}))
	}
	return someProblems(at, checks...)
}

// undeclared returns a message for each key of x that is not among the known ones.
func undeclared(x query.Expr, known []string, message func(key query.Expr) query.Expr) query.Expr {
	key := query.Var("k")
	unknown := query.Call("filter", query.Call("keys", x), query.Function(query.Not(query.Op(key, "in", query.Strs(known))), "k"))
	return query.Call("map", unknown, query.Function(message(key), "k"))
}

// maxProblems is the maximum number of characters for the problems inside a list or an object, of which each item may have one.
const maxProblems = 1000

// someProblems returns problems in one line, or no value if there are none.
func someProblems(at spot, problems ...query.Expr) query.Expr {
	name := numbered("p", at.depth)
	all := query.Var(name)
	text := query.Call("substring", query.Call("join", all, query.Str("; ")), query.Int(0), query.Int(maxProblems))
	return query.Block(query.If(query.Op(query.Call("count", all), ">", query.Int(0)), text, query.Expr{}), query.Bind(name, query.Array(problems...)))
}

// choices returns the allowed values.
func choices(p *pipeline.Param) []any {
	out := make([]any, len(p.Choices))
	for i, l := range p.Choices {
		out[i] = l.Value
	}
	return out
}

// brokenType returns the condition that a value does not have the type. It checks the JSONata type first, because $floor of a value that is
// not a number is an error.
func brokenType(kind string, x query.Expr) query.Expr {
	switch kind {
	case "integer":
		return query.File("nointeger", query.Bind("x", x), query.Bind("most", query.Int(1<<53)))
	case "list":
		kind = "array"
	}
	return notOfType(x, kind)
}

// notOfType returns the condition that a value does not have the JSONata type.
func notOfType(x query.Expr, kind string) query.Expr {
	return query.Op(query.Call("type", x), "!=", query.Str(kind))
}

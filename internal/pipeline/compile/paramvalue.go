package compile

import (
	"fmt"
	"strconv"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// given is a parameter's value as the steps see it: x from the input if there is one, else the default. The result for an input of
// another type does not matter, because the check refuses the run. depth counts the lists around x: each has variables of its own.
func given(p *pipeline.Param, x query.Expr, depth int) query.Expr {
	otherwise := query.Null // then the check refuses the run
	if p.Default != nil {
		otherwise = query.Literal(p.Normalize(p.Default.Value))
	}
	if !changes(p) {
		return query.If(query.Call("exists", x), x, otherwise)
	}
	kind, normal := normalized(p, x, depth)
	return query.If(query.Eq(query.Call("type", x), query.Str(kind)), normal, otherwise)
}

// normalized is x, if it is of JSONata's type kind, as Param.Normalize has it.
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

// normalizedList maps a list. JSONata's $map returns the item itself for a list of one, and nothing for an empty list; [...]
// flattens a list inside it unless that is written as [...], too. So lists of one and none are written out.
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

// numbered is the name of a variable that exists once in each list around it.
func numbered(name string, depth int) string { return name + strconv.Itoa(depth) }

// spot is where a value is in the input, for messages: what only the run knows, if anything, and a text after it.
type spot struct {
	before query.Expr
	text   string
	depth  int  // of lists around it
	output bool // of an output: messages end with its value, and undeclared keys are allowed
}

// got is the value of x, as a message about it ends; the zero value in messages that do not show it.
func (at spot) got(x query.Expr) query.Expr {
	if at.output {
		return query.Call("got", x)
	}
	return query.Expr{}
}

// says is a message that begins with the place.
func (at spot) says(msg string) query.Expr { return query.Concat(at.before, query.Str(at.text+msg)) }

// check is what is wrong with x, or nothing.
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

// checkValue is what is wrong with x, which exists.
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

// rule is a condition that holds if a value breaks the rule, and the message.
type rule struct{ broken, message query.Expr }

// checkScalar are the rules of a parameter itself, in the order in which they are checked.
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

func checkItems(p *pipeline.Param, x query.Expr, at spot) query.Expr {
	depth := at.depth + 1
	item, index := numbered("v", depth), numbered("i", depth)
	inner := spot{query.Concat(at.says("["), query.Call("string", query.Var(index))), "]", depth, at.output}
	return someProblems(at, query.Call("map", x, query.Function(checkValue(p.Items, query.Var(item), inner), item, index)))
}

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

// undeclared is a message about each key of x that is not among the known ones.
func undeclared(x query.Expr, known []string, message func(key query.Expr) query.Expr) query.Expr {
	key := query.Var("k")
	unknown := query.Call("filter", query.Call("keys", x), query.Function(query.Not(query.Op(key, "in", query.Strs(known))), "k"))
	return query.Call("map", unknown, query.Function(message(key), "k"))
}

// maxProblems is how many characters are shown of the problems inside a list or an object: each item may have one.
const maxProblems = 1000

// someProblems are problems in one text, or nothing if there are none.
func someProblems(at spot, problems ...query.Expr) query.Expr {
	name := numbered("p", at.depth)
	all := query.Var(name)
	text := query.Call("substring", query.Call("join", all, query.Str("; ")), query.Int(0), query.Int(maxProblems))
	return query.Block(query.If(query.Op(query.Call("count", all), ">", query.Int(0)), text, query.Expr{}), query.Bind(name, query.Array(problems...)))
}

// choices are the values allowed.
func choices(p *pipeline.Param) []any {
	out := make([]any, len(p.Choices))
	for i, l := range p.Choices {
		out[i] = l.Value
	}
	return out
}

// brokenType is the condition that a value is not of the type. $floor of anything but a number is an error in JSONata, so the type
// is checked first.
func brokenType(kind string, x query.Expr) query.Expr {
	switch kind {
	case "integer":
		return query.File("nointeger", query.Bind("x", x), query.Bind("most", query.Int(1<<53)))
	case "list":
		kind = "array"
	}
	return notOfType(x, kind)
}

// notOfType is the condition that a value is not of one of JSONata's types.
func notOfType(x query.Expr, kind string) query.Expr {
	return query.Op(query.Call("type", x), "!=", query.Str(kind))
}

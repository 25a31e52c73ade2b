package compile

import (
	"fmt"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// given is the expression of a parameter's value as the steps see it: of what the input has, else the default. An input of
// another type gives anything, because the check refuses the run. depth counts the lists around x: each has variables of its own.
func given(p *pipeline.Param, x string, depth int) string {
	otherwise := "null" // then the check refuses the run
	if p.Default != nil {
		otherwise = literal(p.Normalize(p.Default.Value))
	}
	kind, normal := normalized(p, x, depth)
	if normal == "" {
		return "$exists(" + x + ") ? " + x + " : " + otherwise
	}
	return "$type(" + x + ") = '" + kind + "' ? " + normal + " : " + otherwise
}

// normalized is the expression of x, of JSONata's type kind, as Param.Normalize has it; empty where that changes nothing.
func normalized(p *pipeline.Param, x string, depth int) (kind, expr string) {
	switch {
	case !changes(p):
		return "", ""
	case p.Type == "integer":
		return "number", "$floor(" + x + ")"
	case p.Type == "list":
		return "array", normalizedList(p.Items, x, depth+1)
	}
	pairs := make([]string, p.Properties.Len())
	for i := range pairs {
		e := &p.Properties.Entries[i]
		pairs[i] = str(e.Key) + ": (" + given(&e.Value, x+field(e.Key), depth) + ")"
	}
	return "object", "{" + strings.Join(pairs, ", ") + "}"
}

// changes says whether Param.Normalize may change a value.
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
func normalizedList(items *pipeline.Param, x string, depth int) string {
	v, f := fmt.Sprintf("$v%d", depth), fmt.Sprintf("$f%d", depth)
	only := "[" + f + "(" + x + "[0])]"
	if items.Type == "list" {
		only = "[" + only + "]"
	}
	return fmt.Sprintf("(%s := function(%s) { %s }; $count(%s) > 1 ? $map(%s, %s) : $count(%s) = 1 ? %s : [])",
		f, v, given(items, v, depth), x, x, f, x, only)
}

// spot is where a value is in the input, for messages: an expression for what only the run knows, and a text after it.
type spot struct {
	before string // ends with &, or is empty
	text   string
	depth  int  // of lists around it
	output bool // of an output: messages end with its value, and undeclared keys are allowed
}

// got is the expression of the value of x, which follows a message.
func (at spot) got(x string) string {
	if at.output {
		return " & $got(" + x + ")"
	}
	return ""
}

// says is the expression of a message that begins with the place.
func (at spot) says(msg string) string { return at.before + str(at.text+msg) }

// check is the expression of what is wrong with x, or of nothing.
func check(p *pipeline.Param, x string, at spot) string {
	expr := "$exists(" + x + ") ? (" + checkValue(p, x, at) + ")"
	if p.Default == nil {
		missing := " is missing"
		if at.output {
			missing += " and " + pipeline.TypeWords[p.Type]
		}
		expr += " : " + at.says(missing)
	}
	return expr
}

// checkValue is the expression of what is wrong with x, which is there.
func checkValue(p *pipeline.Param, x string, at spot) string {
	parts := checkScalar(p, x, at)
	switch p.Type {
	case "list":
		if p.Items != nil {
			parts = append(parts, checkItems(p, x, at))
		}
	case "object":
		if p.Properties.Len() > 0 {
			parts = append(parts, checkProperties(p, x, at))
		}
	}
	return strings.Join(parts, " : ")
}

// checkScalar are the rules of a parameter itself, each as CONDITION ? MESSAGE.
func checkScalar(p *pipeline.Param, x string, at spot) []string {
	var rules []string
	add := func(broken, message string) { rules = append(rules, broken+" ? "+at.says(" "+message)+at.got(x)) }
	add(brokenType(p.Type, x), pipeline.TypeWords[p.Type])
	if p.Min != nil {
		add(fmt.Sprintf("%s < %s", x, value.Float(*p.Min)), "must be at least "+string(value.Float(*p.Min)))
	}
	if p.Max != nil {
		add(fmt.Sprintf("%s > %s", x, value.Float(*p.Max)), "must be at most "+string(value.Float(*p.Max)))
	}
	if p.MinLength != nil {
		add(fmt.Sprintf("$length(%s) < %d", x, *p.MinLength), fmt.Sprintf("must have at least %d characters", *p.MinLength))
	}
	if p.MaxLength != nil {
		add(fmt.Sprintf("$length(%s) > %d", x, *p.MaxLength), fmt.Sprintf("must have at most %d characters", *p.MaxLength))
	}
	if p.Pattern != "" {
		add("$not($contains("+x+", /^(?:"+slashes(p.Pattern)+")$/))", "must match "+p.Pattern)
	}
	if len(p.Choices) > 0 {
		add("$not("+x+" in "+literal(choices(p))+")", "must be one of "+p.ChoiceList())
	}
	return rules
}

func checkItems(p *pipeline.Param, x string, at spot) string {
	depth := at.depth + 1
	item, index := fmt.Sprintf("$v%d", depth), fmt.Sprintf("$i%d", depth)
	inner := spot{at.says("[") + " & $string(" + index + ") & ", "]", depth, at.output}
	return joined(at, fmt.Sprintf("$map(%s, function(%s, %s) { %s })", x, item, index, checkValue(p.Items, item, inner)))
}

func checkProperties(p *pipeline.Param, x string, at spot) string {
	var checks []string
	if !at.output {
		checks = append(checks, undeclared(x, p.Properties.Keys(), at.says(".")+" & $k & ' is not declared'"))
	}
	for i := range p.Properties.Entries {
		e := &p.Properties.Entries[i]
		checks = append(checks, check(&e.Value, x+field(e.Key), spot{at.before, at.text + "." + e.Key, at.depth, at.output}))
	}
	return joined(at, checks...)
}

// undeclared is the expression of a message about each key $k of x that is not among the known ones.
func undeclared(x string, known []string, message string) string {
	list := make([]any, len(known))
	for i, name := range known {
		list[i] = name
	}
	return "$map($filter($keys(" + x + "), function($k) { $not($k in " + literal(list) + ") }), function($k) { " + message + " })"
}

// maxProblems is how many characters are shown of the problems inside a list or an object: each item may have one.
const maxProblems = 1000

// joined is the expression of problems in one text, or of nothing where there are none.
func joined(at spot, problems ...string) string {
	all := fmt.Sprintf("$p%d", at.depth)
	return fmt.Sprintf("(%s := [%s]; $count(%s) > 0 ? $substring($join(%s, '; '), 0, %d))",
		all, strings.Join(problems, ", "), all, all, maxProblems)
}

// choices are the values allowed.
func choices(p *pipeline.Param) []any {
	out := make([]any, len(p.Choices))
	for i, l := range p.Choices {
		out[i] = l.Value
	}
	return out
}

// brokenType is the expression that a value is not of the type. $floor of anything but a number is an error in JSONata, so
// the type is asked first.
func brokenType(kind, x string) string {
	switch kind {
	case "integer":
		return fmt.Sprintf("($type(%s) = 'number' ? $floor(%s) != %s or $abs(%s) > %d : true)", x, x, x, x, 1<<53)
	case "list":
		kind = "array"
	}
	return "$type(" + x + ") != " + str(kind)
}

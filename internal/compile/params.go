package compile

import (
	"fmt"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// paramStates adds what every run starts with: parameters are read and checked by the definition itself.
func (c *compiler) paramStates(states *value.Object, first string) {
	params := &value.Object{}
	for _, e := range c.p.Params.Entries {
		params.Set(e.Key, wrap(given(&e.Value, "$states.input"+field(e.Key))))
	}
	execution := "$states.context.Execution."
	run := value.Obj(
		"id", wrap(execution+"Name"),
		"arn", wrap(execution+"Id"),
		"startTime", wrap(execution+"StartTime"),
		"pipeline", c.p.Name,
		"storage", wrap(str(strings.TrimSuffix(c.storage, "/")+"/"+c.p.Name+"/")+" & $replace("+execution+"Name, /^\\./, '_')"),
		"prefix", wrap(prefix(execution+"Id")))
	assign := value.Obj("params", params, "run", run, "problems", wrap(c.paramProblems()),
		"wrapper", value.Obj("start", plain(wrapperStart), "end", plain(c.wrapperEnd())))
	if c.at != nil {
		c.clusterVariables(assign)
	}
	states.Set("Read params", value.Obj("Type", "Pass", "Assign", assign,
		"Output", &value.Object{}, "Next", "Check params"))
	if c.at != nil && c.at.placing {
		c.placeFiles(states, first)
		first = "Place files"
	}
	states.Set("Check params", value.Obj("Type", "Choice",
		"Choices", []any{value.Obj("Condition", "{% $problems != '' %}", "Next", "Refuse params")},
		"Assign", value.Obj("env", c.sharedEnvironment()), "Default", first))
	states.Set("Refuse params", value.Obj("Type", "Fail", "Error", "Params.Invalid", "Cause", "{% $problems %}"))
}

// given is the expression of a parameter's value: what the input has, else the default.
func given(p *pipeline.Param, input string) string {
	otherwise := "null" // then the check refuses the run
	if p.Default != nil {
		otherwise = literal(p.Default.Value)
	}
	return "$exists(" + input + ") ? " + input + " : " + otherwise
}

// paramProblems is the expression of all that is wrong with the input in one line; empty when nothing is.
func (c *compiler) paramProblems() string {
	known := make([]any, 0, len(c.p.Params.Entries)+1)
	for _, e := range c.p.Params.Entries {
		known = append(known, e.Key)
	}
	// Step Functions adds this one when an execution starts another.
	known = append(known, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID")
	checks := []string{"$map($filter($keys($in), function($k) { $not($k in " + literal(known) +
		") }), function($k) { 'unknown parameter ' & $k })"}
	for _, e := range c.p.Params.Entries {
		checks = append(checks, paramCheck(e.Key, &e.Value))
	}
	if c.at != nil {
		checks = append(checks, c.paramsTooLong())
	}
	return "($in := $states.input; $type($in) != 'object' ? 'the input must be an object of parameters' : $join([" +
		strings.Join(checks, ", ") + "], '; '))"
}

// paramCheck is the expression of what is wrong with one parameter, or of nothing.
func paramCheck(name string, p *pipeline.Param) string {
	x := "$in" + field(name)
	rules := []struct{ broken, message string }{{brokenType(p.Type, x), pipeline.TypeWords[p.Type]}}
	add := func(broken, message string) {
		rules = append(rules, struct{ broken, message string }{broken, message})
	}
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
	expr := "$exists(" + x + ") ? ("
	for i, r := range rules {
		if i > 0 {
			expr += " : "
		}
		expr += r.broken + " ? " + str(name+" "+r.message)
	}
	expr += ")"
	if p.Default == nil {
		expr += " : " + str(name+" is missing")
	}
	return expr
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
		return "($type(" + x + ") = 'number' ? $floor(" + x + ") != " + x + " : true)"
	default:
		return "$type(" + x + ") != " + str(kind)
	}
}

// slashes escapes what would end a regular expression.
func slashes(pattern string) string {
	var b strings.Builder
	escaped := false
	for i := range len(pattern) {
		if pattern[i] == '/' && !escaped {
			b.WriteByte('\\')
		}
		escaped = pattern[i] == '\\' && !escaped
		b.WriteByte(pattern[i])
	}
	return b.String()
}

// comment is the definition's Comment: JSON with what forms need to ask for the parameters.
func (c *compiler) comment() string {
	o := value.Obj("pipeline", c.p.Name)
	if c.p.Description != "" {
		o.Set("description", c.p.Description)
	}
	o.Set("params", ParamsSchema(c.p))
	return value.Text(o)
}

// ParamsSchema is a JSON Schema of a pipeline's parameters: of the execution's input.
func ParamsSchema(p *pipeline.Pipeline) *value.Object {
	properties, required := &value.Object{}, []any{}
	for _, e := range p.Params.Entries {
		properties.Set(e.Key, paramSchema(&e.Value))
		if e.Value.Default == nil {
			required = append(required, e.Key)
		}
	}
	o := value.Obj("type", "object", "properties", properties)
	if len(required) > 0 {
		o.Set("required", required)
	}
	o.Set("additionalProperties", false)
	return o
}

// paramSchema is the JSON Schema of one parameter, by the same rules.
func paramSchema(p *pipeline.Param) *value.Object {
	o := value.Obj("type", p.Type)
	if p.Description != "" {
		o.Set("description", p.Description)
	}
	if p.Default != nil {
		o.Set("default", p.Default.Value)
	}
	if len(p.Choices) > 0 {
		o.Set("enum", choices(p))
	}
	for _, bound := range []struct {
		name string
		f    *float64
	}{{"minimum", p.Min}, {"maximum", p.Max}, {"minLength", whole(p.MinLength)}, {"maxLength", whole(p.MaxLength)}} {
		if bound.f != nil {
			o.Set(bound.name, value.Float(*bound.f))
		}
	}
	if p.Pattern != "" {
		o.Set("pattern", "^(?:"+p.Pattern+")$")
	}
	return o
}

// whole is an optional whole number as a float.
func whole(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

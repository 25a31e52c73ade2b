package compile

import (
	"strings"

	"github.com/rayorch/rayorch/internal/annotation"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// paramStates adds what every run starts with: parameters are read and checked by the definition itself.
func (c *compiler) paramStates(states *value.Object, first string) {
	params := &value.Object{}
	for _, e := range c.p.Params.Entries {
		params.Set(e.Key, wrap(given(&e.Value, "$states.input"+field(e.Key), 0)))
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
		"wrapper", value.Obj("start", plain(c.wrapperStart()), "end", plain(c.wrapperEnd())))
	if c.at != nil {
		c.clusterVariables(assign)
	}
	put(states, "Read params", annotation.State{Role: annotation.Params}, value.Obj("Type", "Pass", "Assign", assign,
		"Output", &value.Object{}, "Next", "Check params"))
	if c.at != nil && c.at.placing {
		c.placeFiles(states, first)
		first = "Place files"
	}
	put(states, "Check params", annotation.State{Role: annotation.Params}, value.Obj("Type", "Choice",
		"Choices", []any{value.Obj("Condition", "{% $problems != '' %}", "Next", "Refuse params")},
		"Assign", value.Obj("env", c.sharedEnvironment()), "Default", first))
	put(states, "Refuse params", annotation.State{Role: annotation.Params}, value.Obj("Type", "Fail", "Error", "Params.Invalid", "Cause", "{% $problems %}"))
}

// paramProblems is the expression of all that is wrong with the input in one line; empty when nothing is.
func (c *compiler) paramProblems() string {
	// Step Functions adds this one when an execution starts another.
	known := append(c.p.Params.Keys(), "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID")
	checks := []string{undeclared("$in", known, "'unknown parameter ' & $k")}
	for _, e := range c.p.Params.Entries {
		checks = append(checks, check(&e.Value, "$in"+field(e.Key), spot{text: e.Key}))
	}
	if c.at != nil {
		checks = append(checks, c.paramsTooLong())
	}
	return "($in := $states.input; $type($in) != 'object' ? 'the input must be an object of parameters' : $join([" +
		strings.Join(checks, ", ") + "], '; '))"
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
func ParamsSchema(p *pipeline.Pipeline) *value.Object { return objectSchema(&p.Params) }

func objectSchema(params *pipeline.Map[pipeline.Param]) *value.Object {
	properties, required := &value.Object{}, []any{}
	for _, e := range params.Entries {
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
	switch p.Type {
	case "list":
		o = value.Obj("type", "array", "items", paramSchema(p.Items))
	case "object":
		o = objectSchema(&p.Properties)
	}
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

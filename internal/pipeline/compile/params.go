package compile

import (
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// paramStates adds the states with which every run starts. The definition itself reads and checks the parameters, so that a run is equally
// safe whether rayorch or another client starts it. first is the first state of the steps.
func (c *compiler) paramStates(states *value.Object, first string) {
	params := &value.Object{}
	for _, e := range c.p.Params.Entries {
		params.Set(e.Key, given(&e.Value, query.States("input").Get(e.Key), 0).Value())
	}
	execution := query.States("context", "Execution")
	run := value.Obj(
		"id", execution.Get("Name").Value(),
		"arn", execution.Get("Id").Value(),
		"startTime", execution.Get("StartTime").Value(),
		"pipeline", c.p.Name,
		"storage", query.File("storage", query.Bind("base", query.Str(strings.TrimSuffix(c.storage, "/")+"/"+c.p.Name+"/"))).Value(),
		"prefix", runPrefix(execution.Get("Id")).Value())
	assign := value.Obj("params", params, "run", run, "problems", c.paramProblems().Value(),
		"wrapper", value.Obj("start", query.Plain(c.wrapperStart()), "end", query.Plain(c.wrapperEnd())))
	if c.at != nil {
		c.clusterVariables(assign)
	}
	put(states, "Read params", annotation.State{Role: annotation.Params}, value.Obj("Type", "Pass", "Assign", assign,
		"Output", &value.Object{}, "Next", "Check params"))
	if c.at != nil && c.at.placing {
		c.placeFiles(states, first)
		first = "Place files"
	}
	problems := query.Var("problems")
	put(states, "Check params", annotation.State{Role: annotation.Params}, value.Obj("Type", "Choice",
		"Choices", []any{value.Obj("Condition", query.Op(problems, "!=", query.Str("")).Value(), "Next", "Reject params")},
		"Assign", value.Obj("env", c.sharedEnvironment()), "Default", first))
	put(states, "Reject params", annotation.State{Role: annotation.Params}, value.Obj("Type", "Fail", "Error", "Params.Invalid", "Cause", problems.Value()))
}

// runPrefix returns the prefix of the ids of all jobs of an execution.
func runPrefix(execution query.Expr) query.Expr {
	return query.File("prefix", query.Bind("execution", execution))
}

// paramProblems returns all problems of the input in one line, or "".
func (c *compiler) paramProblems() query.Expr {
	// Step Functions adds this key if an execution starts another.
	known := append(c.p.Params.Keys(), "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID")
	in := query.Var("in")
	checks := []query.Expr{undeclared(in, known, func(key query.Expr) query.Expr { return query.Concat(query.Str("unknown parameter "), key) })}
	for _, e := range c.p.Params.Entries {
		checks = append(checks, check(&e.Value, in.Get(e.Key), spot{text: e.Key}))
	}
	if c.at != nil {
		checks = append(checks, c.paramsTooLong())
	}
	return query.Block(query.If(notOfType(in, "object"), query.Str("the input must be an object with parameters"), problemText(checks)),
		query.Bind("in", query.States("input")))
}

// problemText returns problems in one line. Expressions without a value are skipped.
func problemText(problems []query.Expr) query.Expr {
	return query.Call("join", query.Array(problems...), query.Str("; "))
}

// comment returns the definition's Comment: JSON from which clients can build a form for the parameters.
func (c *compiler) comment() string {
	o := value.Obj("pipeline", c.p.Name)
	if c.p.Description != "" {
		o.Set("description", c.p.Description)
	}
	o.Set("params", ParamsSchema(c.p))
	return value.Text(o)
}

// ParamsSchema returns the JSON Schema of a pipeline's parameters, which are the execution's input.
func ParamsSchema(p *pipeline.Pipeline) *value.Object { return objectSchema(&p.Params) }

// objectSchema returns the JSON Schema of an object with these properties.
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

// paramSchema returns the JSON Schema of a parameter.
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
	}{{"minimum", p.Min}, {"maximum", p.Max}, {"minLength", floatOf(p.MinLength)}, {"maxLength", floatOf(p.MaxLength)}} {
		if bound.f != nil {
			o.Set(bound.name, value.Float(*bound.f))
		}
	}
	if p.Pattern != "" {
		o.Set("pattern", "^(?:"+p.Pattern+")$")
	}
	return o
}

// floatOf converts an optional integer to a float.
func floatOf(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

package asl

import (
	"errors"
	"fmt"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// mapState accepts the older names as well: Iterator for ItemProcessor, and Parameters for ItemSelector. Both processors can
// have a ProcessorConfig.
func (p *parser) mapState(s *State, f fields) {
	proc := f.obj("ItemProcessor")
	if !f.has("ItemProcessor") {
		proc = f.obj("Iterator") // the older name
	}
	m := &MapFields{Label: f.str("Label"), Processor: p.program(proc, s.inherit(proc))}
	s.Map = m
	config := proc.obj("ProcessorConfig")
	m.Processor.Distributed = config.str("Mode") == "DISTRIBUTED"
	m.Processor.Express = config.str("ExecutionType") == stepfn.Express
	m.MaxConcurrency = f.scalar("MaxConcurrency")
	m.ToleratedFailureCount = f.scalar("ToleratedFailureCount")
	m.ToleratedFailurePercentage = f.scalar("ToleratedFailurePercentage")
	m.ItemSelector = f.template("ItemSelector")
	if s.JSONata {
		p.items(m, f)
	} else {
		m.ItemsPath = f.path("ItemsPath")
		p.legacyParameters(s)
	}
	if !m.Processor.Distributed {
		return
	}
	p.distributed(m, f)
}

// items parses Items. An expression is kept apart from a template, because only an expression can have a result of the wrong
// type.
func (p *parser) items(m *MapFields, f fields) {
	v, ok := f.o.Get("Items")
	if !ok {
		return
	}
	if text, ok := v.(string); ok {
		if body, ok := expr.JSONataBody(text); ok {
			var err error
			m.ItemsExpr, err = expr.CompileJSONata(body)
			f.fail("Items", err)
			return
		}
	}
	m.Items = f.template("Items")
}

// legacyParameters moves Parameters, the older name of ItemSelector.
func (p *parser) legacyParameters(s *State) {
	if s.Map.ItemSelector == nil {
		s.Map.ItemSelector = s.Parameters
	}
	s.Parameters = nil
}

// distributed parses the fields that only a distributed Map has; an inline Map ignores them.
func (p *parser) distributed(m *MapFields, f fields) {
	if f.has("ItemReader") {
		r := f.obj("ItemReader")
		config := r.obj("ReaderConfig")
		m.Reader = &ItemReader{
			Resource:   r.str("Resource"),
			Parameters: r.arguments(),
			Config:     config.o.Without("MaxItems").Without("MaxItemsPath"),
			MaxItems:   config.scalar("MaxItems"),
		}
	}
	if f.has("ItemBatcher") {
		b := f.obj("ItemBatcher")
		m.Batcher = &ItemBatcher{
			MaxItemsPerBatch:      b.scalar("MaxItemsPerBatch"),
			MaxInputBytesPerBatch: b.scalar("MaxInputBytesPerBatch"),
			BatchInput:            b.template("BatchInput"),
		}
	}
	if f.has("ResultWriter") {
		w := f.obj("ResultWriter")
		m.Writer = &ResultWriter{Resource: w.str("Resource"), Parameters: w.arguments(), Config: w.obj("WriterConfig").o}
	}
}

// arguments parses Arguments (JSONata) or Parameters (JSONPath).
func (f fields) arguments() Template {
	if f.jsonata {
		return f.template("Arguments")
	}
	return f.template("Parameters")
}

// choice parses the rules of a Choice. Assign and Output of a rule apply only if the rule is chosen.
func (p *parser) choice(s *State, f fields) {
	for _, r := range f.list("Choices") {
		rule := Rule{next: r.str("Next"), Assign: r.template("Assign")}
		if s.JSONata {
			rule.Output = r.template("Output")
			p.condition(&rule, r)
		} else {
			rule.Test = p.test(r, 0)
		}
		s.Choices = append(s.Choices, rule)
	}
	s.next = f.str("Default")
}

// condition also accepts a literal boolean, as Step Functions does.
func (p *parser) condition(rule *Rule, f fields) {
	switch v, _ := f.o.Get("Condition"); v := v.(type) {
	case bool:
		rule.Always = v
	case string:
		body, ok := expr.JSONataBody(v)
		if !ok {
			f.fail("Condition", errors.New("must be a boolean or a JSONata expression"))
			return
		}
		var err error
		rule.Condition, err = expr.CompileJSONata(body)
		rule.Location = f.within + "Condition"
		f.fail("Condition", err)
	default:
		f.fail("Condition", errors.New("must be a boolean or a JSONata expression"))
	}
}

// test parses a condition in JSONPath. It bounds the nesting, because a definition of 1 MiB could nest deeper than the stack
// allows.
func (p *parser) test(f fields, depth int) *Test {
	t := &Test{}
	if depth > maxNesting {
		f.fail("", fmt.Errorf("nested more than %d levels deep", maxNesting))
		return t
	}
	switch {
	case f.has("And"):
		t.And = p.tests(f.list("And"), depth)
	case f.has("Or"):
		t.Or = p.tests(f.list("Or"), depth)
	case f.has("Not"):
		t.Not = p.test(f.obj("Not"), depth+1)
	default:
		p.comparison(t, f)
	}
	return t
}

func (p *parser) tests(list []fields, depth int) []*Test {
	out := make([]*Test, len(list))
	for i, f := range list {
		out[i] = p.test(f, depth+1)
	}
	return out
}

// comparison takes the first operator that it finds: a definition that package check has accepted has exactly one.
func (p *parser) comparison(t *Test, f fields) {
	t.Variable = f.path("Variable").Path
	if t.Variable == nil {
		f.fail("Variable", errors.New("required for a comparison"))
	}
	for i := range f.o.Len() {
		k, v := f.o.At(i)
		if Operators[k] == 0 {
			continue
		}
		t.Operator, t.Value = k, v
		if Operators[k]&ByPath != 0 {
			t.Path = f.path(k).Path
		}
		return
	}
	f.fail("", errors.New("no comparison operator"))
}

// ByPath marks the operators in Operators whose value is a path.
const ByPath = 2

// Operators are the comparison operators of a Choice; 0 means that there is no such operator.
var Operators = func() map[string]int {
	m := map[string]int{"StringMatches": 1, "IsNull": 1, "IsPresent": 1, "IsNumeric": 1, "IsString": 1, "IsBoolean": 1,
		"IsTimestamp": 1, "BooleanEquals": 1, "BooleanEqualsPath": ByPath}
	for _, kind := range []string{"String", "Numeric", "Timestamp"} {
		for _, op := range []string{"Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals"} {
			m[kind+op], m[kind+op+"Path"] = 1, ByPath
		}
	}
	return m
}()

package asl

import (
	"errors"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// mapState reads both spellings: ItemProcessor and Iterator, ItemSelector and Parameters. ProcessorConfig counts in
// both.
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

// items reads Items, whose errors tell an expression (which may have the wrong type) from a list.
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

// legacyParameters: a Map's Parameters are what ItemSelector is called today.
func (p *parser) legacyParameters(s *State) {
	if s.Map.ItemSelector == nil {
		s.Map.ItemSelector = s.Parameters
	}
	s.Parameters = nil
}

// distributed reads what only a distributed Map has; an inline one ignores these fields.
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

func (f fields) arguments() Template {
	if f.jsonata {
		return f.template("Arguments")
	}
	return f.template("Parameters")
}

// choice reads a rule's Assign and Output, which count only when the rule is taken.
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

// condition accepts a literal boolean, as Step Functions does.
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

// test bounds its depth: a definition of 1 MiB could nest deeper than the stack likes.
func (p *parser) test(f fields, depth int) *Test {
	t := &Test{}
	if depth > maxNesting {
		f.fail("", errors.New("nested too deep"))
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

// comparison takes the first operator it finds: a checked definition has one.
func (p *parser) comparison(t *Test, f fields) {
	t.Variable = f.path("Variable").Path
	if t.Variable == nil {
		f.fail("Variable", errors.New("a comparison needs one"))
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

// ByPath marks, in Operators, those whose value is a path.
const ByPath = 2

// Operators are Choice's comparison operators.
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

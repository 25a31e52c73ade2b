package pipeline

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/value"
)

// Output is what one key of a step's output must be: the name of a type, or the rules that a parameter has.
type Output struct{ Param }

func (o *Output) decodeNode(d *decoder, n *yaml.Node, path string) {
	v := reflect.ValueOf(&o.Param).Elem()
	switch {
	case n.Kind == yaml.MappingNode:
		d.object(n, path, v)
	case n.Kind == yaml.ScalarNode && !isNull(n):
		f := fieldsOf(v.Type())["type"]
		d.scalar(n, path, v.Field(f.index), f.tag)
	default:
		d.fail(n, path, "expected %s, not %s", o.expected(), describe(n))
	}
}

func (o *Output) expected() string { return "a type such as string or number, or fields" }

// outputKeyPattern matches the keys that a reference can name in brackets.
var outputKeyPattern = regexp.MustCompile(`^[^'\\\x60\x00-\x1f]{1,64}$`)

// output checks the declaration of a step's output.
func (c *checker) output(s *Step, path string) {
	if s.Output.Len() == 0 && c.written(path) {
		c.report(path, "needs at least one key")
	}
	for i := range s.Output.Entries {
		e := &s.Output.Entries[i]
		at := join(path, e.Key)
		if !outputKeyPattern.MatchString(e.Key) {
			c.report(at, "a key must have at most 64 characters, without single quotes, backquotes, backslashes and control characters")
		}
		c.param(&e.Value.Param, at, true)
	}
}

// DeclaredOutput is what is known of the step's output before a run, or nil. The output of a parallel step contains those of its
// steps by name, and that of a forEach step is a list of such objects.
func (s *Step) DeclaredOutput() *Param {
	p := &Param{Type: "object"}
	switch {
	case s.Parallel != nil:
		return byName(s.Parallel.Steps)
	case s.ForEach != nil:
		return &Param{Type: "list", Items: byName(s.ForEach.Steps)}
	case s.Output.Len() == 0:
		return nil
	}
	for _, e := range s.Output.Entries {
		p.Properties.Entries = append(p.Properties.Entries, Entry[Param]{e.Key, e.Value.Param})
	}
	return p
}

// byName is an object of the outputs of steps by name. Nothing is known of a forEach step in it: a name after it stands for that of
// each item.
func byName(steps []Step) *Param {
	p := &Param{Type: "object"}
	for i := range steps {
		e := Entry[Param]{Key: steps[i].Name}
		if declared := steps[i].DeclaredOutput(); declared != nil && steps[i].ForEach == nil {
			e.Value = *declared
		}
		p.Properties.Entries = append(p.Properties.Entries, e)
	}
	return p
}

// Always reports whether every run finds a value at the path in the step's output.
func (s *Step) Always(path []Key) bool {
	switch inner := s.named(path); {
	case s.When != nil || slices.ContainsFunc(path, func(k Key) bool { return k.Name == "" }):
		return false
	case inner != nil:
		return len(path) == 1 || s.Parallel.ToleratedFailures == 0 && inner.Always(path[1:])
	case s.Output.Len() == 0:
		return false
	}
	p, msg := s.DeclaredOutput().at(path)
	return p != nil && msg == ""
}

// named is the step inside a parallel step that a path in its output begins with, or nil.
func (s *Step) named(path []Key) *Step {
	if s.Parallel == nil || len(path) == 0 {
		return nil
	}
	for i := range s.Parallel.Steps {
		if inner := &s.Parallel.Steps[i]; inner.Name == path[0].Name {
			return inner
		}
	}
	return nil
}

// Nullable returns the lengths of the beginnings of a path in the step's output that lead to an output that is null on purpose: of a
// step with a condition, or of one whose failure is tolerated.
func (s *Step) Nullable(path []Key) []int {
	var lengths []int
	tolerated := false
	for n := 0; s != nil && n < len(path); n++ {
		if s.When != nil || tolerated {
			lengths = append(lengths, n)
		}
		tolerated = s.Parallel != nil && s.Parallel.ToleratedFailures > 0
		s = s.named(path[n:])
	}
	return lengths
}

// stepNamed finds a step at any depth.
func stepNamed(steps []Step, name string) *Step {
	for i := range steps {
		if steps[i].Name == name {
			return &steps[i]
		}
		if s := stepNamed(steps[i].Children(), name); s != nil {
			return s
		}
	}
	return nil
}

// outputRef returns what is wrong with the path of a reference into the declared output of a step. A name after the output of a
// forEach step stands for that of each item.
func (c *checker) outputRef(r *Ref) string {
	s := stepNamed(c.p.Steps, r.Name(0))
	p, path := s.DeclaredOutput(), r.Path[2:]
	if p == nil || len(path) == 0 {
		return ""
	}
	if s.ForEach != nil {
		if path[0].Name == "" {
			path = path[1:]
		}
		p = p.Items
	}
	if len(path) > 0 && path[0].Name != "" {
		if _, ok := p.Properties.Get(path[0].Name); !ok {
			return fmt.Sprintf("the output of step %s has no key %q%s", r.Name(0), path[0].Name, orOneOf(path[0].Name, p.Properties.Keys()))
		}
	}
	_, msg := p.at(path)
	return msg
}

// impossible reports comparisons of a condition whose result is known from the declared outputs before any run. It does not report
// comparisons of parameters only: their values are an input of the run.
func (c *checker) impossible(e Expr, path string, in scope) {
	if len(e.Args) != 2 || e.Op == "and" || e.Op == "or" {
		return
	}
	left, right := c.operand(e.Args[0], in), c.operand(e.Args[1], in)
	if left.output == nil && right.output == nil || left.kind == "" || right.kind == "" {
		return
	}
	why := ""
	switch e.Op {
	case "==", "!=":
		why = unequal(left, right)
	case "in":
		why = outside(left, right)
	default:
		why = unordered(left, right)
	}
	if why != "" {
		holds := map[bool]string{true: "always", false: "never"}[e.Op == "!="]
		c.report(path, "%s %s %s: %s holds, because %s", left.text, e.Op, right.text, holds, why)
	}
}

// operand is one side of a comparison: kind is the JSON type that it has in every run, or "".
type operand struct {
	text, kind string
	output     *Param // what a step declares about it
	literal    any
}

var kinds = map[string]string{"string": "a string", "integer": "a number", "number": "a number", "boolean": "a boolean",
	"list": "a list", "object": "an object"}

func (c *checker) operand(e Expr, in scope) operand {
	switch {
	case e.Op == "literal":
		return operand{text: value.Text(e.Value), kind: literalKind(e.Value), literal: e.Value}
	case e.Op != "ref" || e.Ref.Root != "steps":
		return operand{}
	}
	p := c.declared(e.Ref, in)
	if p == nil {
		return operand{}
	}
	return operand{text: e.Ref.Text, kind: kinds[p.Type], output: p}
}

// literalKind is empty for null: a comparison with null checks whether there is a value.
func literalKind(v any) string {
	switch v.(type) {
	case string:
		return kinds["string"]
	case bool:
		return kinds["boolean"]
	case value.Number:
		return kinds["number"]
	case []any:
		return kinds["list"]
	}
	return ""
}

// unequal returns why two operands differ in every run.
func unequal(left, right operand) string {
	switch {
	case left.kind != right.kind:
		return left.text + " is " + left.kind + ", and " + right.text + " is " + right.kind
	case left.output != nil && right.output == nil:
		return refused(left, right.literal)
	case left.output == nil:
		return refused(right, left.literal)
	}
	return ""
}

// refused returns why an output never has the value.
func refused(o operand, v any) string {
	if msg := o.output.Refuses(v); msg != "" {
		return o.text + " " + msg
	}
	return ""
}

// outside returns why a value is not in the list in any run.
func outside(left, right operand) string {
	list, ok := right.literal.([]any)
	if left.output == nil || !ok {
		return ""
	}
	for _, v := range list {
		if v == nil || left.output.Refuses(v) == "" {
			return ""
		}
	}
	return left.text + " is " + left.kind + ", and the list has no value that it can have"
}

// unordered returns why two operands cannot be ordered: only numbers and strings can.
func unordered(left, right operand) string {
	ordered := left.kind == kinds["number"] || left.kind == kinds["string"]
	if left.kind == right.kind && ordered {
		return ""
	}
	if left.kind != right.kind {
		return left.text + " is " + left.kind + ", and " + right.text + " is " + right.kind
	}
	return left.text + " is " + left.kind + ", and only numbers and strings can be ordered"
}

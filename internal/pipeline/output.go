package pipeline

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/value"
)

// Output declares a key of a step's output: either the name of a type, or a map with the rules of a parameter.
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
		d.fail(n, path, "expected %s, got %s", o.expected(), describe(n))
	}
}

func (o *Output) expected() string { return "a type such as string or number, or a map" }

// outputKeyPattern matches the keys that a reference can contain in brackets: output['val/acc'].
var outputKeyPattern = regexp.MustCompile(`^[^'\\\x60\x00-\x1f]{1,64}$`)

// output checks the declaration of a step's output.
func (c *checker) output(s *Step, path string) {
	if s.Output.Len() == 0 && c.written(path) {
		c.report(path, "must have at least one key")
	}
	for i := range s.Output.Entries {
		e := &s.Output.Entries[i]
		at := join(path, e.Key)
		if !outputKeyPattern.MatchString(e.Key) {
			c.report(at, "a key must have 1 to 64 characters, and no single quotes, backquotes, backslashes or control characters")
		}
		c.param(&e.Value.Param, at, true)
	}
}

// DeclaredOutput returns the declaration of the step's output, or nil if there is none. The output of a parallel step is an object
// with the outputs of its steps by name; that of a forEach step is a list of such objects.
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

// byName returns the declaration of an object with the outputs of steps by name. The output of a forEach step in it is undeclared:
// a reference to a name in such an output selects that name from each item.
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

// Always reports whether the step's output has a value at the path in every run.
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

// named returns the step inside a parallel step that the first key of an output path names, or nil.
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

// Nullable returns the lengths of the prefixes of an output path that lead to an output that may be null by design: that of a step
// with a condition, or of a step whose failure is tolerated.
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

// outputRef returns the error of a reference's path into the declared output of a step, or "". A name that follows the output of a
// forEach step selects that name from each item.
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

// constantComparison reports a comparison whose result is the same in every run because of the declared outputs. Comparisons
// that involve only parameters are not reported: a run can set them.
func (c *checker) constantComparison(e Expr, path string, in scope) {
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
		why = notInList(left, right)
	default:
		why = unordered(left, right)
	}
	if why != "" {
		holds := map[bool]string{true: "always", false: "never"}[e.Op == "!="]
		c.report(path, "%s %s %s: %s holds, because %s", left.text, e.Op, right.text, holds, why)
	}
}

// operand is one side of a comparison.
type operand struct {
	text    string
	kind    string // JSON type in every run, with its article; "" if unknown
	output  *Param // declaration of the step output, or nil
	literal any
}

// kinds maps the types of parameters to JSON types as used in messages.
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

// literalKind returns the JSON type of a literal. It is "" for null, because a comparison with null tests whether a value exists.
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

// unequal returns the reason why two operands differ in every run, or "".
func unequal(left, right operand) string {
	switch {
	case left.kind != right.kind:
		return left.text + " is " + left.kind + ", and " + right.text + " is " + right.kind
	case left.output != nil && right.output == nil:
		return invalidValue(left, right.literal)
	case left.output == nil:
		return invalidValue(right, left.literal)
	}
	return ""
}

// invalidValue returns the reason why an output never has the value, or "".
func invalidValue(o operand, v any) string {
	if msg := o.output.Refuses(v); msg != "" {
		return o.text + " " + msg
	}
	return ""
}

// notInList returns the reason why the left operand is not in the list on the right in any run, or "".
func notInList(left, right operand) string {
	list, ok := right.literal.([]any)
	if left.output == nil || !ok {
		return ""
	}
	for _, v := range list {
		if v == nil || left.output.Refuses(v) == "" {
			return ""
		}
	}
	return left.text + " is " + left.kind + ", and no value in the list is valid for it"
}

// unordered returns the reason why two operands cannot be ordered, or "". Only two numbers or two strings can be ordered.
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

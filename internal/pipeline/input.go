package pipeline

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/value"
)

// DecodeValues decodes a map of values, such as a parameter file, from JSON or YAML. An empty file is an empty map. The error
// is of type Problems. YAML has values that JSON lacks: dates and keys become strings; infinities, NaN and values with other
// tags are errors.
func DecodeValues(name string, data []byte) (*value.Object, error) {
	if o, err := value.ParseObject(data); err == nil { // first as JSON: YAML does not know some of JSON's escapes
		return o, nil
	}
	s, o := newSource(name), &value.Object{}
	root := parse(s, data, "map", "")
	if root == nil || isNull(root) {
		return o, s.err()
	}
	if root.Kind != yaml.MappingNode {
		s.reportAt(position{root.Line, root.Column}, "", "expected %s, got %s", aMap, describe(root))
		return nil, s.err()
	}
	var l Literal
	d := &decoder{source: s}
	l.decodeNode(d, root, "")
	if o, ok := l.Value.(*value.Object); ok {
		return o, s.err()
	}
	return nil, s.err()
}

// CheckInput returns all problems of an execution's input. The compiled definition checks the same rules at run time; this
// check reports the problems before a run starts. It does not check the parameters in except.
func (p *Pipeline) CheckInput(given *value.Object, except ...string) []error {
	var problems []error
	for _, name := range given.Keys() {
		if _, known := p.Params.Get(name); !known {
			problems = append(problems, fmt.Errorf("unknown parameter %q%s", name, orOneOf(name, p.Params.Keys())))
		}
	}
	for _, e := range p.Params.Entries {
		if slices.Contains(except, e.Key) {
			continue
		}
		e.Value.check(e.Key, given, e.Key, func(path, msg string) {
			problems = append(problems, fmt.Errorf("%s %s", path, msg))
		})
	}
	return problems
}

// Normalize returns a valid input (one without problems in CheckInput) in the form that the steps get.
func (p *Pipeline) Normalize(given *value.Object) *value.Object {
	out := given.Clone()
	for _, e := range p.Params.Entries {
		if v, ok := given.Get(e.Key); ok {
			out.Set(e.Key, e.Value.Normalize(v))
		}
	}
	return out
}

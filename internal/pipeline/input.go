package pipeline

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/value"
)

// DecodeValues reads a file of values by name, JSON or YAML: an empty file has none. Its error is Problems. YAML has values
// that JSON lacks: a date is its text, a key is always text, and infinities, NaN and values with other tags are problems.
func DecodeValues(name string, data []byte) (*value.Object, error) {
	if o, err := value.ParseObject(data); err == nil { // YAML lacks some of JSON's escapes
		return o, nil
	}
	s, o := newSource(name), &value.Object{}
	root := parse(s, data, "mapping", "")
	if root == nil || isNull(root) {
		return o, s.err()
	}
	if root.Kind != yaml.MappingNode {
		s.reportAt(position{root.Line, root.Column}, "", "expected names with their values (name: value), not %s", describe(root))
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

// CheckInput says all that is wrong with an execution's input. The definition checks the same by itself; this is for
// callers that want to say so before anything starts.
func (p *Pipeline) CheckInput(given *value.Object) []error {
	var problems []error
	for _, name := range given.Keys() {
		if _, known := p.Params.Get(name); !known {
			problems = append(problems, fmt.Errorf("unknown parameter %q%s", name, orOneOf(name, p.Params.Keys())))
		}
	}
	for _, e := range p.Params.Entries {
		e.Value.check(e.Key, given, e.Key, func(path, msg string) {
			problems = append(problems, fmt.Errorf("%s %s", path, msg))
		})
	}
	return problems
}

// Normalize is an input in which CheckInput finds nothing as the definition's steps see it.
func (p *Pipeline) Normalize(given *value.Object) *value.Object {
	out := given.Clone()
	for _, e := range p.Params.Entries {
		if v, ok := given.Get(e.Key); ok {
			out.Set(e.Key, e.Value.Normalize(v))
		}
	}
	return out
}

package pipeline

import (
	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
	"github.com/rayorch/rayorch/internal/value"
)

// InheritEnv selects the environment variables that jobs on this machine inherit in addition to those that every job gets
// (package hostenv).
type InheritEnv struct {
	All   bool
	Names []string // PREFIX_* selects all names that start with PREFIX_
}

func (i *InheritEnv) decodeNode(d *decoder, n *yaml.Node, path string) {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool":
		_ = n.Decode(&i.All) // cannot fail: the tag is !!bool
	case n.Kind == yaml.SequenceNode:
		for at, item := range n.Content {
			d.inheritName(item, element(path, at), &i.Names)
		}
	default:
		d.fail(n, path, "expected %s, got %s", i.expected(), describe(n))
	}
}

func (d *decoder) inheritName(n *yaml.Node, path string, into *[]string) {
	if n = d.enter(n, path); n == nil {
		return
	}
	if n.Kind != yaml.ScalarNode || !hostenv.Name.MatchString(n.Value) {
		d.fail(n, path, "must be the name of an environment variable or PREFIX_*, not a value")
		return
	}
	*into = append(*into, n.Value)
}

func (i *InheritEnv) expected() string { return "true, or a list of names such as [AWS_*, HF_TOKEN]" }

func (i *InheritEnv) schema() *value.Object {
	return value.Obj("oneOf", []any{value.Obj("type", "boolean"),
		value.Obj("type", "array", "items", value.Obj("type", "string", "pattern", hostenv.Name.String()))})
}

// Value returns the form that a definition contains: true, the list of names, or nil if jobs inherit nothing more.
func (i *InheritEnv) Value() any {
	switch {
	case i.All:
		return true
	case len(i.Names) > 0:
		return value.FromGo(i.Names)
	}
	return nil
}

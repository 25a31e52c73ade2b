package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// YAML returns the objects as one file for kubectl: the same bytes for the same objects.
func YAML(objects []Object) ([]byte, error) {
	if len(objects) == 0 {
		return nil, nil // an encoder without documents cannot be closed
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	for _, o := range objects {
		n, err := node(o)
		if err == nil {
			err = enc.Encode(n)
		}
		if err != nil {
			return nil, fmt.Errorf("write the object %v as YAML: %w", o["kind"], err)
		}
	}
	return b.Bytes(), enc.Close()
}

// node converts a value to a node with ordered maps. The YAML encoder itself sorts keys, so that kind would come after data, where readers
// do not expect it.
func node(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case Object:
		return mapping(v)
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			child, err := node(item)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		return n, nil
	}
	n := &yaml.Node{}
	err := n.Encode(v)
	return n, err
}

func mapping(o Object) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range slices.SortedFunc(maps.Keys(o), byKey) {
		k, v := &yaml.Node{}, (*yaml.Node)(nil)
		err := k.Encode(key)
		if err == nil {
			v, err = node(o[key])
		}
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, k, v)
	}
	return n, nil
}

// first are the keys that come before all others, in this order.
var first = []string{"apiVersion", "kind", "metadata", "name", "namespace"}

func byKey(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) }

func rank(key string) int {
	if i := slices.Index(first, key); i >= 0 {
		return i
	}
	return len(first)
}

package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	"github.com/rogpeppe/go-internal/diff"
	"go.yaml.in/yaml/v3"
)

// Difference is what Apply would change in an object.
type Difference struct {
	Object Object
	Action string // Created, Changed or Unchanged
	Text   string // a unified diff of the object in YAML; "" for Unchanged
}

// Diff returns what Apply would change. It uses dry runs, so it changes nothing.
func (c *Client) Diff(ctx context.Context, objects []Object, o ApplyOptions) ([]Difference, error) {
	o.DryRun = true
	var all []Difference
	for _, object := range sorted(objects) {
		d, err := c.diffOne(ctx, object, o)
		if err != nil {
			return all, fmt.Errorf("compare %s: %w", Title(object), err)
		}
		all = append(all, d)
	}
	return all, nil
}

func (c *Client) diffOne(ctx context.Context, object Object, o ApplyOptions) (Difference, error) {
	path, err := c.path(ctx, object)
	if err != nil {
		return Difference{}, err
	}
	before, err := c.live(ctx, path)
	if err != nil {
		return Difference{}, err
	}
	after, err := c.patchApply(ctx, path, object, o)
	if before == nil && NotFound(err) { // its namespace does not exist yet
		after, err = object, nil
	}
	if err != nil {
		return Difference{}, explainConflict(err)
	}
	d := Difference{Object: object, Action: Changed}
	if before == nil {
		d.Action = Created
	} else if sameContent(before, after) {
		d.Action = Unchanged
		return d, nil
	}
	d.Text, err = unified(Title(object), before, after)
	return d, err
}

// content returns a copy of an object without its status and the metadata that the server sets.
func content(o Object) Object {
	o = maps.Clone(o)
	delete(o, "status")
	if meta, ok := o["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		for _, key := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"} {
			delete(meta, key)
		}
		o["metadata"] = meta
	}
	return o
}

func sameContent(a, b Object) bool { return reflect.DeepEqual(content(a), content(b)) }

// unified returns a unified diff of two objects in YAML.
func unified(title string, before, after Object) (string, error) {
	old, err := asYAML(before)
	if err != nil {
		return "", err
	}
	now, err := asYAML(after)
	if err != nil {
		return "", err
	}
	from, to := title+" (current)", title+" (after apply)"
	if bytes.Equal(old, now) { // they only differ in hidden values
		return fmt.Sprintf("--- %s\n+++ %s\n", from, to), nil
	}
	out := diff.Diff(from, old, to, now)
	_, out, _ = bytes.Cut(out, []byte("\n")) // the first line is the diff command
	return string(out), nil
}

// asYAML formats an object as YAML, without the values of a Secret. It returns an empty text for nil.
func asYAML(o Object) ([]byte, error) {
	if o == nil {
		return nil, nil
	}
	o = content(o)
	if Kind(o) == "Secret" {
		hide(o, "data")
		hide(o, "stringData")
	}
	var buf bytes.Buffer
	e := yaml.NewEncoder(&buf)
	e.SetIndent(2)
	err := e.Encode(numbers(o))
	return buf.Bytes(), err
}

// hide replaces the values of a map in an object with asterisks.
func hide(o Object, field string) {
	values, ok := o[field].(map[string]any)
	if !ok {
		return
	}
	hidden := make(map[string]any, len(values))
	for key := range values {
		hidden[key] = "***"
	}
	o[field] = hidden
}

// numbers converts floats with integer values, which is how encoding/json decodes all numbers, to integers: YAML would format
// large floats with an exponent.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, e := range v {
			m[key] = numbers(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = numbers(e)
		}
		return l
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	case json.Number:
		return v.String()
	}
	return v
}

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

// Difference is what applying an object would change.
type Difference struct {
	Object Object
	Action string // Created, Changed, Unchanged
	Text   string // a unified diff of the objects as YAML, "" for Unchanged
}

// Diff asks the server what applying the objects would change; nothing is changed.
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
	if before == nil && NotFound(err) { // its namespace is yet to be made
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

// content is an object without what the server keeps for itself.
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

// unified is what diff -u prints of the two objects as YAML.
func unified(title string, before, after Object) (string, error) {
	old, err := asYAML(before)
	if err != nil {
		return "", err
	}
	now, err := asYAML(after)
	if err != nil {
		return "", err
	}
	from, to := title+", as it is", title+", as it would be"
	if bytes.Equal(old, now) { // they differ in what is hidden
		return fmt.Sprintf("--- %s\n+++ %s\n", from, to), nil
	}
	out := diff.Diff(from, old, to, now)
	_, out, _ = bytes.Cut(out, []byte("\n")) // its first line is a diff command
	return string(out), nil
}

// asYAML is an object as YAML; empty for none.
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

// hide keeps a Secret's values off the screen.
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

// numbers makes whole numbers of those that JSON made floats, which YAML would print with an exponent.
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

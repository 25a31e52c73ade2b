package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

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
	old, err := lines(before)
	if err != nil {
		return "", err
	}
	now, err := lines(after)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s, as it is\n+++ %s, as it would be\n", title, title)
	for _, h := range hunks(edits(old, now)) {
		h.write(&b)
	}
	return b.String(), nil
}

func lines(o Object) ([]string, error) {
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
	if err := e.Encode(numbers(o)); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n"), nil
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

// edit is one line of a comparison: ' ' in both, '-' only before, '+' only after.
type edit struct {
	op   byte
	text string
}

// edits compares by the longest common subsequence of what lies between equal beginnings and ends.
func edits(a, b []string) []edit {
	var head, tail []edit
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head, a, b = append(head, edit{' ', a[0]}), a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, edit{' ', a[len(a)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	slices.Reverse(tail)
	return slices.Concat(head, between(a, b), tail)
}

// most bounds the square that a comparison takes: what differs more is shown as replaced.
const most = 4 << 20

func between(a, b []string) []edit {
	var out []edit
	var common [][]int32
	if len(a)*len(b) <= most {
		common = commonLengths(a, b)
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && common != nil && a[i] == b[j]:
			out = append(out, edit{' ', a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common == nil || common[i+1][j] >= common[i][j+1]):
			out = append(out, edit{'-', a[i]})
			i++
		default:
			out = append(out, edit{'+', b[j]})
			j++
		}
	}
	return out
}

// commonLengths has at i, j how many lines the rests of a from i and of b from j have in common, in order.
func commonLengths(a, b []string) [][]int32 {
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	return common
}

// hunk is a piece of a comparison with what surrounds its changes.
type hunk struct {
	old, now int // the lines before it
	edits    []edit
}

// around is how many equal lines a hunk shows on each side.
const around = 3

func hunks(all []edit) []hunk {
	var out []hunk
	old, now, end := 0, 0, -1 // end is the index behind the last hunk's edits
	for i, e := range all {
		if e.op != ' ' {
			from, to := max(i-around, 0), min(i+1+around, len(all))
			if from > end { // the lines from there to here are in both
				out = append(out, hunk{old: old - (i - from), now: now - (i - from)})
				end = from
			}
			last := &out[len(out)-1]
			last.edits = append(last.edits, all[min(end, to):to]...)
			end = max(end, to)
		}
		if e.op != '+' {
			old++
		}
		if e.op != '-' {
			now++
		}
	}
	return out
}

func (h hunk) write(b *strings.Builder) {
	old, now := 0, 0
	for _, e := range h.edits {
		if e.op != '+' {
			old++
		}
		if e.op != '-' {
			now++
		}
	}
	fmt.Fprintf(b, "@@ -%s +%s @@\n", span(h.old, old), span(h.now, now))
	for _, e := range h.edits {
		fmt.Fprintf(b, "%c%s\n", e.op, e.text)
	}
}

// span is a hunk's place, which counts from 1 but for nothing at all.
func span(before, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", before)
	}
	return fmt.Sprintf("%d,%d", before+1, n)
}

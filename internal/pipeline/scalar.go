package pipeline

import (
	"cmp"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field is one field of a struct, as its tags say.
type field struct {
	name  string
	index int
	typ   reflect.Type
	tag   reflect.StructTag
}

// fieldsOf are the fields of a struct by their names in the file.
func fieldsOf(t reflect.Type) map[string]field {
	fields := map[string]field{}
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("yaml"); name != "" {
			fields[name] = field{name, i, f.Type, f.Tag}
		}
	}
	return fields
}

func sortedNames(fields map[string]field) []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(fields[a].index, fields[b].index) })
	return names
}

// hint names the field meant, or all fields when none is near.
func hint(got string, fields map[string]field) string {
	names := sortedNames(fields)
	if h := near(got, names); h != "" {
		return h
	}
	return "; expected one of " + strings.Join(names, ", ")
}

// describe says what a node is, in words for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	text := n.Value
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "..."
	}
	return strconv.Quote(text)
}

// expected says in words what a type takes.
func expected(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if own, ok := reflect.New(t).Interface().(interface{ expected() string }); ok {
		return own.expected()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Struct:
		return "fields"
	}
	return "text"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// scalar reads a plain value. Its YAML type must fit: "3" is text, and 3 is none, so that nothing is taken for what it
// was not meant to be (the version 1.10, the country NO).
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(n, path, "expected %s, not %s", expected(v.Type()), describe(n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.text(n, path, v, tag)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			d.fail(n, path, "expected true or false, not %s", describe(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		d.number(n, path, tag, true, func(f float64) { v.SetInt(int64(f)) })
	case reflect.Float64:
		d.number(n, path, tag, false, v.SetFloat)
	}
}

// number reads a number and holds it to its bounds.
func (d *decoder) number(n *yaml.Node, path string, tag reflect.StructTag, whole bool, set func(float64)) {
	f, ok := numberOf(n)
	switch {
	case !ok && whole, ok && whole && (f != math.Trunc(f) || math.Abs(f) > 1<<53):
		d.fail(n, path, "expected a whole number, not %s", describe(n))
		return
	case !ok:
		d.fail(n, path, "expected a number, not %s", describe(n))
		return
	}
	least, err := strconv.ParseFloat(tag.Get("min"), 64)
	if tag.Get("min") == tag.Get("max") && err == nil && f != least {
		d.fail(n, path, "must be %s", tag.Get("min"))
		return
	}
	if err == nil && f < least {
		d.fail(n, path, "must be %s or more", tag.Get("min"))
		return
	}
	if most, err := strconv.ParseFloat(tag.Get("max"), 64); err == nil && f > most {
		d.fail(n, path, "must be %s or less", tag.Get("max"))
		return
	}
	set(f)
}

// numberOf reads a finite number in any of YAML's notations.
func numberOf(n *yaml.Node) (float64, bool) {
	if t := n.ShortTag(); n.Kind != yaml.ScalarNode || t != "!!int" && t != "!!float" {
		return 0, false
	}
	var f float64
	if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

var (
	namePattern  = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9-]{0,38}[A-Za-z0-9])?$`)
	identPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
)

// text reads text and holds it to what its field takes.
func (d *decoder) text(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if t := n.ShortTag(); t != "!!str" && t != "!!timestamp" {
		d.fail(n, path, "expected text, not %s; put it in quotes", n.Value)
		return
	}
	if enum := tag.Get("enum"); enum != "" && !slices.Contains(strings.Split(enum, "|"), n.Value) {
		words := strings.Split(enum, "|")
		d.fail(n, path, "expected one of %s, not %s%s", strings.Join(words, ", "), describe(n), near(n.Value, words))
		return
	}
	switch kind := tag.Get("kind"); {
	case kind == "name" && !namePattern.MatchString(n.Value):
		d.fail(n, path, "must be letters, digits and dashes, start with a letter, not end with a dash, and have at most 40")
		return
	case kind == "ident" && !identPattern.MatchString(n.Value):
		d.fail(n, path, "must be letters, digits and underscores, start with a letter, and have at most 64")
		return
	}
	v.SetString(n.Value)
}

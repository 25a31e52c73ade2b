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

// field is a field of a struct with a yaml tag; name is the name in the file.
type field struct {
	name  string
	index int
	typ   reflect.Type
	tag   reflect.StructTag
}

// fieldsOf returns the fields of a struct by their names in the file.
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

// sortedNames returns the names in the order of the struct.
func sortedNames(fields map[string]field) []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(fields[a].index, fields[b].index) })
	return names
}

// suggestField returns the end of a message about an unknown field: the similar field, or all fields if none is similar.
func suggestField(got string, fields map[string]field) string {
	names := sortedNames(fields)
	if h := didYouMean(got, names); h != "" {
		return h
	}
	return "; expected one of " + strings.Join(names, ", ")
}

// aMap describes a map in messages.
const aMap = "a map (name: value)"

// describe returns what a node is, for messages: its kind, or its value in quotes.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "null"
	}
	text := n.Value
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "..."
	}
	return strconv.Quote(text)
}

// expected returns what a type accepts, for messages.
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
		return "an integer"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Struct:
		return aMap
	}
	return "a string"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// scalar decodes a scalar. Values are not converted between YAML types ("3" is a string, 3 is not), because YAML's guesses can
// differ from what the author meant: the version 1.10 is the number 1.1, and the country NO is false.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(n, path, "expected %s, got %s", expected(v.Type()), describe(n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.text(n, path, v, tag)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			d.fail(n, path, "expected true or false, got %s", describe(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		d.number(n, path, tag, true, func(f float64) { v.SetInt(int64(f)) })
	case reflect.Float64:
		d.number(n, path, tag, false, v.SetFloat)
	}
}

// number decodes a number and checks the bounds in the tag. Integers must be at most 2^53, the largest that a float64 keeps exactly.
func (d *decoder) number(n *yaml.Node, path string, tag reflect.StructTag, whole bool, set func(float64)) {
	f, ok := numberOf(n)
	switch {
	case !ok && whole, ok && whole && (f != math.Trunc(f) || math.Abs(f) > 1<<53):
		d.fail(n, path, "expected an integer, got %s", describe(n))
		return
	case !ok:
		d.fail(n, path, "expected a number, got %s", describe(n))
		return
	}
	least, err := strconv.ParseFloat(tag.Get("min"), 64)
	if tag.Get("min") == tag.Get("max") && err == nil && f != least {
		d.fail(n, path, "must be %s, got %s", tag.Get("min"), n.Value)
		return
	}
	if err == nil && f < least {
		d.fail(n, path, "must be at least %s, got %s", tag.Get("min"), n.Value)
		return
	}
	if most, err := strconv.ParseFloat(tag.Get("max"), 64); err == nil && f > most {
		d.fail(n, path, "must be at most %s, got %s", tag.Get("max"), n.Value)
		return
	}
	set(f)
}

// numberOf returns the value of a finite number in any YAML notation.
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

// text decodes a string and checks the enum or the kind in the tag.
func (d *decoder) text(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if t := n.ShortTag(); t != "!!str" && t != "!!timestamp" {
		d.fail(n, path, "expected a string, got %s; put it in quotes", n.Value)
		return
	}
	if enum := tag.Get("enum"); enum != "" && !slices.Contains(strings.Split(enum, "|"), n.Value) {
		words := strings.Split(enum, "|")
		d.fail(n, path, "expected one of %s, got %s%s", strings.Join(words, ", "), describe(n), didYouMean(n.Value, words))
		return
	}
	switch kind := tag.Get("kind"); {
	case kind == "name" && !namePattern.MatchString(n.Value):
		d.fail(n, path, "must consist of 1 to 40 letters, digits and dashes, start with a letter, and not end with a dash, got %s", describe(n))
		return
	case kind == "ident" && !identPattern.MatchString(n.Value):
		d.fail(n, path, "must consist of 1 to 64 letters, digits and underscores, and start with a letter, got %s", describe(n))
		return
	}
	v.SetString(n.Value)
}

package pipeline

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of a file. They keep aliases and nesting from exhausting memory or the stack.
const (
	MaxFileSize = 1 << 20 // bytes
	maxNodes    = 100_000 // values, each use of an alias counted
	maxNesting  = 60      // levels
)

// Decode decodes and checks a pipeline file. The error is of type Problems and contains all errors in the file. name is the
// file's name in messages.
func Decode(name string, data []byte) (*Pipeline, error) {
	s := newSource(name)
	root := parse(s, data, "pipeline", "the file is empty; start with version: 1, or run rayorch init")
	if root == nil {
		return nil, s.err()
	}
	p := &Pipeline{source: s}
	d := &decoder{source: s}
	d.decode(root, "", reflect.ValueOf(p).Elem(), "")
	check(p, s)
	if err := s.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// parse returns the root of the file's only document, or nil if there is none or the file cannot be parsed. kind says in messages
// what the file contains. empty is the error for a file without a document; if it is "", such a file is valid.
func parse(s *source, data []byte, kind, empty string) *yaml.Node {
	switch {
	case len(data) > MaxFileSize:
		s.report("", "the file must have at most %d bytes, got %d", MaxFileSize, len(data))
		return nil
	case !utf8.Valid(data):
		s.report("", "the file must be encoded in UTF-8")
		return nil
	}
	reader := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := reader.Decode(&doc)
	if err != nil && !errors.Is(err, io.EOF) {
		reportYAML(s, err)
		return nil
	}
	if err := reader.Decode(&more); !errors.Is(err, io.EOF) {
		s.reportAt(position{more.Line, more.Column}, "", "a file contains one %s; remove --- and everything after it", kind)
		return nil
	}
	if len(doc.Content) == 1 {
		return doc.Content[0]
	}
	if empty != "" {
		s.report("", "%s", empty)
	}
	return nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// reportYAML reports an error of the YAML library, which has a line but no column.
func reportYAML(s *source, err error) {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	m := yamlLine.FindStringSubmatch(text)
	line := 1
	if m != nil {
		text = strings.TrimPrefix(text, m[0])
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	s.reportAt(position{line, 1}, "", "not valid YAML: %s", text)
}

// decoder sets Go values from YAML nodes by reflection and records the position of each path.
type decoder struct {
	*source
	nodes, depth int
	overLimit    bool // maxNodes or maxNesting was exceeded, and the error was reported
}

// nodeDecoder is a type that decodes its node itself.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, path string)
}

// enter resolves aliases and counts the node. It returns nil, after an error, if a limit is exceeded or the tag is not supported.
func (d *decoder) enter(n *yaml.Node, path string) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.nodes++
	if d.nodes > maxNodes || d.depth > maxNesting {
		if !d.overLimit {
			d.overLimit = true
			d.fail(n, path, "the file must have at most %d values, aliases included, and at most %d levels of nesting", maxNodes, maxNesting)
		}
		return nil
	}
	if tag := n.ShortTag(); !slices.Contains(tags, tag) {
		d.fail(n, path, "the YAML tag %s is not supported", tag)
		return nil
	}
	return n
}

// tags are the supported YAML tags: those of JSON values, and of dates, which are decoded as strings.
var tags = []string{"!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}

// fail reports a problem at a node.
func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.reportAt(position{n.Line, n.Column}, path, format, args...)
}

// decode decodes a node into v and records its position. The position of a field is that of its key, which the caller has recorded.
func (d *decoder) decode(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	alias := n
	if n = d.enter(n, path); n == nil {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	if !d.written(path) {
		d.at[path] = position{alias.Line, alias.Column}
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if own, ok := v.Addr().Interface().(nodeDecoder); ok {
		own.decodeNode(d, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, path, v)
	case reflect.Slice:
		d.list(n, path, v, tag)
	default:
		d.scalar(n, path, v, tag)
	}
}

// object decodes a map into a struct. Unknown, duplicate and missing required fields are errors; other missing fields get their
// defaults.
func (d *decoder) object(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		got := describe(n)
		if v.Type() == reflect.TypeFor[Secret]() && n.Kind == yaml.ScalarNode {
			got = "a string; never write a secret's value into the file" // the message must not contain the value either
		}
		d.fail(n, path, "expected %s, got %s", aMap, got)
		d.broken[path] = true
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	d.pairs(n, path, func(key, val *yaml.Node) {
		f, ok := fields[key.Value]
		if !ok {
			d.unknown(key, val, path, fields)
			return
		}
		seen[key.Value] = true
		d.at[join(path, key.Value)] = position{key.Line, key.Column}
		if isNull(val) && f.tag.Get("need") == "" {
			d.fail(val, join(path, key.Value), "has no value; remove the field, or set it to %s", expected(f.typ))
			return
		}
		d.decode(val, join(path, key.Value), v.Field(f.index), f.tag)
	})
	for _, name := range sortedNames(fields) {
		f := fields[name]
		switch {
		case seen[name]:
		case f.tag.Get("need") != "":
			d.fail(n, join(path, name), "is missing; expected %s", expected(f.typ))
		default:
			d.fieldDefault(f, v.Field(f.index))
		}
	}
}

// unknown reports an unknown field. It detects a common error in YAML: {text: one, two} has two keys, text and two.
func (d *decoder) unknown(key, val *yaml.Node, path string, fields map[string]field) {
	if isNull(val) && strings.Contains(key.Value, " ") {
		d.fail(key, path, "%s is a key without a value; inside { }, put a string that contains a comma in quotes", describe(key))
		return
	}
	if why := unsupported[key.Value]; why != "" {
		d.fail(key, join(path, key.Value), "%s", why)
		return
	}
	d.fail(key, join(path, key.Value), "unknown field%s", suggestField(key.Value, fields))
}

// unsupported has the messages for fields that users expect but that do not exist: they name the alternative.
var unsupported = map[string]string{
	"secretsManager": "rayorch does not read AWS Secrets Manager; use an operator in the cluster (External Secrets, the Secrets Store CSI " +
		"driver) to copy the secret into a Kubernetes Secret, and name that Secret in kubernetesSecret",
}

// pairs calls f for each key of a map in order and reports keys that are not strings or occur twice. Merge keys (<<) come
// last, and the map's own keys take precedence over theirs.
func (d *decoder) pairs(n *yaml.Node, path string, f func(key, val *yaml.Node)) {
	seen := map[string]bool{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		switch {
		case key.Tag == "!!merge":
			merged = append(merged, val)
		case key.Kind != yaml.ScalarNode:
			d.fail(key, path, "a key must be a string, got %s", describe(key))
		case seen[key.Value]:
			d.fail(key, join(path, key.Value), "duplicate key")
		default:
			seen[key.Value] = true
			f(key, val)
		}
	}
	for _, m := range merged {
		d.merge(m, path, seen, f)
	}
}

// merge adds the keys of a merge key's value: a map, or a list of maps, in which earlier maps take precedence.
func (d *decoder) merge(n *yaml.Node, path string, seen map[string]bool, f func(key, val *yaml.Node)) {
	if n = d.enter(n, path); n == nil {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			d.merge(item, path, seen, f)
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "the value of << must be a map or a list of maps, got %s", describe(n))
		return
	}
	d.pairs(n, path, func(key, val *yaml.Node) {
		if !seen[key.Value] {
			seen[key.Value] = true
			f(key, val)
		}
	})
}

// list decodes a list into a slice and checks the minimum length in the tag.
func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "expected a list, got %s", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	if least, err := strconv.Atoi(tag.Get("min")); err == nil && len(n.Content) < least {
		noun := "items"
		if least == 1 {
			noun = "item"
		}
		d.fail(n, path, "must have at least %d %s, got %d", least, noun, len(n.Content))
	}
	for i, item := range n.Content {
		d.decode(item, element(path, i), v.Index(i), "")
	}
}

// defaults sets the defaults of a struct that the file does not contain.
func (d *decoder) defaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	if _, own := v.Addr().Interface().(nodeDecoder); own {
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		d.fieldDefault(f, v.Field(f.index))
	}
}

// fieldDefault decodes the default of a field as if the file contained it: tags have defaults in the syntax of the file.
func (d *decoder) fieldDefault(f field, v reflect.Value) {
	def, ok := f.tag.Lookup("def")
	if !ok {
		d.defaults(v)
		return
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: def}
	if f.typ.Kind() == reflect.String {
		n.Tag = "!!str"
	} else {
		n.Tag = n.ShortTag()
	}
	quiet := &decoder{source: newSource("")}
	quiet.decode(n, "", v, f.tag)
}

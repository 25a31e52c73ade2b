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

// Limits of a file: beyond them it is refused as a whole, so that aliases and nesting cannot use up memory or stack.
const (
	MaxFileSize = 1 << 20
	maxNodes    = 100_000
	maxNesting  = 60
)

// Decode reads a pipeline file. Its error is Problems: every mistake at once. name stands for the file in messages.
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

// parse is the root of the file's one document, or nil when it has an error after which nothing can be read. kind is what the
// file holds, and empty the problem of a file that holds nothing; without one such a file is fine.
func parse(s *source, data []byte, kind, empty string) *yaml.Node {
	switch {
	case len(data) > MaxFileSize:
		s.report("", "the file has %d bytes; at most %d are read", len(data), MaxFileSize)
		return nil
	case !utf8.Valid(data):
		s.report("", "the file must be UTF-8 text")
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
		s.reportAt(position{more.Line, more.Column}, "", "a file holds one %s; remove what follows ---", kind)
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

// reportYAML gives on what the YAML library says, which knows a line but no column.
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

// decoder fills Go values from YAML nodes by reflection, noting where each path was.
type decoder struct {
	*source
	nodes, depth int
	full         bool // the budget is used up and that was reported
}

// nodeDecoder is a type that reads its node by itself.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, path string)
}

// enter resolves aliases and spends the budget of one node; nil when it is used up.
func (d *decoder) enter(n *yaml.Node, path string) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.nodes++
	if d.nodes > maxNodes || d.depth > maxNesting {
		if !d.full {
			d.full = true
			d.fail(n, path, "the file nests or repeats too much (at most %d values, %d deep)", maxNodes, maxNesting)
		}
		return nil
	}
	if tag := n.ShortTag(); !slices.Contains(tags, tag) {
		d.fail(n, path, "the YAML tag %s is not supported", tag)
		return nil
	}
	return n
}

// tags are those of JSON's values, and of dates, which are text here.
var tags = []string{"!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}

// fail reports a problem at a node.
func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.reportAt(position{n.Line, n.Column}, path, format, args...)
}

// decode reads a node into v and notes where it stood. The place of a field is its key, which was noted before.
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

// object reads the fields of a struct: each once, none unknown, those that are needed all there, defaults for the rest.
func (d *decoder) object(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		got := describe(n)
		if v.Type() == reflect.TypeFor[Secret]() && n.Kind == yaml.ScalarNode {
			got = "text; never write a secret's value" // nor print it
		}
		d.fail(n, path, "expected fields (name: value), not %s", got)
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
			d.fail(val, join(path, key.Value), "has no value; remove it, or give %s", expected(f.typ))
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

// unknown reports a field that is not there, and a mistake that YAML makes easy: {text: one, two} has two keys.
func (d *decoder) unknown(key, val *yaml.Node, path string, fields map[string]field) {
	if isNull(val) && strings.Contains(key.Value, " ") {
		d.fail(key, path, "%s stands alone; a text with a comma inside { } must be in quotes", describe(key))
		return
	}
	if why := elsewhere[key.Value]; why != "" {
		d.fail(key, join(path, key.Value), "%s", why)
		return
	}
	d.fail(key, join(path, key.Value), "unknown field%s", hint(key.Value, fields))
}

// elsewhere says of fields that people look for where the thing itself is to be had.
var elsewhere = map[string]string{
	"secretsManager": "no target reads AWS Secrets Manager itself: have an operator in the cluster (External Secrets, the Secrets Store CSI driver) " +
		"copy the secret into a Kubernetes Secret, and name that one by kubernetesSecret",
}

// pairs calls f for each key of a mapping in order, reporting keys that are no text or are there twice. Merge keys (<<)
// are taken up after the mapping's own keys, which win.
func (d *decoder) pairs(n *yaml.Node, path string, f func(key, val *yaml.Node)) {
	seen := map[string]bool{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		switch {
		case key.Tag == "!!merge":
			merged = append(merged, val)
		case key.Kind != yaml.ScalarNode:
			d.fail(key, path, "a key must be text, not %s", describe(key))
		case seen[key.Value]:
			d.fail(key, join(path, key.Value), "is there twice")
		default:
			seen[key.Value] = true
			f(key, val)
		}
	}
	for _, m := range merged {
		d.merge(m, path, seen, f)
	}
}

// merge takes up what << names: fields, or a list of them, of which the first wins.
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
		d.fail(n, path, "<< must name fields to take over, not %s", describe(n))
		return
	}
	d.pairs(n, path, func(key, val *yaml.Node) {
		if !seen[key.Value] {
			seen[key.Value] = true
			f(key, val)
		}
	})
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "expected a list, not %s", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	if least, err := strconv.Atoi(tag.Get("min")); err == nil && len(n.Content) < least {
		d.fail(n, path, "needs at least %d", least)
	}
	for i, item := range n.Content {
		d.decode(item, element(path, i), v.Index(i), "")
	}
}

// defaults fills what a file leaves out.
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

// fieldDefault reads a default as if it stood in the file, so that it is written in the file's own words.
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

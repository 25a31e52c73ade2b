package pipeline

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Schema returns the JSON Schema (draft 2020-12) of a pipeline file, generated from the types and tags that Decode uses. Only
// Decode checks what JSON Schema cannot express: references, the order of steps, and bounds that depend on each other.
func Schema() []byte {
	g := &schemaMaker{defs: map[string]*value.Object{}}
	root := g.object(reflect.TypeFor[Pipeline]())
	out := value.Obj("$schema", "https://json-schema.org/draft/2020-12/schema", "title", "rayorch pipeline")
	for i := range root.Len() {
		out.Set(root.At(i))
	}
	defs := &value.Object{}
	for _, name := range g.names() {
		defs.Set(name, g.defs[name])
	}
	out.Set("$defs", defs)
	var b bytes.Buffer
	if err := json.Indent(&b, value.Bytes(out), "", "  "); err != nil {
		panic(err) // value.Bytes always writes valid JSON
	}
	return b.Bytes()
}

// schemaMaker turns types into schemas. Structs become entries of $defs, because Step contains itself.
type schemaMaker struct{ defs map[string]*value.Object }

func (g *schemaMaker) names() []string {
	names := make([]string, 0, len(g.defs))
	for name := range g.defs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// schemed is a type with a schema of its own, as nodeDecoder is a type with its own decoding.
type schemed interface{ schema() *value.Object }

// mapped is a Map; elem returns the type of its values.
type mapped interface{ elem() reflect.Type }

// of returns the schema of a type. Its cases correspond to those of decoder.decode.
func (g *schemaMaker) of(t reflect.Type, tag reflect.StructTag) *value.Object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch own := reflect.New(t).Interface().(type) {
	case schemed:
		return own.schema()
	case *Output:
		kind, _ := reflect.TypeFor[Param]().FieldByName("Type")
		return value.Obj("oneOf", []any{text(kind.Tag), g.of(reflect.TypeFor[Param](), "")})
	case mapped:
		return value.Obj("type", "object", "additionalProperties", g.of(own.elem(), ""))
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.reference(t)
	case reflect.Slice:
		return withBounds(value.Obj("type", "array", "items", g.of(t.Elem(), "")), "minItems", "", tag)
	case reflect.Bool:
		return value.Obj("type", "boolean")
	case reflect.Int:
		return withBounds(value.Obj("type", "integer"), "minimum", "maximum", tag)
	case reflect.Float64:
		return withBounds(value.Obj("type", "number"), "minimum", "maximum", tag)
	}
	return text(tag)
}

// text returns the schema of a string with the enum or the pattern that the tag requires.
func text(tag reflect.StructTag) *value.Object {
	o := value.Obj("type", "string")
	if enum := tag.Get("enum"); enum != "" {
		o.Set("enum", value.FromGo(strings.Split(enum, "|")))
	}
	switch tag.Get("kind") {
	case "name":
		o.Set("pattern", namePattern.String())
	case "ident":
		o.Set("pattern", identPattern.String())
	}
	return o
}

// withBounds adds the tag's min and max under the given keywords. An empty keyword means that the type has no such bound.
func withBounds(o *value.Object, least, most string, tag reflect.StructTag) *value.Object {
	for _, b := range []struct{ keyword, bound string }{{least, tag.Get("min")}, {most, tag.Get("max")}} {
		if b.keyword != "" && b.bound != "" {
			o.Set(b.keyword, value.Number(b.bound))
		}
	}
	return o
}

// reference returns a $ref to the schema of a struct and creates that schema on first use.
func (g *schemaMaker) reference(t reflect.Type) *value.Object {
	if _, made := g.defs[t.Name()]; !made {
		g.defs[t.Name()] = nil // prevents endless recursion: the struct may contain itself
		g.defs[t.Name()] = g.object(t)
	}
	return value.Obj("$ref", "#/$defs/"+t.Name())
}

// object returns the schema of a struct, which allows only the fields that have tags.
func (g *schemaMaker) object(t reflect.Type) *value.Object {
	fields := fieldsOf(t)
	properties, required := &value.Object{}, []any{}
	for _, name := range sortedNames(fields) {
		f := fields[name]
		s := g.of(f.typ, f.tag)
		s.Set("description", f.tag.Get("doc"))
		if def, ok := f.tag.Lookup("def"); ok {
			s.Set("default", defaultValue(def, f.typ))
		}
		properties.Set(name, s)
		if f.tag.Get("need") != "" {
			required = append(required, name)
		}
	}
	o := value.Obj("type", "object", "properties", properties)
	if len(required) > 0 {
		o.Set("required", required)
	}
	o.Set("additionalProperties", false)
	if kinds := alternatives[t.Name()]; len(kinds) > 0 {
		o.Set("oneOf", oneOf(kinds))
	}
	return o
}

// alternatives lists, by struct, the fields of which exactly one is required. checker.oneKind checks the same in Decode.
var alternatives = map[string][]string{
	"Step": {"ray", "job", "parallel", "forEach"}, "Cleanup": {"ray", "job"}, "Job": {"command", "shell"},
}

func oneOf(fields []string) []any {
	out := make([]any, len(fields))
	for i, f := range fields {
		out[i] = value.Obj("required", []any{f})
	}
	return out
}

// defaultValue returns a default as JSON. Values that are written as strings in the file, such as 15m, remain strings.
func defaultValue(def string, t reflect.Type) any {
	switch t.Kind() {
	case reflect.Int, reflect.Float64:
		if _, err := strconv.ParseFloat(def, 64); err == nil {
			return value.Number(def)
		}
	case reflect.Bool:
		return def == "true"
	}
	return def
}

// referencePattern matches a string that consists of one reference.
const referencePattern = `^\s*\$\{\{.*\}\}\s*$`

func (t *Duration) schema() *value.Object {
	return value.Obj("oneOf", []any{value.Obj("type", "integer", "minimum", value.Int(1), "maximum", value.Int(stepfn.MaxSeconds)),
		value.Obj("type", "string", "pattern", `^(\d+d)?((\d+(\.\d+)?)(h|m|s|ms))*$`, "minLength", value.Int(2))})
}

func (q *Quantity) schema() *value.Object {
	return value.Obj("oneOf", []any{value.Obj("type", "integer", "minimum", value.Int(1)),
		value.Obj("type", "string", "pattern", quantityPattern.String()),
		value.Obj("type", "string", "pattern", referencePattern)})
}

func (x *Number) schema() *value.Object {
	return value.Obj("oneOf", []any{value.Obj("type", "number", "minimum", value.Int(0)),
		value.Obj("type", "string", "pattern", referencePattern)})
}

func (t *Template) schema() *value.Object  { return value.Obj("type", "string") }
func (s *Shell) schema() *value.Object     { return value.Obj("type", "string", "minLength", value.Int(1)) }
func (c *Condition) schema() *value.Object { return value.Obj("type", []any{"string", "boolean"}) }
func (l *Literal) schema() *value.Object   { return &value.Object{} }
func (x *Dynamic) schema() *value.Object   { return &value.Object{} }

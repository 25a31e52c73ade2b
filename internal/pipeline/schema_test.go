package pipeline_test

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// schema is a JSON Schema. The validator below supports only the keywords that Schema uses; others fail the test.
type schema map[string]any

func load(t *testing.T) schema {
	t.Helper()
	s := schema{}
	if err := json.Unmarshal(pipeline.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// problems returns the errors of v according to s, a part of the schema root.
func (root schema) problems(s schema, v any, path string) []string {
	if ref, ok := s["$ref"].(string); ok {
		s = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	var out []string
	for keyword, want := range s {
		if msg := root.keyword(keyword, want, s, v, path, &out); !msg {
			out = append(out, fmt.Sprintf("%s: %s %v", path, keyword, want))
		}
	}
	return out
}

// keyword reports whether v is valid for one keyword of s. It adds the errors of items and properties to out.
func (root schema) keyword(keyword string, want any, s schema, v any, path string, out *[]string) bool {
	text, isText := v.(string)
	number, isNumber := numberOf(v)
	list, isList := v.([]any)
	object, isObject := v.(map[string]any)
	switch keyword {
	case "type":
		return slices.ContainsFunc(asList(want), func(name any) bool { return hasType(v, name.(string)) })
	case "enum":
		return slices.Contains(want.([]any), v)
	case "pattern":
		return !isText || regexp.MustCompile(want.(string)).MatchString(text)
	case "minLength":
		return !isText || float64(len([]rune(text))) >= want.(float64)
	case "minimum":
		return !isNumber || number >= want.(float64)
	case "maximum":
		return !isNumber || number <= want.(float64)
	case "minItems":
		return !isList || float64(len(list)) >= want.(float64)
	case "items":
		for i, item := range list {
			*out = append(*out, root.problems(want.(map[string]any), item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case "required":
		return !isObject || !slices.ContainsFunc(want.([]any), func(k any) bool { _, ok := object[k.(string)]; return !ok })
	case "oneOf":
		n := 0
		for _, one := range want.([]any) {
			if len(root.problems(one.(map[string]any), v, path)) == 0 {
				n++
			}
		}
		return n == 1
	case "additionalProperties":
		properties, _ := s["properties"].(map[string]any)
		for k, item := range object {
			sub, known := properties[k].(map[string]any)
			if inner, isSchema := want.(map[string]any); !known && isSchema {
				sub, known = inner, true
			}
			if !known {
				return false
			}
			*out = append(*out, root.problems(sub, item, path+"."+k)...)
		}
	case "$schema", "title", "properties", "$defs", "description", "default", "$ref":
	default:
		return false
	}
	return true
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func numberOf(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func hasType(v any, name string) bool {
	number, isNumber := numberOf(v)
	switch name {
	case "integer":
		return isNumber && number == math.Trunc(number)
	case "number":
		return isNumber
	}
	kinds := map[string]reflect.Kind{"string": reflect.String, "boolean": reflect.Bool, "array": reflect.Slice, "object": reflect.Map}
	return v != nil && reflect.TypeOf(v).Kind() == kinds[name]
}

func asYAML(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchemaAcceptsValidFiles(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root := load(t)
	for _, path := range append(paths, "testdata/full.yaml", "template/pipeline.yaml") {
		for _, problem := range root.problems(root, asYAML(t, read(t, path)), "") {
			t.Errorf("%s: %s", path, problem)
		}
	}
}

func TestSchemaRejectsInvalidFiles(t *testing.T) {
	const job = "steps: [{name: a, job: {shell: x}}]\n"
	root := load(t)
	for name, text := range map[string]string{
		"version":        "version: 2\nname: p\n" + job,
		"no name":        "version: 1\n" + job,
		"bad name":       "version: 1\nname: a b\n" + job,
		"unknown field":  start + job + "stepps: []\n",
		"no steps":       start + "steps: []\n",
		"two kinds":      start + "steps: [{name: a, job: {shell: x}, ray: {entrypoint: x}}]\n",
		"no kind":        start + "steps: [{name: a}]\n",
		"no entrypoint":  start + "steps: [{name: a, ray: {}}]\n",
		"duration":       start + "timeout: soon\n" + job,
		"duration 0":     start + "timeout: 0\n" + job,
		"memory":         start + "steps: [{name: a, ray: {entrypoint: x, memory: lots}}]\n",
		"cpus":           start + "steps: [{name: a, ray: {entrypoint: x, cpus: -1}}]\n",
		"param type":     start + "params: {a: {type: int}}\n" + job,
		"param not map":  start + "params: {a: 1}\n" + job,
		"attempts":       start + "steps: [{name: a, job: {shell: x}, retry: {attempts: 0}}]\n",
		"env not string": start + "steps: [{name: a, job: {shell: x, env: {A: 1}}}]\n",
		"nested unknown": start + "steps: [{name: a, parallel: {steps: [{name: b, job: {shel: x}}]}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if len(root.problems(root, asYAML(t, []byte(text)), "")) == 0 {
				t.Error("the file is valid according to the schema")
			}
			if _, err := pipeline.Decode("f", []byte(text)); err == nil {
				t.Error("Decode accepts the file")
			}
		})
	}
}

func TestSchemaIsStable(t *testing.T) {
	first, second := string(pipeline.Schema()), string(pipeline.Schema())
	if first != second {
		t.Error("two calls of Schema return different schemas")
	}
}

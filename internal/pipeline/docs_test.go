package pipeline_test

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline"
)

const docs = "../../docs/pipeline.md"

// documented are the types whose fields have a table in docs/pipeline.md, between marks that name them.
var documented = []reflect.Type{
	reflect.TypeFor[pipeline.Pipeline](), reflect.TypeFor[pipeline.Param](), reflect.TypeFor[pipeline.Storage](),
	reflect.TypeFor[pipeline.Target](), reflect.TypeFor[pipeline.RayTarget](), reflect.TypeFor[pipeline.WorkingDirTarget](),
	reflect.TypeFor[pipeline.PodsTarget](), reflect.TypeFor[pipeline.AWSTarget](), reflect.TypeFor[pipeline.Secret](),
	reflect.TypeFor[pipeline.SecretKey](), reflect.TypeFor[pipeline.Step](), reflect.TypeFor[pipeline.RayJob](),
	reflect.TypeFor[pipeline.Job](), reflect.TypeFor[pipeline.Toleration](), reflect.TypeFor[pipeline.Mount](),
	reflect.TypeFor[pipeline.Parallel](), reflect.TypeFor[pipeline.ForEach](), reflect.TypeFor[pipeline.Retry](),
	reflect.TypeFor[pipeline.Cleanup](),
}

// TestDocsNameEveryField holds the tables of the documentation to the types (go test -update writes them anew).
func TestDocsNameEveryField(t *testing.T) {
	have := read(t, docs)
	want := have
	for _, typ := range documented {
		block := regexp.MustCompile(`(?s)<!-- fields ` + typ.Name() + ` -->.*?<!-- end -->`)
		if !block.Match(want) {
			t.Errorf("%s has no table of %s", docs, typ.Name())
		}
		want = block.ReplaceAllLiteral(want, table(typ))
	}
	if *update {
		if err := os.WriteFile(docs, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", docs, diff)
	}
}

func table(typ reflect.Type) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- fields %s -->\n| field | type | default | meaning |\n|---|---|---|---|\n", typ.Name())
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		def := f.Tag.Get("def")
		switch {
		case f.Tag.Get("need") != "":
			def = "needed"
		case def != "":
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind(f), def, f.Tag.Get("doc"))
	}
	b.WriteString("<!-- end -->")
	return b.Bytes()
}

var mapOf = regexp.MustCompile(`^Map\[.*?([A-Za-z]+)\]$`)

// kind is a field's type in the words of the documentation.
func kind(f reflect.StructField) string {
	if enum := f.Tag.Get("enum"); enum != "" {
		return "`" + strings.ReplaceAll(enum, "|", "`, `") + "`"
	}
	return words(f.Type) + bounds(f.Tag)
}

func bounds(tag reflect.StructTag) string {
	least, most := tag.Get("min"), tag.Get("max")
	switch {
	case tag.Get("kind") != "" || least == most:
		return ""
	case most == "":
		return ", at least " + least
	}
	return ", " + least + " to " + most
}

func words(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return words(t.Elem())
	case reflect.Slice:
		return "list of " + words(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	if m := mapOf.FindStringSubmatch(t.Name()); m != nil {
		return "names with " + named(m[1])
	}
	return named(t.Name())
}

func named(name string) string {
	switch name {
	case "Duration":
		return "duration"
	case "Quantity":
		return "size"
	case "InheritEnv":
		return "true, false or list of names"
	case "Template", "Shell":
		return "text with references"
	case "string":
		return "text"
	case "Number":
		return "number or reference"
	case "Dynamic":
		return "value with references"
	case "Literal":
		return "value"
	case "Condition":
		return "condition"
	case "SecurityContext":
		return "[fields](#security-contexts)"
	}
	return "[" + name + "](#" + strings.ToLower(name) + ")"
}

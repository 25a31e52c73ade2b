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

// documented are the types whose fields have a table in docs/pipeline.md. Comments around each table name the type.
var documented = []reflect.Type{
	reflect.TypeFor[pipeline.Pipeline](), reflect.TypeFor[pipeline.Param](), reflect.TypeFor[pipeline.Storage](),
	reflect.TypeFor[pipeline.Target](), reflect.TypeFor[pipeline.RayTarget](), reflect.TypeFor[pipeline.WorkingDirTarget](),
	reflect.TypeFor[pipeline.PodsTarget](), reflect.TypeFor[pipeline.AWSTarget](), reflect.TypeFor[pipeline.Secret](),
	reflect.TypeFor[pipeline.SecretKey](), reflect.TypeFor[pipeline.Step](), reflect.TypeFor[pipeline.RayJob](),
	reflect.TypeFor[pipeline.Job](), reflect.TypeFor[pipeline.Toleration](), reflect.TypeFor[pipeline.Mount](),
	reflect.TypeFor[pipeline.Parallel](), reflect.TypeFor[pipeline.ForEach](), reflect.TypeFor[pipeline.Retry](),
	reflect.TypeFor[pipeline.Cleanup](),
}

// TestDocsListEveryField compares the tables in the documentation with the types. go test -update generates the tables.
func TestDocsListEveryField(t *testing.T) {
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
		t.Errorf("%s differs (update it with go test -update):\n%s", docs, diff)
	}
}

// table returns the table of a type, with the comments around it.
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
			def = "required"
		case def != "":
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind(f), def, f.Tag.Get("doc"))
	}
	b.WriteString("<!-- end -->")
	return b.Bytes()
}

var mapOf = regexp.MustCompile(`^Map\[.*?([A-Za-z]+)\]$`)

// kind returns a field's type as the documentation describes it, with its bounds.
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
		return "list of " + plural(words(t.Elem()))
	case reflect.Bool:
		return "boolean"
	case reflect.Int:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "string"
	}
	if m := mapOf.FindStringSubmatch(t.Name()); m != nil {
		return "map of " + plural(named(m[1]))
	}
	return named(t.Name())
}

// plural makes a type the type of several values.
func plural(name string) string {
	if i := strings.Index(name, " with references"); name == "string" || name == "number" || name == "integer" {
		return name + "s"
	} else if i > 0 {
		return plural(name[:i]) + name[i:]
	}
	return name
}

func named(name string) string {
	switch name {
	case "Duration":
		return "[duration](#field-types)"
	case "Quantity":
		return "[size](#field-types)"
	case "InheritEnv":
		return "boolean or list of strings"
	case "Template", "Shell":
		return "string with references"
	case "string":
		return "string"
	case "Number":
		return "number or reference"
	case "Dynamic":
		return "any value, with references"
	case "Literal":
		return "any value"
	case "Condition":
		return "condition"
	case "SecurityContext":
		return "[map](#security-contexts)"
	}
	return "[" + name + "](#" + strings.ToLower(name) + ")"
}

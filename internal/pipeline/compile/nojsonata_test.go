package compile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// jsonata matches text that is JSONata, and neither English nor shell: a call, a variable with a path, a binding, the delimiters of an
// expression in a field, and a concatenation with a string.
var jsonata = regexp.MustCompile(`\$[a-zA-Z]+\(|^\$[a-z_0-9]+$|\$[a-z_0-9]+\.[a-z]|\$states|:=|\{%|%\}|['"] & | & ['"]`)

// TestNoJSONataInGo checks that the Go strings of this package contain no JSONata: only package query creates it.
func TestNoJSONataInGo(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if found := jsonataIn(t, name); len(found) > 0 {
			t.Errorf("%s contains JSONata in Go strings; use package query:\n%s", name, strings.Join(found, "\n"))
		}
	}
}

// jsonataIn returns the string literals in a file that contain JSONata, with their positions.
func jsonataIn(t *testing.T, name string) []string {
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && jsonata.MatchString(text) {
			found = append(found, files.Position(lit.Pos()).String()+": "+lit.Value)
		}
		return true
	})
	return found
}

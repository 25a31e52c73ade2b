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

// jsonata matches what is JSONata and neither English nor a shell's: a call, a variable, a path from one, a binding, the marks of a
// field's expression, and a concatenation with a text.
var jsonata = regexp.MustCompile(`\$[a-zA-Z]+\(|^\$[a-z_0-9]+$|\$[a-z_0-9]+\.[a-z]|\$states|:=|\{%|%\}|['"] & | & ['"]`)

// TestNoJSONataInGo finds JSONata in the Go strings of this package: only package query writes it.
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
			t.Errorf("%s has JSONata in Go strings; use package query:\n%s", name, strings.Join(found, "\n"))
		}
	}
}

// jsonataIn are the string literals of a file with JSONata in them, with their positions.
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

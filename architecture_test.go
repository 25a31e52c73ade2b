package rayorch_test

import (
	"bufio"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rayorch/rayorch/"

// TestImportTable compares the code with the table of packages in docs/architecture.md: a package imports only the packages of this
// module that its row names, every package has a row, and every row names a package.
func TestImportTable(t *testing.T) {
	table := readTable(t)
	used := map[string]map[string]bool{}
	for dir, file := range goFiles(t) {
		for _, f := range file {
			pkg := filepath.ToSlash(dir)
			if used[pkg] == nil {
				used[pkg] = map[string]bool{}
			}
			for _, imp := range moduleImports(t, f) {
				used[pkg][imp] = true
			}
		}
	}
	for pkg, imports := range used {
		allowed, ok := table[pkg]
		if !ok {
			t.Errorf("docs/architecture.md: the table has no row for package %s", pkg)
			continue
		}
		for imp := range imports {
			if !slices.Contains(allowed, imp) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s: its row in docs/architecture.md does not allow it", pkg, imp)
			}
		}
	}
	for pkg := range table {
		if used[pkg] == nil {
			t.Errorf("docs/architecture.md: the row %s does not name a package", pkg)
		}
	}
}

// TestGroupsHaveNoCycle checks that the groups below internal/ form layers: if packages of one group import another group, directly
// or through others, no package of that other group imports the first.
func TestGroupsHaveNoCycle(t *testing.T) {
	imports := map[string]map[string]bool{}
	for dir, files := range goFiles(t) {
		from, ok := group(filepath.ToSlash(dir))
		if !ok {
			continue
		}
		if imports[from] == nil {
			imports[from] = map[string]bool{}
		}
		for _, file := range files {
			for _, imp := range moduleImports(t, file) {
				if to, ok := group(imp); ok && to != from {
					imports[from][to] = true
				}
			}
		}
	}
	for len(imports) > 0 { // remove the groups that import no group that is left
		n := len(imports)
		for from, to := range imports {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(to)), func(g string) bool { return imports[g] != nil }) {
				delete(imports, from)
			}
		}
		if len(imports) == n {
			t.Fatalf("groups of internal/ import each other: %v", imports)
		}
	}
}

// group returns the name that follows internal/ in the path of a package.
func group(pkg string) (string, bool) {
	path, ok := strings.CutPrefix(pkg, "internal/")
	name, _, _ := strings.Cut(path, "/")
	return name, ok
}

// TestDependenciesAreExplained checks that docs/architecture.md explains every direct dependency.
func TestDependenciesAreExplained(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || !strings.HasPrefix(fields[1], "v") || strings.HasPrefix(line, "go ") {
			continue
		}
		n++
		if !strings.Contains(string(text), "`"+fields[0]+"`") {
			t.Errorf("docs/architecture.md does not mention the dependency %s", fields[0])
		}
	}
	if n == 0 {
		t.Error("found no direct dependency in go.mod: the test does not parse it correctly")
	}
}

// readTable returns the packages that each package may import, from rows of the form
// | `internal/x` | contents | `internal/y`, `internal/z` |.
func readTable(t *testing.T) map[string][]string {
	f, err := os.Open("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	table, inTable := map[string][]string{}, false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		cells := strings.Split(lines.Text(), "|")
		if strings.HasPrefix(lines.Text(), "## ") {
			inTable = lines.Text() == "## Packages"
		}
		if !inTable || len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		allowed := []string{}
		for _, name := range strings.Split(cells[3], ",") {
			if name = strings.Trim(strings.TrimSpace(name), "`"); name != "" && name != "-" {
				allowed = append(allowed, name)
			}
		}
		table[strings.Trim(strings.TrimSpace(cells[1]), "`")] = allowed
	}
	if len(table) == 0 {
		t.Fatal("docs/architecture.md has no table of packages")
	}
	return table
}

// goFiles returns the Go files of the module, without tests, by directory. It skips nested modules.
func goFiles(t *testing.T) map[string][]string {
	files := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary directory of a test that runs at the same time
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); path != "." && err == nil || strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files[filepath.Dir(path)] = append(files[filepath.Dir(path)], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// moduleImports returns the packages of this module that a file imports, relative to the module's root.
func moduleImports(t *testing.T, path string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, imp := range f.Imports {
		if name := strings.Trim(imp.Path.Value, `"`); strings.HasPrefix(name, module) {
			out = append(out, strings.TrimPrefix(name, module))
		}
	}
	return out
}

package rayorch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityTable checks that each test in the table of docs/security.md exists, in the package that is named before it, or is a
// script of cmd/rayorch.
func TestSecurityTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| claim | test |")
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if len(rows) < 20 {
		t.Fatalf("docs/security.md: the table has %d rows, want at least 20", len(rows))
	}
	for _, row := range rows[1:] {
		checkSecurityRow(t, strings.Split(row, "|")[2])
	}
}

var securityName = regexp.MustCompile("`([a-z0-9/]+)`|((?:Test|Fuzz)\\w+)|script (\\w+)")

// checkSecurityRow checks the names in the second cell of a row: packages, tests of the package before them, and scripts.
func checkSecurityRow(t *testing.T, tests string) {
	t.Helper()
	pkg, named := "", 0
	for _, m := range securityName.FindAllStringSubmatch(tests, -1) {
		switch {
		case m[1] != "":
			pkg = m[1]
			continue
		case m[3] != "":
			if _, err := os.Stat(filepath.Join("cmd", "rayorch", "testdata", "script", m[3]+".txtar")); err != nil {
				t.Errorf("docs/security.md: %v", err)
			}
		case !hasTest(t, pkg, m[2]):
			t.Errorf("docs/security.md: %s has no test %s", pkg, m[2])
		}
		named++
	}
	if named == 0 {
		t.Errorf("docs/security.md: a row does not name a test: %s", tests)
	}
}

// hasTest reports whether a package has a test or fuzz target with this name.
func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

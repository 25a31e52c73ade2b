package query_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// fileCase is a test case of a file.
type fileCase struct {
	name   string
	inputs string // an object, as JSON; an input that it lacks is undefined
	reads  vars   // the variables that the file reads in addition
	want   string // the value as JSON, or the end of the error message
	fails  bool   // the evaluation fails
}

const nothing = "returned nothing (undefined)."

var fileCases = map[string][]fileCase{}

// covers registers the cases of a file. TestFileCases requires cases for each file.
func covers(file string, cases ...fileCase) bool {
	fileCases[file] = append(fileCases[file], cases...)
	return true
}

// TestFileCases evaluates all files. Each case is evaluated with variables as inputs, which File inserts, and with operations, which it may
// bind.
func TestFileCases(t *testing.T) {
	for _, file := range query.Names() {
		if len(fileCases[file]) == 0 {
			t.Errorf("%s.jsonata has no cases", file)
		}
		for _, c := range fileCases[file] {
			t.Run(file+"/"+c.name, func(t *testing.T) {
				check(t, c, query.File(file, c.bindings(t, file, func(e query.Expr) query.Expr { return e })...))
				check(t, c, query.File(file, c.bindings(t, file, func(e query.Expr) query.Expr { return query.If(query.True, e, query.Expr{}) })...))
			})
		}
	}
	for file := range fileCases {
		if !slices.Contains(query.Names(), file) {
			t.Errorf("no file %s.jsonata", file)
		}
	}
}

// bindings binds the file's inputs to the fields of the variable given, each converted by the function as.
func (c fileCase) bindings(t *testing.T, file string, as func(query.Expr) query.Expr) []query.Binding {
	given, err := value.ParseObject([]byte(or(c.inputs, "{}")))
	if err != nil {
		t.Fatal(err)
	}
	var out []query.Binding
	for _, name := range query.Inputs(file) {
		out = append(out, bind(name, as(v("given").Get(name))))
	}
	for _, name := range given.Keys() {
		if !slices.Contains(query.Inputs(file), name) {
			t.Fatalf("%s.jsonata has no input $%s", file, name)
		}
	}
	return out
}

func check(t *testing.T, c fileCase, e query.Expr) {
	t.Helper()
	reads := vars{"given": or(c.inputs, "{}")}
	for name, text := range c.reads {
		reads[name] = text
	}
	if !c.fails && c.want != nothing {
		gives(t, e, reads, c.want)
		return
	}
	got, err := eval(t, e, reads)
	if err == nil {
		t.Errorf("%s\nevaluates to %s, want an error", e, value.Text(got))
	} else if !strings.HasSuffix(err.Error(), c.want) {
		t.Errorf("%s\nfailed: %v\nwant %q at its end", e, err, c.want)
	}
}

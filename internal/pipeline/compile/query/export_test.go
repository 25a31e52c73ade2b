package query

import (
	"maps"
	"slices"
)

// FileOf is like File, for a file with the given content.
func FileOf(src string, inputs ...Binding) (Expr, error) {
	f, err := load(src)
	if err != nil {
		return Expr{}, err
	}
	return f.expr(inputs), nil
}

// Names returns the names of all files, sorted.
func Names() []string { return slices.Sorted(maps.Keys(loaded())) }

// Inputs returns the names of a file's inputs.
func Inputs(name string) []string { return loaded()[name].inputs }

// String returns the text of the expression. Outside of tests, an expression can only be used as the value of a field.
func (e Expr) String() string { return e.text }

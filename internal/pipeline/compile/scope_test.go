package compile_test

import (
	"testing"

	"github.com/rayorch/rayorch/internal/value"
)

// TestScopesAssignTheirOwnVariables checks a rule of Step Functions whose violation would show only at run time: a branch or an iteration
// can read the variables of outer scopes, but must not assign to their names.
func TestScopesAssignTheirOwnVariables(t *testing.T) {
	definitions := map[string][]byte{}
	for name, r := range accessCases(t) {
		definitions[name], definitions[name+" cleanup"] = r.Definition, r.Cleanup
	}
	for name, data := range files(t) {
		definitions[name] = compiled(t, data).Definition
	}
	for name, definition := range definitions {
		machine, err := value.ParseObject(definition)
		if err != nil {
			t.Fatal(err)
		}
		if n := assignsWithin(t, name, machine, map[string]bool{}); n == 0 && name == "kubernetes-job" {
			t.Errorf("%s: found no variables: the test is broken", name)
		}
	}
}

// assignsWithin checks a scope (a state machine, a branch or an iteration) and the scopes in it. It returns the number of names that they
// assign.
func assignsWithin(t *testing.T, name string, scope *value.Object, around map[string]bool) int {
	t.Helper()
	own, inner := map[string]bool{}, []*value.Object{}
	states, _ := get(scope, "States").(*value.Object)
	for i := range states.Len() {
		_, s := states.At(i)
		assigned(s, own, &inner)
	}
	n := len(own)
	for v := range own {
		if around[v] {
			t.Errorf("%s: a scope assigns to $%s of an outer scope", name, v)
		}
	}
	for v := range around {
		own[v] = true
	}
	for _, s := range inner {
		n += assignsWithin(t, name, s, own)
	}
	return n
}

// assigned collects the names that a state assigns, in any of its rules, and the scopes in it.
func assigned(v any, names map[string]bool, inner *[]*value.Object) {
	switch v := v.(type) {
	case *value.Object:
		if v.Has("StartAt") {
			*inner = append(*inner, v)
			return
		}
		for i := range v.Len() {
			k, item := v.At(i)
			if o, ok := item.(*value.Object); ok && k == "Assign" {
				for j := range o.Len() {
					variable, _ := o.At(j)
					names[variable] = true
				}
			} else if k != "Arguments" {
				assigned(item, names, inner)
			}
		}
	case []any:
		for _, item := range v {
			assigned(item, names, inner)
		}
	}
}

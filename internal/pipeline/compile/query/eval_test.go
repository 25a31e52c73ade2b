package query_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// vars are the variables of an evaluation, as JSON. "states" is $states, with input, result, errorOutput and context.
type vars map[string]string

// eval evaluates an expression, as Step Functions does. It returns an error if the expression fails or has no value.
func eval(t *testing.T, e query.Expr, given vars) (any, error) {
	t.Helper()
	x, err := expr.CompileJSONata(e.String())
	if err != nil {
		t.Fatalf("%s: %v", e, err)
	}
	if u := x.Unsupported(); len(u) > 0 {
		t.Fatalf("%s: Step Functions rejects it: %v", e, u[0])
	}
	scope := &expr.Scope{Vars: func(name string) (any, bool) {
		text, ok := given[name]
		if !ok {
			return nil, false
		}
		return parse(t, text), true
	}}
	if states, ok := parse(t, or(given["states"], "{}")).(*value.Object); ok {
		scope.Input, _ = states.Get("input")
		scope.Result, scope.HasResult = states.Get("result")
		scope.ErrorOutput, scope.HasErrorOutput = states.Get("errorOutput")
		scope.Context = func() any { c, _ := states.Get("context"); return c }
	}
	return x.Eval(scope, "Output")
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func parse(t *testing.T, text string) any {
	t.Helper()
	v, err := value.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// gives fails the test unless the expression has this value, as JSON.
func gives(t *testing.T, e query.Expr, given vars, want string) {
	t.Helper()
	got, err := eval(t, e, given)
	if err != nil {
		t.Errorf("%s\nfailed: %v", e, err)
		return
	}
	if diff := cmp.Diff(value.Text(parse(t, want)), value.Text(got)); diff != "" {
		t.Errorf("%s\n(-want +got):\n%s", e, diff)
	}
}

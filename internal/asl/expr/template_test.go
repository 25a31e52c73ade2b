package expr_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

func TestTemplate(t *testing.T) {
	for _, c := range []struct{ name, template, want string }{
		{"constant", `{"a":[1,{"b":"$.x"}]}`, `{"a":[1,{"b":"$.x"}]}`},
		{"scalar", `"$.x"`, `"$.x"`},
		{"path", `{"a.$":"$.x","b":1}`, `{"a":{"y":[1,2]},"b":1}`},
		{"whole input", `{"in.$":"$"}`, `{"in":{"x":{"y":[1,2]}}}`},
		{"context", `{"id.$":"$$.Execution.Id"}`, `{"id":"arn:e"}`},
		{"variable", `{"v.$":"$v","x.$":"$w.x"}`, `{"v":7,"x":"deep"}`},
		{"intrinsic", `{"n.$":"States.ArrayLength($.x.y)"}`, `{"n":2}`},
		{"nested", `{"a":[{"b.$":"$.x.y[0]"},{"c":{"d.$":"$.x.y[1]"}}]}`, `{"a":[{"b":1},{"c":{"d":2}}]}`},
		{"indefinite", `{"a.$":"$.x.y[*]","none.$":"$.no[1:]"}`, `{"a":[1,2],"none":[]}`},
		{"past the end", `{"a.$":"$.x.y[5]"}`, `{"a":null}`},
		{"order", `{"z":1,"a.$":"$.x.y","m":2}`, `{"z":1,"a":[1,2],"m":2}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tpl, err := expr.CompileTemplate(parse(t, c.template))
			if err != nil {
				t.Fatal(err)
			}
			got, err := tpl.Eval(scope(t, `{"x":{"y":[1,2]}}`))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, value.Text(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTemplateMissing(t *testing.T) {
	for _, c := range []struct{ template, cause string }{
		{`{"address.$":"$.application.address"}`,
			`The JSONPath '$.application.address' specified for the field 'address.$' could not be found in the input '{"flagged":false}'`},
		{`{"a":{"b.$":"$w.nope"}}`,
			`The JSONPath '$w.nope' specified for the field 'b.$' could not be found in the input '{"x":"deep"}'`},
		{`{"a.$":"$.l[5].x"}`,
			`The JSONPath '$.l[5].x' specified for the field 'a.$' could not be found in the input '{"flagged":false}'`},
		{`{"a.$":"$none"}`, `the variable '$none' in the path '$none' has no value`},
	} {
		tpl, err := expr.CompileTemplate(parse(t, c.template))
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpl.Eval(scope(t, `{"flagged":false}`))
		var e *expr.Error
		if !errors.As(err, &e) || e.Name != "States.Runtime" {
			t.Fatalf("%s: got %v", c.template, err)
		}
		if diff := cmp.Diff(c.cause, e.Cause); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTemplateCompileErrors(t *testing.T) {
	_, errs := expr.CompileTemplateAll(parse(t, `{"a.$":1,"b":[{"c.$":"x"}],"d":{"e.$":"$.["},"ok.$":"$.a"}`))
	got := map[string]string{}
	for _, e := range errs {
		got[e.Field] = e.Pointer
	}
	if diff := cmp.Diff(map[string]string{"a.$": "", "c.$": "/b/0", "e.$": "/d"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := expr.CompileTemplate(parse(t, `{"a.$":1}`)); err == nil {
		t.Error("no error")
	}
}

func TestTemplateVariables(t *testing.T) {
	tpl, err := expr.CompileTemplate(parse(t, `{"a.$":"$b.x","c":[{"d.$":"States.Array($a, States.Array($c), $.x, $$)"}],"e.$":"$b"}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, tpl.Variables()); diff != "" {
		t.Error(diff)
	}
	if _, ok := tpl.Constant(); ok {
		t.Error("Constant returns true for a template with queries")
	}
}

// TestTemplatesAreBounded evaluates payloads that contain the same large part so often that their JSON would exhaust the
// memory.
func TestTemplatesAreBounded(t *testing.T) {
	in := `{"b":"` + strings.Repeat("x", 250_000) + `"}`
	fields := func(format string) string {
		var b strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&b, format, i)
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	paths := func(n int) string { return strings.Repeat(", $.b", n) }
	for name, eval := range map[string]func(s *expr.Scope) (any, error){
		"fields":        evalTemplate(t, fields(`"k%d.$":"$.b",`)),
		"JSONata":       evalJSONataTemplate(t, fields(`"k%d":"{%% $states.input.b %%}",`)),
		"built":         evalJSONataTemplate(t, fields(`"k%d":"{%% $pad('', 250000) %%}",`)),
		"States.Array":  evalTemplate(t, `{"a.$":"States.Array($.b`+paths(20_000)+`)"}`),
		"States.Format": evalTemplate(t, `{"a.$":"States.Format('`+strings.Repeat("{}", 20_000)+`'`+paths(20_000)+`)"}`),
		"nested": evalTemplate(t, `{"a.$":"States.JsonToString(States.Array(`+
			strings.Repeat("States.Array($.b"+paths(8)+"), ", 100)+`$.b))"}`),
	} {
		s := scope(t, in)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, err := eval(s)
		runtime.ReadMemStats(&after)
		var e *expr.Error
		if !errors.As(err, &e) || e.Name != stepfn.StatesDataLimitExceeded {
			t.Errorf("%s: got %v", name, err)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
			t.Errorf("%s: the heap grew by %d MiB", name, grown>>20)
		}
	}
	if _, err := evalTemplate(t, `{"a.$":"$.b","b.$":"$.b","c.$":"States.Format('{}{}', $.b, $.b)"}`)(scope(t, in)); err != nil {
		t.Errorf("a payload of a valid size: %v", err)
	}
}

func evalTemplate(t *testing.T, text string) func(s *expr.Scope) (any, error) {
	t.Helper()
	tpl, err := expr.CompileTemplate(parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return tpl.Eval
}

func evalJSONataTemplate(t *testing.T, text string) func(s *expr.Scope) (any, error) {
	t.Helper()
	tpl, err := expr.CompileJSONataTemplate(parse(t, text), "Output")
	if err != nil {
		t.Fatal(err)
	}
	return tpl.Eval
}

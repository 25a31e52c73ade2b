package jsonata_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
	"github.com/rayorch/rayorch/internal/value"
)

// suite returns the cases of the reference implementation (testdata/README.md).
func suite(t testing.TB) (datasets *value.Object, cases []*value.Object) {
	t.Helper()
	f, err := os.Open("testdata/suite.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	all, err := value.ParseObject(data)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := all.Get("datasets")
	c, _ := all.Get("cases")
	for _, item := range c.([]any) {
		cases = append(cases, item.(*value.Object))
	}
	return d.(*value.Object), cases
}

// text returns a string field of a case.
func text(c *value.Object, name string) string {
	v, _ := c.Get(name)
	s, _ := v.(string)
	return s
}

// input returns the input of a case.
func input(datasets, c *value.Object) any {
	if name := text(c, "dataset"); name != "" {
		v, _ := datasets.Get(name)
		return v
	}
	if v, ok := c.Get("data"); ok {
		return v
	}
	return jsonata.Undefined
}

// differs are the cases with another result in this implementation, and the reasons.
var differs = func() map[string]string {
	const later, laterMatch = "an operator of a later version", "$match has other fields in a later version"
	out := map[string]string{
		"function-match/case000": laterMatch, "function-match/case001": laterMatch, "function-match/case002": laterMatch,
	}
	for i := range 13 {
		out[fmt.Sprintf("coalescing-operator/case%03d", i)] = later
	}
	for i := range 14 {
		out[fmt.Sprintf("default-operator/case%03d", i)] = later
	}
	return out
}()

var errSteps = errors.New("too many steps")

func TestSuite(t *testing.T) {
	datasets, cases := suite(t)
	passed := 0
	for _, c := range cases {
		name := text(c, "name")
		why, expected := differs[name]
		err := runCase(datasets, c)
		switch {
		case err == nil && expected:
			t.Errorf("%s passes, but differs lists it: %s", name, why)
		case err != nil && !expected:
			t.Errorf("%s: %s: %v", name, text(c, "expr"), err)
		case err == nil:
			passed++
		}
	}
	t.Logf("%d of %d cases pass", passed, len(cases))
}

func runCase(datasets, c *value.Object) error {
	limits := jsonata.Limits{Bytes: 1 << 30, Depth: 500}
	if d, ok := c.Get("depth"); ok {
		n, _ := d.(value.Number).Int64()
		limits.Depth = int(n)
	}
	checks := 0
	limits.Check = func() error {
		if checks++; checks > 500 {
			return errSteps
		}
		return nil
	}
	bindings, _ := c.Get("bindings")
	env := &jsonata.Env{
		Now: time.Now(), Float64: func() float64 { return 0.25 },
		Vars: func(name string) (any, bool) {
			b, _ := bindings.(*value.Object)
			return b.Get(name)
		},
	}
	got, defined, err := evalCase(text(c, "expr"), input(datasets, c), env, limits)
	return judge(c, got, defined, err)
}

func evalCase(src string, in any, env *jsonata.Env, limits jsonata.Limits) (any, bool, error) {
	x, err := jsonata.Compile(src)
	if err != nil {
		return nil, false, err
	}
	env.Functions = map[string]*jsonata.Function{"eval": evalFunction(env, limits)}
	return x.Eval(in, env, limits)
}

// evalFunction implements $eval, which the package does not have, for the cases that need it.
func evalFunction(env *jsonata.Env, limits jsonata.Limits) *jsonata.Function {
	return jsonata.Native("eval", "<sx?:x>", 2, func(c *jsonata.Call, args []any) (any, error) {
		src, ok := args[0].(string)
		if !ok {
			return jsonata.Undefined, nil
		}
		x, err := jsonata.Compile(src)
		if err != nil {
			return nil, jsonata.NewError("D3120", src)
		}
		in := args[1]
		if jsonata.IsUndefined(in) {
			in = c.Input
		}
		v, defined, err := x.Eval(in, env, limits)
		if err != nil {
			return nil, jsonata.NewError("D3121", src)
		}
		if !defined {
			return jsonata.Undefined, nil
		}
		return v, nil
	})
}

// judge returns an error if a result is not what a case expects.
func judge(c *value.Object, got any, defined bool, err error) error {
	code := text(c, "code")
	if wrong, ok := c.Get("error"); ok {
		code = text(wrong.(*value.Object), "code")
	}
	if code != "" {
		return judgeError(code, got, err)
	}
	if err != nil {
		return err
	}
	want, hasResult := c.Get("result")
	switch {
	case !defined && (c.Has("undefinedResult") || !hasResult):
		return nil
	case !defined:
		return errors.New("undefined, want " + value.Text(want))
	case !hasResult:
		return errors.New("got " + value.Text(got) + ", want undefined")
	case c.Has("unordered") && sameItems(want, got):
		return nil
	case !value.Equal(want, got):
		return errors.New("got " + value.Text(got) + ", want " + value.Text(want))
	}
	return nil
}

func judgeError(code string, got any, err error) error {
	var coded *jsonata.Error
	var limit *jsonata.LimitError
	switch {
	case err == nil:
		return errors.New("got " + value.Text(got) + ", want " + code)
	case errors.As(err, &coded) && coded.Code == code:
		return nil
	case (errors.As(err, &limit) || errors.Is(err, errSteps)) && code == "U1001":
		return nil
	}
	return err
}

func sameItems(want, got any) bool {
	a, _ := want.([]any)
	b, _ := got.([]any)
	if len(a) != len(b) {
		return false
	}
	used := make([]bool, len(b))
	for _, x := range a {
		found := false
		for i, y := range b {
			if !used[i] && value.Equal(x, y) {
				used[i], found = true, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

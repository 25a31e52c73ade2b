package expr_test

import (
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl/expr"
)

func BenchmarkPathDefinite(b *testing.B) { benchmarkPath(b, "$.store.book[1].title") }

func BenchmarkPathFilter(b *testing.B) {
	benchmarkPath(b, "$.store.book[?(@.price < 10 && @.category == 'fiction')].title")
}

func benchmarkPath(b *testing.B, path string) {
	b.Helper()
	root := parse(b, store)
	p, err := expr.CompilePath(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Eval(root); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTemplate(b *testing.B) {
	t, err := expr.CompileTemplate(parse(b, `{"id.$":"$.id","n":1,"list.$":"States.Array($.id, $$.Execution.Id)","fixed":{"a":[1,2]}}`))
	if err != nil {
		b.Fatal(err)
	}
	s := scope(b, `{"id":"x"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.Eval(s); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkJSONata(b *testing.B, src string) {
	j, err := expr.CompileJSONata(src)
	if err != nil {
		b.Fatal(err)
	}
	in := parse(b, jsonataInput)
	b.ReportAllocs()
	for b.Loop() {
		s := &expr.Scope{Input: in, Now: time.Unix(0, 0)}
		if _, err := j.Eval(s, "Output"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSONataPath(b *testing.B) { benchmarkJSONata(b, `$states.input.o.k`) }
func BenchmarkJSONataExpr(b *testing.B) { benchmarkJSONata(b, `$states.input.z + 1`) }
func BenchmarkJSONataMap(b *testing.B) {
	benchmarkJSONata(b, `$map($states.input.items, function($i) { $i.id })`)
}
func BenchmarkJSONataCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := expr.CompileJSONata(`$map($states.input.items, function($i) { $i.id & "-" & $v })`); err != nil {
			b.Fatal(err)
		}
	}
}

package jsonata_test

import (
	"context"
	"testing"

	"github.com/recolabs/gnata"

	"github.com/rayorch/rayorch/internal/jsonata"
	"github.com/rayorch/rayorch/internal/value"
)

var benchmarks = []struct{ name, src string }{
	{"path", `Account.Order[0].Product[0].Price`},
	{"sum", `$sum(Account.Order.Product.(Price * Quantity))`},
	{"map", `$map([1..100], function($i) { $i * 2 })`},
	{"object", `Account.Order.Product.{"name": $uppercase(SKU), "total": Price * Quantity}`},
	{"group", `Account.Order.Product{SKU: $sum(Price)}`},
	{"sort", `Account.Order.Product^(>Price).SKU`},
	{"recursion", `($f := function($n) { $n <= 1 ? 1 : $n * $f($n - 1) }; $f(20))`},
	{"text", `$join(Account.Order.Product.$replace(SKU, /[0-9]+/, "x"), "-")`},
}

func BenchmarkEval(b *testing.B) {
	datasets, _ := suite(b)
	in, _ := datasets.Get("dataset5")
	data, err := gnata.DecodeJSON(value.Bytes(in))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range benchmarks {
		b.Run(c.name+"/ours", func(b *testing.B) {
			x, err := jsonata.Compile(c.src)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := x.Eval(in, &jsonata.Env{}, likeStepFunctions); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/gnata", func(b *testing.B) {
			x, err := gnata.Compile(c.src)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.EvalWithVars(context.Background(), data, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

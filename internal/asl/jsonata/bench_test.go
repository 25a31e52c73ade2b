package jsonata_test

import (
	"testing"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
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
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
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
	}
}

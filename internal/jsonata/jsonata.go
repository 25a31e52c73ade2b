// Package jsonata evaluates JSONata, the query language, in version 2.0.6, which Step Functions runs: parser, operators
// and built-in functions but $eval. It is written from the language's documentation and held to the reference
// implementation's tests (testdata). Every evaluation has limits of memory, depth and steps that hold inside each
// function too, so that no expression can harm the process. It knows nothing of states and of Step Functions' own
// functions: package expr binds those.
//
// Expressions are compiled once and are then safe for use by many goroutines. Evaluation is pure: time, randomness and
// variables come in with the Env.
package jsonata

import (
	"time"
	"unicode/utf8"
)

// Expr is a compiled expression.
type Expr struct {
	src  string
	root *node
}

// Compile reads an expression. The error is an *Error or a *CompileError.
func Compile(src string) (*Expr, error) {
	if !utf8.ValidString(src) {
		return nil, &CompileError{"invalid UTF-8", 0}
	}
	n, err := parse(src)
	if err != nil {
		return nil, err
	}
	if n, err = link(n); err != nil {
		return nil, err
	}
	return &Expr{src, n}, nil
}

// Limits bound one evaluation. The zero value sets none.
type Limits struct {
	Bytes int64 // of what the evaluation holds at a time: strings, arrays, objects, as the evaluator counts them
	Depth int   // of expressions in each other; Step Functions allows 100
	// Check is called every few thousand steps; its error ends the evaluation. A step is an expression that is
	// evaluated, an item that a function looks at, or a stretch of text.
	Check func() error
}

// Env is what an evaluation can see beside its input.
type Env struct {
	// Vars looks up a variable by its name without the $, before the built-in functions but not where it is called.
	// Nil means that there are none.
	Vars func(name string) (any, bool)
	// Functions are looked up before the built-in ones. An empty *Function hides a built-in one.
	Functions map[string]*Function
	// Now is the time of $now and $millis.
	Now time.Time
	// Float64 gives random numbers from 0 up to 1, for $random and $shuffle.
	Float64 func() float64
}

// Eval evaluates the expression for an input, which may be Undefined. defined is false when it finds nothing. The error
// is an *Error, a *LimitError, or what Limits.Check gave.
func (x *Expr) Eval(input any, env *Env, limits Limits) (v any, defined bool, err error) {
	ev := evaluator{env: env, limits: limits, root: input}
	if list, ok := items(input); ok {
		input = &sequence{items: []any{list}, outer: true}
		ev.root = input
	}
	out, err := ev.eval(x.root, input, &frame{})
	if err != nil {
		return nil, false, err
	}
	return ev.export(out, 0)
}

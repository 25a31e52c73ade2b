// Package jsonata evaluates JSONata, the query language, in version 2.0.6, which Step Functions runs: parser, operators
// and built-in functions but $eval. Its behavior and its messages are those of the reference implementation
// (github.com/jsonata-js/jsonata), to whose tests it is held (testdata). Every evaluation has limits of memory, depth and
// steps that hold inside each function too, so that no expression can harm the process. Regular expressions are matched
// here as well, by backtracking: Go's cannot look around, and nothing can stop them. The package knows nothing of states
// and of Step Functions' own functions: package expr binds those.
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
	root  *node
	plain bool // a path that begins at a variable, and no more
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
	return &Expr{n, n.isPlain()}, nil
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
	// Data is for the embedder's own functions.
	Data any
	// Now is the time of $now and $millis.
	Now time.Time
	// Float64 gives random numbers from 0 up to 1, for $random and $shuffle.
	Float64 func() float64
}

// Eval evaluates the expression for an input, which may be Undefined. defined is false when it finds nothing. The error
// is an *Error, a *LimitError, what Limits.Check gave, or what went wrong inside a function without a code for it.
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
	if x.plain {
		return plainResult(out)
	}
	return ev.export(out, 0)
}

// plainResult is what a path that begins at a variable leads to: it is the embedder's, and stays as it is.
func plainResult(v any) (any, bool, error) {
	if list, ok := items(v); ok {
		return list, true, nil
	}
	_, isFunction := v.(*Function)
	return v, !isFunction && !IsUndefined(v), nil
}

// isPlain says whether an expression is a variable, or names that are followed from one.
func (n *node) isPlain() bool {
	for i, step := range n.pathItems() {
		plain := step.kind == kindVariable && i == 0 || step.kind == kindName
		if !plain || step.tuple || step.group != nil || len(step.stages)+len(step.predicates) > 0 {
			return false
		}
	}
	return n.group == nil && (n.kind == kindPath || n.kind == kindVariable)
}

func (n *node) pathItems() []*node {
	if n.kind == kindPath {
		return n.items
	}
	return []*node{n}
}

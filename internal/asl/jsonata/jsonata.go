// Package jsonata evaluates JSONata in version 2.0.6, which Step Functions runs: parser, operators and all built-in functions
// except $eval. Its behavior and its messages are those of the reference implementation (github.com/jsonata-js/jsonata),
// whose test suite is in testdata. Every evaluation has limits of memory, depth and steps, which also apply inside each
// function, so that no expression can harm the process. The package matches regular expressions itself, by backtracking: Go's
// package has no lookaround, and its matches cannot be interrupted. $states and the functions that Step Functions adds are
// not part of this package: package expr adds them.
//
// An expression is compiled once; the compiled form is safe for concurrent use. Evaluation is pure: time, randomness and
// variables come from the Env.
//
// # Files
//
//   - lex.go, parse.go: from the text to a tree (ast.go); link.go: the paths, parents and tail calls of the tree
//   - eval.go, path.go, field.go, predicate.go, sort.go, group.go, operator.go, call.go: the evaluator, by kind of node
//   - value.go, text.go: values during an evaluation, their sizes, and their text
//   - builtin.go, fn_*.go, format_*.go, datetime*.go: the built-in functions; signature.go: the checks of their arguments
//   - regex*.go: regular expressions: parser, program and matcher
//   - refs.go, tokens.go: static analysis for package expr and the compiler
//
// # Terms
//
// The context item is the value that an expression is evaluated for: the input, or the item that a step of a path visits. A
// list of results is what a path finds. It is not an array: a list with one result is this result, and an empty list is
// Undefined, the value of an expression that finds nothing. Most operators and functions return Undefined for Undefined, and
// objects and arrays omit it. In a path that binds variables, the results are tuples (path.go).
package jsonata

import (
	"time"
	"unicode/utf8"
)

// Expr is a compiled expression.
type Expr struct {
	root  *node
	plain bool // a variable, or a path of names that begins at one
}

// Compile compiles an expression. The error is an *Error or a *CompileError.
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

// Limits bound one evaluation. The zero value means no limits.
type Limits struct {
	Bytes int64 // held by the evaluation at one time in strings, arrays and objects, as the evaluator counts them
	Depth int   // of nested expressions; Step Functions allows 100
	// Check is called every few thousand steps; its error ends the evaluation. A step is an expression that is
	// evaluated, an item that a function visits, or a piece of a string.
	Check func() error
}

// Env is what an evaluation can access in addition to its input.
type Env struct {
	// Vars looks up a variable by its name without the $. Variables take precedence over functions, unless the value is called.
	// Nil means that there are no variables.
	Vars func(name string) (any, bool)
	// Functions take precedence over built-in functions. An empty *Function hides a built-in function.
	Functions map[string]*Function
	// Data is for the embedder's functions. The evaluator does not use it.
	Data any
	// Now is the time of $now and $millis.
	Now time.Time
	// Float64 returns random numbers in [0, 1), for $random and $shuffle.
	Float64 func() float64
}

// Eval evaluates the expression for an input, which may be Undefined. defined is false if it finds nothing. The error
// is an *Error, a *LimitError, the error of Limits.Check, or an error of a function that has no code.
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

// plainResult returns the result of a plain expression. The value belongs to the embedder, so it is not converted.
func plainResult(v any) (any, bool, error) {
	if list, ok := items(v); ok {
		return list, true, nil
	}
	_, isFunction := v.(*Function)
	return v, !isFunction && !IsUndefined(v), nil
}

// isPlain reports whether an expression is a variable, or a path of names that begins at one.
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

package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
)

// scope is a scope of variables in the definition: the machine, a branch or an iteration. An inner scope can read the variables of
// the outer ones but cannot assign to their names, so its own names contain its depth.
type scope struct {
	outer *scope
	depth int
	names []string     // steps that have ended here, in order
	seen  []string     // steps outside of it that have ended before it begins
	in    *loopContext // the forEach that this scope is an iteration of
	asks  *asker       // the step whose fields are compiled, if any
}

// asker is a step whose fields refer to outputs. mayFail is set if some of them may be missing, which fails the step.
type asker struct {
	name    string
	mayFail bool
}

// askedBy is the scope with the step whose fields are compiled.
func (s *scope) askedBy(step string) *scope {
	seen := *s
	seen.asks = &asker{name: step}
	return &seen
}

// asker is the step whose fields are compiled.
func (s *scope) asker() *asker {
	for at := s; at != nil; at = at.outer {
		if at.asks != nil {
			return at.asks
		}
	}
	return &asker{}
}

// loopContext is a forEach step as its iterations see it: name is the step's name as part of variables, as the name of its item.
type loopContext struct{ name, as string }

// inner is a new scope inside s, which the named steps of s have ended before.
func (s *scope) inner(seen []string) *scope { return &scope{outer: s, depth: s.depth + 1, seen: seen} }

// before are the steps, in all scopes, that end before a step of this scope starts.
func (s *scope) before(order *pipeline.Order, step string) []string {
	return append(slices.Clone(s.seen), order.Before(step)...)
}

// ident is a step's name as part of a variable's name. Step names have no underscores, so each has a variable of its own.
func ident(step string) string { return strings.ReplaceAll(strings.ToLower(step), "-", "_") }

// variable is the name, without $, of a variable of this scope.
func (s *scope) variable(kind, step string) string {
	if s.depth == 0 {
		return kind + "_" + ident(step)
	}
	return fmt.Sprintf("%s%d_%s", kind, s.depth, ident(step))
}

// ended records that a step has ended: states added from now on can read its variable.
func (s *scope) ended(step string) { s.names = append(s.names, step) }

// output is an ended step's output.
func (s *scope) output(step string) query.Expr {
	for at := s; at != nil; at = at.outer {
		for _, name := range at.names {
			if name == step {
				return query.Var(at.variable("step", step))
			}
		}
	}
	return query.Null // a step's own checks have refused such a reference
}

// loop is the innermost forEach around the scope; nil outside of all.
func (s *scope) loop() *loopContext {
	for at := s; at != nil; at = at.outer {
		if at.in != nil {
			return at.in
		}
	}
	return nil
}

// loopOf is the innermost loop whose item has the name.
func (s *scope) loopOf(item string) *loopContext {
	for at := s; at != nil; at = at.outer {
		if at.in != nil && at.in.as == item {
			return at.in
		}
	}
	return &loopContext{}
}

// iteration is the position of an iteration in all loops around it, such as 2.0; the zero value outside of loops.
func (s *scope) iteration() query.Expr {
	if l := s.loop(); l != nil {
		return query.Var("at_" + l.name)
	}
	return query.Expr{}
}

// outputsOf is an object of ended steps' outputs by name.
func outputsOf(steps []string, in *scope) query.Expr {
	fields := make([]query.Binding, len(steps))
	for i, name := range steps {
		fields[i] = query.Bind(name, in.output(name))
	}
	return query.Object(fields...)
}

package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
)

// scope is a scope of variables in the definition: the state machine, a branch or an iteration. In the States Language, an inner scope
// can read the variables of outer scopes but cannot assign to the same names, so that names contain the depth of their scope.
type scope struct {
	outer *scope
	depth int
	names []string     // steps of this scope that have ended, in order
	seen  []string     // steps of outer scopes that have ended before this scope starts
	in    *loopContext // the forEach of which this scope is an iteration, or nil
	asks  *asker       // the step whose fields are being compiled, or nil
}

// asker is a step whose fields are being compiled. mayFail is set if a field refers to a value that may be missing, which fails the step.
type asker struct {
	name    string
	mayFail bool
}

// askedBy returns a copy of the scope for compiling the fields of a step.
func (s *scope) askedBy(step string) *scope {
	seen := *s
	seen.asks = &asker{name: step}
	return &seen
}

// asker returns the step whose fields are being compiled.
func (s *scope) asker() *asker {
	for at := s; at != nil; at = at.outer {
		if at.asks != nil {
			return at.asks
		}
	}
	return &asker{}
}

// loopContext is the forEach step of an iteration: name is the step's name in variables, and as the item's name in references.
type loopContext struct{ name, as string }

// inner returns a new scope inside s. seen are the steps that have ended before it starts.
func (s *scope) inner(seen []string) *scope { return &scope{outer: s, depth: s.depth + 1, seen: seen} }

// before returns the steps of all scopes that end before a step of this scope starts.
func (s *scope) before(order *pipeline.Order, step string) []string {
	return append(slices.Clone(s.seen), order.Before(step)...)
}

// ident returns a step's name as a part of variable names. Step names have no underscores, so different names remain different.
func ident(step string) string { return strings.ReplaceAll(strings.ToLower(step), "-", "_") }

// variable returns the name, without $, of a step's variable in this scope. kind is a prefix such as "step".
func (s *scope) variable(kind, step string) string {
	if s.depth == 0 {
		return kind + "_" + ident(step)
	}
	return fmt.Sprintf("%s%d_%s", kind, s.depth, ident(step))
}

// ended records that a step has ended: states that are added later can read its variable.
func (s *scope) ended(step string) { s.names = append(s.names, step) }

// output returns the output of a step that has ended.
func (s *scope) output(step string) query.Expr {
	for at := s; at != nil; at = at.outer {
		for _, name := range at.names {
			if name == step {
				return query.Var(at.variable("step", step))
			}
		}
	}
	return query.Null // cannot happen: pipeline.Decode rejects such a reference
}

// loop returns the innermost forEach around the scope, or nil.
func (s *scope) loop() *loopContext {
	for at := s; at != nil; at = at.outer {
		if at.in != nil {
			return at.in
		}
	}
	return nil
}

// loopOf returns the innermost loop whose item has the name.
func (s *scope) loopOf(item string) *loopContext {
	for at := s; at != nil; at = at.outer {
		if at.in != nil && at.in.as == item {
			return at.in
		}
	}
	return &loopContext{}
}

// iteration returns the position of the current iteration in all loops around it, such as 2.0, or the zero value outside loops.
func (s *scope) iteration() query.Expr {
	if l := s.loop(); l != nil {
		return query.Var("at_" + l.name)
	}
	return query.Expr{}
}

// outputsOf returns an object with the outputs of steps that have ended, by name.
func outputsOf(steps []string, in *scope) query.Expr {
	fields := make([]query.Binding, len(steps))
	for i, name := range steps {
		fields[i] = query.Bind(name, in.output(name))
	}
	return query.Object(fields...)
}

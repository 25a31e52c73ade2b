package compile

import (
	"github.com/rayorch/rayorch/internal/compile/query"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// Expressions as plain text, for the files that package query has not reached (listed in TestNoJSONataInGo). Each function here is
// another one of the package with text for query.Expr.

func untyped(expr string) query.Expr { return query.Inline(wrap(expr)) }

func wrap(expr string) string  { return "{% " + expr + " %}" }
func plain(text string) string { return query.Plain(text) }
func str(text string) string   { return query.Str(text).String() }
func literal(v any) string     { return query.Literal(v).String() }
func field(name string) string { return query.Var("").Get(name).String()[1:] }

const (
	longParams   = "$exists($env.RAYORCH_PARAMS) ? null : $params"
	redriveCount = "$states.context.Execution.RedriveCount"
)

func (c *compiler) ref(r *pipeline.Ref, in *scope, missing bool) string {
	return c.reference(r, in, missing).String()
}
func (c *compiler) text(t pipeline.Template, in *scope) string { return c.template(t, in).String() }
func (c *compiler) shell(s pipeline.Shell, in *scope) string   { return c.script(s, in).String() }
func (c *compiler) argv(args []pipeline.Template, in *scope) string {
	return c.commandLine(args, in).String()
}

func (s *scope) place() string                { return s.iteration().String() }
func record(steps []string, in *scope) string { return outputsOf(steps, in).String() }
func fitting(vars string) string              { return fitted(untyped(vars)).String() }
func unlessRedriven(then, failure string) string {
	return failureOrRedriven(untyped(failure), untyped(then)).String()
}
func raised(output, otherwise string) string {
	return raisedError(untyped(output), untyped(otherwise)).String()
}
func (a *attempts) raised(output, otherwise string) string {
	return a.raisedError(untyped(output), untyped(otherwise)).String()
}

func result(state *value.Object, s *pipeline.Step, in *scope, expr string) {
	setResult(state, s, in, untyped(expr))
}
func checkedResult(state *value.Object, s *pipeline.Step, in *scope, output string) {
	setCheckedResult(state, s, in, untyped(output))
}

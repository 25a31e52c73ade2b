package compile

// This file goes with the merge of the general half.

import (
	"github.com/rayorch/rayorch/internal/compile/query"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

func fromText(s string) query.Expr { return query.Inline(wrap(s)) }
func (c *compiler) template(t pipeline.Template, in *scope) query.Expr {
	return fromText(c.text(t, in))
}
func (c *compiler) script(s pipeline.Shell, in *scope) query.Expr { return fromText(c.shell(s, in)) }
func (c *compiler) commandLine(a []pipeline.Template, in *scope) query.Expr {
	return fromText(c.argv(a, in))
}
func paramsIfLong() query.Expr          { return fromText(longParams) }
func fitted(vars query.Expr) query.Expr { return fromText(fitting(vars.String())) }
func redrives() query.Expr              { return fromText(redriveCount) }
func (s *scope) iteration() query.Expr {
	if p := s.place(); p != "" {
		return fromText(p)
	}
	return query.Expr{}
}
func outputsOf(steps []string, in *scope) query.Expr { return fromText(record(steps, in)) }
func runPrefix(execution query.Expr) query.Expr {
	return fromText("'r' & $substring($hash(" + execution.String() + ", 'SHA-256'), 0, 12) & '-'")
}
func failureOrRedriven(failure, then query.Expr) query.Expr {
	return fromText(unlessRedriven(then.String(), failure.String()))
}
func raisedError(output, otherwise query.Expr) query.Expr {
	return fromText(raised(output.String(), otherwise.String()))
}
func (a *attempts) raisedError(output, otherwise query.Expr) query.Expr {
	return fromText(a.raised(output.String(), otherwise.String()))
}
func setResult(state *value.Object, s *pipeline.Step, in *scope, output query.Expr) {
	result(state, s, in, output.String())
}
func setCheckedResult(state *value.Object, s *pipeline.Step, in *scope, output query.Expr) {
	checkedResult(state, s, in, output.String())
}

func inline(v any) string            { return query.Inline(v).String() }
func prefix(execution string) string { return runPrefix(fromText(execution)).String() }

package compile

import (
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// An undeclared output is known only after the job has run, so the value of a reference to an output or an item may not exist. The step
// with such a reference fails, with a message that says what is missing and what was returned instead.

// maxShown is the maximum number of characters of keys or of a value in a message.
const maxShown = 200

// absence returns the message about a missing value: the reference, the step that did not return it, and what it returned.
func (c *compiler) absence(r *pipeline.Ref, in *scope) query.Expr {
	root, keys := c.root(r, in)
	who, nothing := ", which the item does not have (it has: ", "nothing"
	switch r.Root {
	case "steps":
		who = ", which step " + r.Name(0) + " did not return (it returned: "
		if s := c.steps[r.Name(0)]; s != nil && s.When != nil {
			nothing = "nothing, or it was skipped"
		}
	case "params":
		who = ", which the parameter does not have (it has: "
	}
	shown := query.Call("string", root)
	if len(keys) == 1 && keys[0].Name != "" {
		shown = query.File("keys", query.Bind("value", root))
	}
	return query.Concat(query.Str(r.Text+who), query.File("returned", query.Bind("value", root), query.Bind("nothing", query.Str(nothing)),
		query.Bind("shown", shown), query.Bind("most", query.Int(maxShown))), query.Str(")"))
}

// inputMissing returns an expression that fails the step with the reference. An expression can raise only States.QueryEvaluationError, so
// the message starts with the name of the actual error, for raisedError.
func (c *compiler) inputMissing(r *pipeline.Ref, in *scope) query.Expr {
	asker := in.asker()
	asker.mayFail = true
	return query.Call("error", query.Concat(query.Str(stepfn.StepInputMissing+": step "+asker.name+" needs "), c.absence(r, in)))
}

// raisedError returns the error and cause that an expression raised with $error. output is the error output of a state; if it is of
// another error, the result is otherwise.
func raisedError(output, otherwise query.Expr) query.Expr {
	return query.File("raised", query.Bind("output", output), query.Bind("names", query.Strs([]string{stepfn.StepInputMissing, stepfn.StepOutputInvalid})),
		query.Bind("otherwise", otherwise))
}

// raisedError does the same in a step with references whose values may be missing. In other steps, the result is always otherwise.
func (a *attempts) raisedError(output, otherwise query.Expr) query.Expr {
	if !a.sub.in.asker().mayFail {
		return otherwise
	}
	return raisedError(output, otherwise)
}

// mayBeMissing reports whether the value of the reference may be missing in a run. Properties of parameters always exist, and so do declared
// keys of an output.
func (c *compiler) mayBeMissing(r *pipeline.Ref, in *scope) bool {
	_, keys := c.root(r, in)
	if s := c.steps[r.Name(0)]; r.Root == "steps" && s != nil && s.Always(keys) {
		return false
	}
	return len(keys) > 0 && (r.Root != "params" || slices.ContainsFunc(keys, func(k pipeline.Key) bool { return k.Name == "" }))
}

// exists returns the condition that the value of a reference exists.
func (c *compiler) exists(r *pipeline.Ref, in *scope) query.Expr {
	return query.Call("exists", follows(c.root(r, in)))
}

// isMissing returns the condition that the value of a reference is unexpectedly missing. The output of a step that was skipped, or whose
// failure was tolerated, is null, and it is expected to have no keys.
func (c *compiler) isMissing(r *pipeline.Ref, in *scope) query.Expr {
	root, keys := c.root(r, in)
	var conditions []query.Expr
	if s := c.steps[r.Name(0)]; r.Root == "steps" && s != nil {
		for _, n := range s.Nullable(keys) {
			conditions = append(conditions, query.Op(follows(root, keys[:n]), "!=", query.Null))
		}
	}
	return query.And(append(conditions, query.Not(c.exists(r, in)))...)
}

// missing returns a list with a message about each missing value in a condition, or the zero value if none can be missing. References that
// the condition compares with null are not in the list: the comparison tests whether the value exists.
func (c *compiler) missing(e pipeline.Expr, in *scope) query.Expr {
	var list []query.Expr
	for _, r := range conditionRefs(e) {
		if c.mayBeMissing(r, in) && !guarded(e, r) {
			list = append(list, query.If(c.isMissing(r, in), c.absence(r, in), query.Expr{}))
		}
	}
	if len(list) == 0 {
		return query.Expr{}
	}
	return query.Array(list...)
}

// found returns the condition that the values of all references in a template exist, or the zero value if none can be missing.
func (c *compiler) found(t pipeline.Template, in *scope) query.Expr {
	var found []query.Expr
	for _, p := range t.Parts {
		if p.Ref != nil && c.mayBeMissing(p.Ref, in) {
			found = append(found, c.exists(p.Ref, in))
		}
	}
	return query.And(found...)
}

// outputsMayBeMissing reports whether values that the pipeline's outputs refer to may be missing in a run.
func (c *compiler) outputsMayBeMissing(top *scope) bool {
	for _, e := range c.p.Outputs.Entries {
		if slices.ContainsFunc(refsIn(e.Value.Value), func(r *pipeline.Ref) bool { return c.mayBeMissing(r, top) }) {
			return true
		}
	}
	return false
}

// missingOutputs returns a list of messages about the missing values that the pipeline's outputs refer to.
func (c *compiler) missingOutputs(top *scope) query.Expr {
	var list []query.Expr
	for _, e := range c.p.Outputs.Entries {
		for _, r := range refsIn(e.Value.Value) {
			if c.mayBeMissing(r, top) {
				message := query.Concat(query.Str("output "+e.Key+" refers to "), c.absence(r, top))
				list = append(list, query.If(c.isMissing(r, top), message, query.Expr{}))
			}
		}
	}
	return query.Array(list...)
}

// refsIn returns all references in a JSON value.
func refsIn(v any) []*pipeline.Ref {
	var refs []*pipeline.Ref
	switch v := v.(type) {
	case pipeline.Template:
		for _, p := range v.Parts {
			if p.Ref != nil {
				refs = append(refs, p.Ref)
			}
		}
	case []any:
		for _, item := range v {
			refs = append(refs, refsIn(item)...)
		}
	case *value.Object:
		for i := range v.Len() {
			_, item := v.At(i)
			refs = append(refs, refsIn(item)...)
		}
	}
	return refs
}

// conditionRefs returns the references of a condition, each once and in order.
func conditionRefs(e pipeline.Expr) []*pipeline.Ref {
	var refs []*pipeline.Ref
	seen := map[string]bool{}
	var walk func(e pipeline.Expr)
	walk = func(e pipeline.Expr) {
		if e.Ref != nil && !seen[e.Ref.Text] {
			seen[e.Ref.Text] = true
			refs = append(refs, e.Ref)
		}
		for _, arg := range e.Args {
			walk(arg)
		}
	}
	walk(e)
	return refs
}

// guarded reports whether a condition compares a reference, or a prefix of it, with null.
func guarded(e pipeline.Expr, r *pipeline.Ref) bool {
	if comparesNull(e) {
		return slices.ContainsFunc(e.Args, func(arg pipeline.Expr) bool {
			g := arg.Ref
			return g != nil && g.Root == r.Root && len(g.Path) <= len(r.Path) && slices.Equal(g.Path, r.Path[:len(g.Path)])
		})
	}
	return slices.ContainsFunc(e.Args, func(arg pipeline.Expr) bool { return guarded(arg, r) })
}

// comparesNull reports whether an operand of a comparison is the literal null.
func comparesNull(e pipeline.Expr) bool {
	for _, arg := range e.Args {
		if (e.Op == "==" || e.Op == "!=") && arg.Op == "literal" && arg.Value == nil {
			return true
		}
	}
	return false
}

// conditionReport returns the output of a condition's Choice state if the condition is false: the condition, the values of its
// references, and the missing ones. Users and the views of a run read it.
func (c *compiler) conditionReport(when *pipeline.Condition, in *scope) *value.Object {
	values := &value.Object{}
	for _, r := range conditionRefs(when.Expr) {
		values.Set(r.Text, query.File("shortened", query.Bind("x", c.reference(r, in, lenient)), query.Bind("most", query.Int(maxShown))).Value())
	}
	out := value.Obj("condition", query.Plain(when.Text), "values", values)
	if missing := c.missing(when.Expr, in); !missing.IsZero() {
		out.Set("missing", missing.Value())
	} else {
		out.Set("missing", []any{})
	}
	return out
}

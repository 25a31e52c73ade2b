package compile

import (
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// What a job returns is known only after it has run, so a reference to an output, or to an item, may find nothing. That fails the
// step with the reference, with a message that names what is missing and what was returned instead.

// maxShown is how many characters of names or of a value a message shows.
const maxShown = 200

// absence is the message about a reference that finds nothing: the reference, what did not return it, and what was returned.
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

// inputMissing fails the step with the reference. An expression can raise only States.QueryEvaluationError, so the message begins with
// the name of the error.
func (c *compiler) inputMissing(r *pipeline.Ref, in *scope) query.Expr {
	asker := in.asker()
	asker.mayFail = true
	return query.Call("error", query.Concat(query.Str(stepfn.StepInputMissing+": step "+asker.name+" needs "), c.absence(r, in)))
}

// raisedError is the error and cause that an expression raised with $error, or otherwise if output, a state's error output, is of
// another error.
func raisedError(output, otherwise query.Expr) query.Expr {
	return query.File("raised", query.Bind("output", output), query.Bind("names", query.Strs([]string{stepfn.StepInputMissing, stepfn.StepOutputInvalid})),
		query.Bind("otherwise", otherwise))
}

// raisedError is the same for a step with a reference that may find nothing; for others it is otherwise.
func (a *attempts) raisedError(output, otherwise query.Expr) query.Expr {
	if !a.sub.in.asker().mayFail {
		return otherwise
	}
	return raisedError(output, otherwise)
}

// mayLack reports whether the reference may find nothing in a run: properties of parameters are declared, and keys of an output may
// be.
func (c *compiler) mayLack(r *pipeline.Ref, in *scope) bool {
	_, keys := c.root(r, in)
	if s := c.steps[r.Name(0)]; r.Root == "steps" && s != nil && s.Always(keys) {
		return false
	}
	return len(keys) > 0 && (r.Root != "params" || slices.ContainsFunc(keys, func(k pipeline.Key) bool { return k.Name == "" }))
}

// exists is the condition that a reference finds something.
func (c *compiler) exists(r *pipeline.Ref, in *scope) query.Expr {
	return query.Call("exists", follows(c.root(r, in)))
}

// lacks is the condition that a reference finds nothing. The output of a step that was skipped, or whose failure was tolerated, is
// null and is not expected to have keys.
func (c *compiler) lacks(r *pipeline.Ref, in *scope) query.Expr {
	root, keys := c.root(r, in)
	var conditions []query.Expr
	if s := c.steps[r.Name(0)]; r.Root == "steps" && s != nil {
		for _, n := range s.Nullable(keys) {
			conditions = append(conditions, query.Op(follows(root, keys[:n]), "!=", query.Null))
		}
	}
	return query.And(append(conditions, query.Not(c.exists(r, in)))...)
}

// missing is a list with the message about each reference of a condition that finds nothing; the zero value if none can be missing. A
// comparison with null checks whether there is a value: such a reference may find none, also elsewhere in the condition.
func (c *compiler) missing(e pipeline.Expr, in *scope) query.Expr {
	var list []query.Expr
	for _, r := range conditionRefs(e) {
		if c.mayLack(r, in) && !guarded(e, r) {
			list = append(list, query.If(c.lacks(r, in), c.absence(r, in), query.Expr{}))
		}
	}
	if len(list) == 0 {
		return query.Expr{}
	}
	return query.Array(list...)
}

// found is the condition that all references of a text find something; the zero value if none can be missing.
func (c *compiler) found(t pipeline.Template, in *scope) query.Expr {
	var found []query.Expr
	for _, p := range t.Parts {
		if p.Ref != nil && c.mayLack(p.Ref, in) {
			found = append(found, c.exists(p.Ref, in))
		}
	}
	return query.And(found...)
}

// outputsMayLack reports whether a run may find nothing at a reference of the pipeline's outputs.
func (c *compiler) outputsMayLack(top *scope) bool {
	for _, e := range c.p.Outputs.Entries {
		if slices.ContainsFunc(refsIn(e.Value.Value), func(r *pipeline.Ref) bool { return c.mayLack(r, top) }) {
			return true
		}
	}
	return false
}

// missingOutputs is a list of messages about what the pipeline's outputs refer to and do not find.
func (c *compiler) missingOutputs(top *scope) query.Expr {
	var list []query.Expr
	for _, e := range c.p.Outputs.Entries {
		for _, r := range refsIn(e.Value.Value) {
			if c.mayLack(r, top) {
				message := query.Concat(query.Str("output "+e.Key+" refers to "), c.absence(r, top))
				list = append(list, query.If(c.lacks(r, top), message, query.Expr{}))
			}
		}
	}
	return query.Array(list...)
}

// refsIn returns the references anywhere in a JSON value.
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

// guarded reports whether a condition compares a reference, or what it is a part of, with null.
func guarded(e pipeline.Expr, r *pipeline.Ref) bool {
	if comparesNull(e) {
		return slices.ContainsFunc(e.Args, func(arg pipeline.Expr) bool {
			g := arg.Ref
			return g != nil && g.Root == r.Root && len(g.Path) <= len(r.Path) && slices.Equal(g.Path, r.Path[:len(g.Path)])
		})
	}
	return slices.ContainsFunc(e.Args, func(arg pipeline.Expr) bool { return guarded(arg, r) })
}

// comparesNull reports whether an operand of a comparison is null itself.
func comparesNull(e pipeline.Expr) bool {
	for _, arg := range e.Args {
		if (e.Op == "==" || e.Op == "!=") && arg.Op == "literal" && arg.Value == nil {
			return true
		}
	}
	return false
}

// asked is the output of the Choice state of a condition that does not hold, for users and for the views of a run: the condition,
// the values of its references, and what was missing.
func (c *compiler) asked(when *pipeline.Condition, in *scope) *value.Object {
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

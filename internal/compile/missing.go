package compile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// What a job returns is known only after it has run, so a reference to an output, or to an item, may find nothing. That fails the
// step with the reference, with a message that names what is missing and what was returned instead.

// maxShown is how many characters of names or of a value a message shows.
const maxShown = 200

// path is the expression of a path from a value.
func path(from string, keys []pipeline.Key) string {
	for _, k := range keys {
		if k.Name == "" {
			from += "[" + strconv.Itoa(k.Index) + "]"
		} else {
			from += field(k.Name)
		}
	}
	return from
}

// absence is the expression of the message about a reference that finds nothing: the reference, what did not return it, and what
// was returned.
func (c *compiler) absence(r *pipeline.Ref, in *scope) string {
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
	shown := "$string(" + root + ")"
	if len(keys) == 1 && keys[0].Name != "" {
		shown = fmt.Sprintf("$count($keys(%s)) > 0 ? $join([$keys(%[1]s)], ', ') : %s", root, shown)
	}
	return fmt.Sprintf("%s & (%s = null ? '%s' : $substring(%s, 0, %d)) & ')'", str(r.Text+who), root, nothing, shown, maxShown)
}

// The errors that an expression of a definition raises. An expression can raise only States.QueryEvaluationError, so the message
// begins with the name.
const (
	errInputMissing  = stepfn.StepInputMissing
	errOutputInvalid = stepfn.StepOutputInvalid
)

// inputMissing is the expression that fails the step with the reference.
func (c *compiler) inputMissing(r *pipeline.Ref, in *scope) string {
	asker := in.asker()
	asker.mayFail = true
	return "$error(" + str(errInputMissing+": step "+asker.name+" needs ") + " & " + c.absence(r, in) + ")"
}

// raised is the expression of the error and cause that an expression raised with $error, or otherwise if the error in output, a
// state's error output, is another one. The message is at the end of the cause, after the whole expression.
func raised(output, otherwise string) string {
	return fmt.Sprintf("($c := $substringAfter(%s.Cause, 'D3137: '); $n := $substringBefore($c, ': '); "+
		"$n in ['%s', '%s'] ? {'Error': $n, 'Cause': $substringAfter($c, ': ')} : %s)", output, errInputMissing, errOutputInvalid, otherwise)
}

// raised is the same for a step with a reference that may find nothing; for others it is otherwise.
func (a *attempts) raised(output, otherwise string) string {
	if !a.t.in.asker().mayFail {
		return otherwise
	}
	return raised(output, otherwise)
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

// lacks is the expression of whether a reference finds nothing. The output of a step that was skipped, or whose failure was
// tolerated, is null and is not expected to have keys.
func (c *compiler) lacks(r *pipeline.Ref, in *scope) string {
	root, keys := c.root(r, in)
	expr := ""
	if s := c.steps[r.Name(0)]; r.Root == "steps" && s != nil {
		for _, n := range s.Nullable(keys) {
			expr += path(root, keys[:n]) + " != null and "
		}
	}
	return expr + "$not($exists(" + path(root, keys) + "))"
}

// missing is the expression of a list with the message about each reference of a condition that finds nothing; "" if none can be
// missing. A comparison with null checks whether there is a value: such a reference may find none, also elsewhere in the condition.
func (c *compiler) missing(e pipeline.Expr, in *scope) string {
	list := ""
	for _, r := range conditionRefs(e) {
		if c.mayLack(r, in) && !guarded(e, r) {
			if list != "" {
				list += ", "
			}
			list += c.lacks(r, in) + " ? " + c.absence(r, in)
		}
	}
	if list == "" {
		return ""
	}
	return "[" + list + "]"
}

// there is the expression of whether all references of a text find something; "" if none can be missing.
func (c *compiler) there(t pipeline.Template, in *scope) string {
	var found []string
	for _, p := range t.Parts {
		if p.Ref != nil && c.mayLack(p.Ref, in) {
			root, keys := c.root(p.Ref, in)
			found = append(found, "$exists("+path(root, keys)+")")
		}
	}
	return strings.Join(found, " and ")
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

// missingOutputs is the expression of a list of what the pipeline's outputs refer to and do not find.
func (c *compiler) missingOutputs(top *scope) string {
	var list []string
	for _, e := range c.p.Outputs.Entries {
		for _, r := range refsIn(e.Value.Value) {
			if c.mayLack(r, top) {
				list = append(list, c.lacks(r, top)+" ? "+str("output "+e.Key+" refers to ")+" & "+c.absence(r, top))
			}
		}
	}
	return "[" + strings.Join(list, ", ") + "]"
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
		values.Set(r.Text, wrap(fmt.Sprintf("($x := %s; $length($string($x)) > %d ? $substring($string($x), 0, %[2]d) & '...' : $x)",
			c.ref(r, in, lenient), maxShown)))
	}
	out := value.Obj("condition", plain(when.Text), "values", values)
	if missing := c.missing(when.Expr, in); missing != "" {
		out.Set("missing", wrap(missing))
	} else {
		out.Set("missing", []any{})
	}
	return out
}

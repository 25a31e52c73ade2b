package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// The checks in this file make sure that each reference names an existing parameter, item or run field, or the output of a step
// that has always ended when the reference is evaluated.

// number checks a number that may be a reference.
func (c *checker) number(n *Number, path string, in scope) {
	if n != nil {
		c.ref(n.Ref, path, in)
		c.numeric(n.Ref, path, in)
	}
}

// numeric reports a value whose declared type is not a number where a number is needed.
func (c *checker) numeric(r *Ref, path string, in scope) {
	if p := c.declared(r, in); p != nil && p.Type != "integer" && p.Type != "number" {
		c.report(path, "%s: must be a number, but is declared as %s", r.Text, p.Type)
	}
}

// declared returns the declaration of the value that a reference names: a parameter, the output of a step, a loop item, or a part of
// one of these. It is nil if the value is undeclared.
func (c *checker) declared(r *Ref, in scope) *Param {
	if r == nil {
		return nil
	}
	at, path := in.items[r.Root], r.Path
	switch r.Root {
	case "params":
		p, ok := c.p.Params.Get(r.Name(0))
		if !ok {
			return nil
		}
		at, path = &p, path[1:]
	case "steps":
		s := stepNamed(c.p.Steps, r.Name(0))
		if s == nil || r.Name(1) != "output" {
			return nil
		}
		at, path = s.DeclaredOutput(), path[2:]
	}
	at, _ = at.at(path)
	return at
}

// at returns the declaration of the value at a path in the parameter, or the error of the path. The declaration is nil if it is
// unknown, as is that of a nil parameter.
func (p *Param) at(path []Key) (*Param, string) {
	for _, k := range path {
		switch {
		case p == nil || p.Type == "", p.Type == "object" && p.Properties.Len() == 0 && k.Name != "":
			return nil, ""
		case p.Type == "list" && k.Name == "":
			p = p.Items
		case p.Type == "list":
			return nil, fmt.Sprintf("a list has no property %s; expected an index such as [0]", k.Name)
		case p.Type == "object" && k.Name == "":
			return nil, "an object has no index; expected a property: " + strings.Join(p.Properties.Keys(), ", ")
		case p.Type != "object":
			return nil, "a value of type " + p.Type + " has no properties"
		default:
			inner, ok := p.Properties.Get(k.Name)
			if !ok {
				return nil, fmt.Sprintf("unknown property %q%s", k.Name, orOneOf(k.Name, p.Properties.Keys()))
			}
			p = &inner
		}
	}
	if p != nil && p.Type == "" {
		return nil, ""
	}
	return p, ""
}

// dynamic checks all references in a JSON value.
func (c *checker) dynamic(v any, path string, in scope) {
	switch v := v.(type) {
	case Template:
		c.template(v, path, in)
	case []any:
		for i, item := range v {
			c.dynamic(item, element(path, i), in)
		}
	case *value.Object:
		for i := range v.Len() {
			k, item := v.At(i)
			c.dynamic(item, join(path, k), in)
		}
	}
}

// template checks the references in a string.
func (c *checker) template(t Template, path string, in scope) {
	for _, p := range t.Parts {
		c.ref(p.Ref, path, in)
	}
}

// condition checks the references of a condition, and its comparisons as far as steps declare their outputs. The types of undeclared
// outputs are known only at run time, where a comparison of different types is false.
func (c *checker) condition(e Expr, path string, in scope) {
	c.ref(e.Ref, path, in)
	c.constantComparison(e, path, in)
	for _, arg := range e.Args {
		c.condition(arg, path, in)
	}
}

var runFields = []string{"id", "arn", "startTime", "storage", "pipeline"}

// ref reports a reference that cannot be resolved in the scope. It ignores nil, and empty references, whose error was already reported.
func (c *checker) ref(r *Ref, path string, in scope) {
	if r == nil || r.Root == "" {
		return
	}
	if msg := c.refProblem(r, in); msg != "" {
		c.report(path, "%s: %s", r.Text, msg)
	}
}

// refProblem returns the error of a reference, or "".
func (c *checker) refProblem(r *Ref, in scope) string {
	switch r.Root {
	case "params":
		return c.paramRef(r)
	case "steps":
		return c.stepRef(r, in)
	case "run":
		return fixedRef(r, runFields)
	case "storage":
		return fixedRef(r, []string{"path"})
	case "secrets":
		return "references to secrets are not allowed; list the secret in the step's field secrets, and read it from the environment"
	case "index":
		if !in.loop {
			return "is available only inside forEach"
		}
		if len(r.Path) > 0 {
			return "is a number and has no properties"
		}
		return ""
	}
	if item, ok := in.items[r.Root]; ok {
		_, msg := item.at(r.Path)
		return msg
	}
	roots := []string{"params", "steps", "run", "storage"}
	for name := range in.items {
		roots = append(roots, name)
	}
	slices.Sort(roots)
	return "unknown name " + r.Root + orOneOf(r.Root, roots)
}

// fixedRef returns the error of a reference whose root has a fixed set of fields, or "".
func fixedRef(r *Ref, fields []string) string {
	if len(r.Path) != 1 || !slices.Contains(fields, r.Name(0)) {
		list := r.Root + "." + strings.Join(fields, ", "+r.Root+".")
		if len(fields) == 1 {
			return "expected " + list
		}
		return "expected one of " + list
	}
	return ""
}

// paramRef returns the error of a reference to a parameter, or "".
func (c *checker) paramRef(r *Ref) string {
	name := r.Name(0)
	p, ok := c.p.Params.Get(name)
	if !ok {
		return fmt.Sprintf("unknown parameter %q%s", name, orOneOf(name, c.p.Params.Keys()))
	}
	_, msg := p.at(r.Path[1:])
	return msg
}

// stepRef returns the error of a reference to a step's output, or "". Only steps that have ended in every run are valid: a reference to
// a step that runs at the same time would work or fail by chance. A skipped step has ended; its output is null.
func (c *checker) stepRef(r *Ref, in scope) string {
	name := r.Name(0)
	switch {
	case !slices.Contains(in.steps, name) && c.names[strings.ToLower(name)] != "":
		return fmt.Sprintf("step %s may not have ended; add it to after, or use the output of the step that contains it", name)
	case !slices.Contains(in.steps, name):
		return fmt.Sprintf("unknown step %q%s", name, orOneOf(name, in.steps))
	case r.Name(1) != "output":
		return "expected steps." + name + ".output"
	}
	return c.outputRef(r)
}

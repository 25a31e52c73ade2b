package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// References are checked wherever they stand: what they name must be there, and must have ended before the step starts.

func (c *checker) number(n *Number, path string, in scope) {
	if n != nil {
		c.ref(n.Ref, path, in)
		c.numeric(n.Ref, path, in)
	}
}

// numeric reports a value whose declared type is not a number where a number is needed.
func (c *checker) numeric(r *Ref, path string, in scope) {
	if p := c.declared(r, in); p != nil && p.Type != "integer" && p.Type != "number" {
		c.report(path, "%s: must be a number, but it is of type %s", r.Text, p.Type)
	}
}

// declared is what the file declares about the value of a reference: of a parameter, of the output of a step, or of an item of
// either. It is nil if the file declares nothing.
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

// at is what a path from the parameter leads to, or what is wrong with the path. Of a nil parameter nothing is known.
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
			return nil, "a value of type " + p.Type + " has no fields"
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

// dynamic checks the references anywhere in a JSON value.
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

func (c *checker) template(t Template, path string, in scope) {
	for _, p := range t.Parts {
		c.ref(p.Ref, path, in)
	}
}

// condition checks the references of a condition, and its types as far as steps declare their outputs. Otherwise, a step's output
// is known only after it has run, and a comparison of two types is then false.
func (c *checker) condition(e Expr, path string, in scope) {
	c.ref(e.Ref, path, in)
	c.impossible(e, path, in)
	for _, arg := range e.Args {
		c.condition(arg, path, in)
	}
}

var runFields = []string{"id", "arn", "startTime", "storage", "pipeline"}

// ref reports a reference that names nothing at this place. A nil one, and one that was refused before, is fine.
func (c *checker) ref(r *Ref, path string, in scope) {
	if r == nil || r.Root == "" {
		return
	}
	if msg := c.refProblem(r, in); msg != "" {
		c.report(path, "%s: %s", r.Text, msg)
	}
}

// refProblem says what is wrong with a reference; empty when nothing is.
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
		return "secrets are never put into text; list the secret under secrets, and read it from the environment"
	case "index":
		if !in.loop {
			return "is only known inside forEach"
		}
		if len(r.Path) > 0 {
			return "is a number and has no fields"
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

// fixedRef is for roots whose fields are always the same.
func fixedRef(r *Ref, fields []string) string {
	if len(r.Path) != 1 || !slices.Contains(fields, r.Name(0)) {
		return "expected " + r.Root + "." + strings.Join(fields, ", "+r.Root+".")
	}
	return ""
}

func (c *checker) paramRef(r *Ref) string {
	name := r.Name(0)
	p, ok := c.p.Params.Get(name)
	if !ok {
		return fmt.Sprintf("unknown parameter %q%s", name, orOneOf(name, c.p.Params.Keys()))
	}
	_, msg := p.at(r.Path[1:])
	return msg
}

// stepRef takes only steps that have ended in every run: a reference to one that merely may have ended would work or fail
// by chance. A step that was skipped has ended; its output is null.
func (c *checker) stepRef(r *Ref, in scope) string {
	name := r.Name(0)
	switch {
	case !slices.Contains(in.steps, name) && c.names[strings.ToLower(name)] != "":
		return fmt.Sprintf("step %s has not ended here; name it in after, or refer to the step around it", name)
	case !slices.Contains(in.steps, name):
		return fmt.Sprintf("unknown step %q%s", name, orOneOf(name, in.steps))
	case r.Name(1) != "output":
		return "expected steps." + name + ".output"
	}
	return c.outputRef(r)
}

package expr

import "github.com/rayorch/rayorch/internal/value"

// plainPath is an expression such as $states.input.order.id.
type plainPath struct {
	variable string
	names    []string
}

// follow gives what the path leads to. known is false when only the library can tell: a path that crosses an array maps
// over it, and $states as a whole must be made first.
func (p *plainPath) follow(s *Scope) (v any, ok, known bool) {
	names := p.names
	if p.variable == "states" {
		if len(names) == 0 {
			return statesObject(s), true, true
		}
		v, ok = statesField(s, names[0])
		names = names[1:]
	} else {
		if v, ok = s.variable(p.variable); !ok && builtinFunctions[p.variable] {
			return nil, false, false
		}
	}
	for _, name := range names {
		if !ok {
			return nil, false, true
		}
		switch here := v.(type) {
		case *value.Object:
			v, ok = here.Get(name)
		case []any:
			return nil, false, false
		default:
			return nil, false, true
		}
	}
	return v, ok, true
}

// statesFields are the fields of $states in the order in which they show.
var statesFields = []string{"input", "context", "result", "errorOutput"}

// statesField is one field of $states, when it is there.
func statesField(s *Scope, name string) (any, bool) {
	switch name {
	case "input":
		return s.Input, true
	case "context":
		return s.context()
	case "result":
		return s.Result, s.HasResult
	case "errorOutput":
		return s.ErrorOutput, s.HasErrorOutput
	}
	return nil, false
}

func statesObject(s *Scope) *value.Object {
	o := value.NewObject(len(statesFields))
	for _, name := range statesFields {
		if v, ok := statesField(s, name); ok {
			o.Set(name, v)
		}
	}
	return o
}

package expr

import (
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// plainPath is an expression such as $states.input.order.id, or a part of one. Such paths are followed here: quicker,
// values stay as they are, and arrays of one element come out as the reference implementation gives them.
type plainPath struct {
	variable string
	names    []string
	from, to int    // tokens, the last one not included
	alias    string // the variable that stands for the path in what the library compiles
}

// follow gives what the path leads to, when it leads anywhere. known is false for a function of the library.
func (p *plainPath) follow(s *Scope) (v any, ok, known bool) {
	names := p.names
	if p.variable == "states" {
		if len(names) == 0 {
			return statesObject(s), true, true
		}
		v, ok = statesField(s, names[0])
		names = names[1:]
	} else if v, ok = s.variable(p.variable); !ok && builtinFunctions[p.variable] {
		return nil, false, false
	}
	for i := 0; ok && i < len(names); i++ {
		switch here := v.(type) {
		case *value.Object:
			v, ok = here.Get(names[i])
		case []any:
			v, ok = across(here, names[i:])
			return v, ok, true
		default:
			return nil, false, true
		}
	}
	return v, ok, true
}

// across follows names from the elements of an array, in the way of JSONata: what the elements give is joined, arrays
// among it are opened once, and a single result stands for itself.
func across(items []any, names []string) (any, bool) {
	for i, name := range names {
		found := make([]any, 0, len(items))
		for _, item := range items {
			if v, ok := lookup(item, name); ok {
				found = append(found, v)
			}
		}
		if i == len(names)-1 && len(found) == 1 {
			if a, ok := found[0].([]any); ok {
				return a, true // an array that was there already is no list of results
			}
		}
		items = opened(found)
		if len(items) == 0 {
			return nil, false
		}
	}
	return single(items)
}

// opened joins arrays that stand in an array.
func opened(found []any) []any {
	out := make([]any, 0, len(found))
	for _, v := range found {
		if a, ok := v.([]any); ok {
			out = append(out, a...)
		} else {
			out = append(out, v)
		}
	}
	return out
}

// single is what a list of results stands for: nothing, its only element, or itself.
func single(items []any) (any, bool) {
	switch len(items) {
	case 0:
		return nil, false
	case 1:
		return items[0], true
	}
	return items, true
}

// lookup takes a name from an object, or from all elements of an array.
func lookup(v any, name string) (any, bool) {
	switch v := v.(type) {
	case *value.Object:
		return v.Get(name)
	case []any:
		found := make([]any, 0, len(v))
		for _, item := range v {
			if r, ok := lookup(item, name); ok {
				found = append(found, r)
			}
		}
		return single(opened(found))
	}
	return nil, false
}

// path notes the plain path that starts at the walker's position, when the whole operand is one: nothing follows that
// would look into single results ([...], {...}, ^, #, @) or go on with the path.
func (w *walker) path() {
	p := plainPath{variable: w.at(w.pos).text, from: w.pos, to: w.pos + 1}
	for w.isOp(p.to, ".") && w.at(p.to+1).kind == tokenName {
		p.names = append(p.names, w.at(p.to+1).text)
		p.to += 2
	}
	if next := w.at(p.to); next.kind == tokenOp && next.text != "" && strings.Contains(".[{^#@(", next.text) || w.isOp(w.pos-1, ".") {
		return
	}
	w.paths = append(w.paths, p)
}

// substitute is the expression's text with variables in the place of its plain paths. The paths are those of variables
// that the expression does not bind itself.
func (s *scan) substitute(text string, bound map[string]bool) string {
	var b strings.Builder
	done := 0
	kept := s.paths[:0]
	for _, p := range s.paths {
		if bound[p.variable] {
			continue
		}
		p.alias = s.alias(len(kept))
		b.WriteString(text[done:s.tokens[p.from].pos])
		b.WriteString("$" + p.alias)
		last := s.tokens[p.to-1]
		done = last.pos + last.size
		kept = append(kept, p)
	}
	s.paths = kept
	b.WriteString(text[done:])
	return b.String()
}

// alias is a name that no workflow variable can have: a middle dot is no letter.
func (s *scan) alias(i int) string { return "rayorch·path·" + strconv.Itoa(i) }

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

// statesObject is $states as a whole.
func statesObject(s *Scope) *value.Object {
	o := value.NewObject(len(statesFields))
	for _, name := range statesFields {
		if v, ok := statesField(s, name); ok {
			o.Set(name, v)
		}
	}
	return o
}

package check

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

// Variables have the scope of the states that assign them: a branch or an inline iteration can read those of the scopes around it. The
// check is static and knows no order of states, so that a read of a variable that no state assigns is only a warning.

// validVariable reports whether a name is a Unicode identifier, as the States Language requires.
func validVariable(name string) bool {
	for i, r := range name {
		start := unicode.IsLetter(r) || unicode.Is(unicode.Nl, r)
		rest := unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r) || unicode.IsDigit(r) || unicode.Is(unicode.Pc, r)
		if !start && (i == 0 || !rest) {
			return false
		}
	}
	return name != ""
}

// assignments visits the Assign fields of a state, of its rules and of its catchers.
func assignments(loc string, state *value.Object, visit func(loc string, names *value.Object)) {
	one := func(loc string, o *value.Object) {
		v, _ := o.Get("Assign")
		if names, ok := v.(*value.Object); ok {
			visit(loc+"/Assign", names)
		}
	}
	one(loc, state)
	for _, list := range []string{"Choices", "Catch"} {
		v, _ := state.Get(list)
		items, _ := v.([]any)
		for i, item := range items {
			if o, ok := item.(*value.Object); ok {
				one(loc+"/"+indexed(list, i), o)
			}
		}
	}
}

// assigned returns the variables that the states of a scope can read: those of outer, and those that the states themselves
// assign.
func assigned(outer map[string]bool, states *value.Object) map[string]bool {
	all := maps.Clone(outer)
	if all == nil {
		all = map[string]bool{}
	}
	for i := range states.Len() {
		_, v := states.At(i)
		state, _ := v.(*value.Object)
		assignments("", state, func(_ string, names *value.Object) {
			for _, key := range names.Keys() {
				all[strings.TrimSuffix(key, ".$")] = true
			}
		})
	}
	return all
}

// variables checks how a state uses variables: it is an error to assign a variable of a surrounding scope, and a warning to
// read one that no state assigns.
func (c *checker) variables(s scope, loc string, state *value.Object, lang language) {
	assignments(loc, state, func(loc string, names *value.Object) {
		for _, key := range names.Keys() {
			if name := assignedName(key, lang); s.outer[name] {
				c.add(codeSameVariable, loc+"/"+key, "The variable name '"+name+"' was already defined in a parent scope.")
			}
		}
	})
	if s.visible == nil { // a single state, without its machine
		return
	}
	read := map[string]bool{}
	readBy(state, lang, read)
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if !s.visible[name] {
			c.warn(codeUndefined, loc, "Variable '"+name+"' is possibly not defined.")
		}
	}
}

// Reference lists the variables that a state reads, sorted.
type Reference struct {
	State     string
	Variables []string
}

// References lists the states that read variables, in the order of the definition. Invalid parts of a definition are skipped.
func References(text string) []Reference {
	v, err := value.Parse([]byte(text))
	root, ok := v.(*value.Object)
	if err != nil || !ok {
		return nil
	}
	lang := jsonPath
	if v, ok := root.Get("QueryLanguage"); ok && v != string(jsonPath) {
		lang = jsonata
	}
	var out []Reference
	collectReferences(root, lang, &out)
	return out
}

// collectReferences uses the query language of each state.
func collectReferences(root *value.Object, top language, out *[]Reference) {
	states := statesOf(root)
	for i := range states.Len() {
		name, v := states.At(i)
		state, ok := v.(*value.Object)
		if !ok {
			continue
		}
		lang := top
		if v, ok := state.Get("QueryLanguage"); ok {
			lang = jsonata
			if v == string(jsonPath) {
				lang = jsonPath
			}
		}
		found := map[string]bool{}
		readBy(state, lang, found)
		if len(found) > 0 {
			*out = append(*out, Reference{name, slices.Sorted(maps.Keys(found))})
		}
		inside("", state, func(_ string, inner *value.Object) { collectReferences(inner, top, out) })
	}
}

// readBy adds the variables that a state reads, without those of states inside it.
func readBy(v any, lang language, found map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			readBy(item, lang, found)
		}
	case string:
		if lang == jsonata {
			add(found, jsonataVariables(v))
		}
	case *value.Object:
		for i := range v.Len() {
			key, item := v.At(i)
			if key == "States" || key == "Branches" || key == "ItemProcessor" || key == "Iterator" {
				continue
			}
			if text, ok := item.(string); ok && lang == jsonPath {
				add(found, pathVariables(key, text))
			} else {
				readBy(item, lang, found)
			}
		}
	}
}

func add(found map[string]bool, names []string) {
	for _, n := range names {
		found[n] = true
	}
}

// jsonataVariables ignores invalid expressions, which jsonata reports.
func jsonataVariables(text string) []string {
	body, ok := expr.JSONataBody(text)
	if !ok {
		return nil
	}
	e, err := expr.CompileJSONata(body)
	if err != nil {
		return nil
	}
	return e.Variables()
}

// pathVariables returns the variables of fields that contain paths: "x.$" in templates, "...Path", and Variable in rules of a
// Choice.
func pathVariables(key, text string) []string {
	if !strings.HasSuffix(key, ".$") && !strings.HasSuffix(key, "Path") && key != "Variable" {
		return nil
	}
	q, err := expr.CompileQuery(text)
	if err != nil {
		return nil
	}
	return q.Variables()
}

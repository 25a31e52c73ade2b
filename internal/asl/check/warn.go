package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// warnings reports what is allowed in a JSONPath state but probably not intended.
func (c *checker) warnings(loc, kind string, state *value.Object) {
	for _, name := range []string{"Parameters", "ResultSelector", "ItemSelector"} {
		if v, ok := state.Get(name); ok {
			c.noDollar(loc+"/"+name, v)
		}
	}
	if v, ok := state.Get("Result"); ok && kind == "Pass" && containsPath(v) {
		c.warn(codeStaticResult, loc+"/Result", "The result of a Pass state is static: paths in it are not evaluated")
	}
	for i := range state.Len() {
		name, v := state.At(i)
		if text, ok := v.(string); ok && looksLikePath(text) && !pathField(name) {
			c.warn(codeNoPath, loc+"/"+name, "The value looks like a path, but the name of the field does not end with 'Path'")
		}
	}
}

func pathField(name string) bool {
	return strings.HasSuffix(name, "Path") || slices.Contains([]string{"Comment", "Next", "Default", "Type", "Resource"}, name)
}

func looksLikePath(s string) bool {
	return s == "$" || strings.HasPrefix(s, "$.") || strings.HasPrefix(s, "$$.")
}

func looksLikeQuery(s string) bool {
	return looksLikePath(s) || strings.HasPrefix(s, "States.") && strings.HasSuffix(s, ")")
}

// noDollar reports, at any depth, a key without .$ whose value looks like a path: the text itself would be passed on instead
// of the value.
func (c *checker) noDollar(loc string, v any) {
	o, ok := v.(*value.Object)
	if !ok {
		return
	}
	for i := range o.Len() {
		key, item := o.At(i)
		if text, ok := item.(string); ok && looksLikeQuery(text) && !strings.HasSuffix(key, ".$") {
			c.warn(codeNoDollar, loc, fmt.Sprintf("The value of '%[1]s' looks like a JSONPath. Instead of '%[1]s', use '%[1]s.$' to "+
				"evaluate it as a JSONPath at runtime.", key))
		}
		c.noDollar(loc+"/"+key, item)
	}
}

// containsPath reports whether a literal value has a key that ends in .$.
func containsPath(v any) bool {
	o, ok := v.(*value.Object)
	if !ok {
		return false
	}
	for i := range o.Len() {
		key, item := o.At(i)
		if strings.HasSuffix(key, ".$") || containsPath(item) {
			return true
		}
	}
	return false
}

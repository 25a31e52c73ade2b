package stack

import (
	"github.com/rayorch/rayorch/internal/value"
)

// walk calls visit for every object of a JSON value.
func walk(v any, visit func(*value.Object)) {
	switch v := v.(type) {
	case *value.Object:
		visit(v)
		for i := range v.Len() {
			_, child := v.At(i)
			walk(child, visit)
		}
	case []any:
		for _, child := range v {
			walk(child, visit)
		}
	}
}

// hasDistributedMap says whether a definition has a Map that starts executions.
func hasDistributedMap(definition []byte) bool {
	found := false
	if v, err := value.Parse(definition); err == nil {
		walk(v, func(o *value.Object) {
			mode, _ := o.Get("Mode")
			found = found || mode == "DISTRIBUTED"
		})
	}
	return found
}

// valueText is a value as the JSON text that parameters of kind object are given as.
func valueText(v any) string { return value.Text(v) }

package pipeline

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/value"
)

// CheckInput says all that is wrong with an execution's input. The definition checks the same by itself; this is for
// callers that want to say so before anything starts.
func (p *Pipeline) CheckInput(given *value.Object) []error {
	var problems []error
	for _, name := range given.Keys() {
		if _, known := p.Params.Get(name); !known {
			problems = append(problems, fmt.Errorf("unknown parameter %q%s", name, orOneOf(name, p.Params.Keys())))
		}
	}
	for _, e := range p.Params.Entries {
		v, ok := given.Get(e.Key)
		switch {
		case !ok && e.Value.Default == nil:
			problems = append(problems, fmt.Errorf("%s is missing", e.Key))
		case ok:
			if msg := e.Value.Refuses(v); msg != "" {
				problems = append(problems, fmt.Errorf("%s %s", e.Key, msg))
			}
		}
	}
	return problems
}

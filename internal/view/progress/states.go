package progress

import (
	"encoding/json"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// States are the annotations of a definition's states by name, which is unique in a definition. A definition without annotations has
// none: all its states are shown as they are.
type States map[string]annotation.State

// ReadStates reads the annotations of a definition in the Amazon States Language. Any other text has none.
func ReadStates(definition []byte) States {
	found := States{}
	var top scopeJSON
	if json.Unmarshal(definition, &top) == nil {
		top.collect(found)
	}
	return found
}

// scopeJSON is what holds states: a definition, a branch, or an item processor.
type scopeJSON struct {
	States map[string]struct {
		Comment                 string
		Branches                []scopeJSON
		Iterator, ItemProcessor *scopeJSON
	}
}

func (s *scopeJSON) collect(into States) {
	for name, state := range s.States {
		if a, ok := annotation.Parse(state.Comment); ok {
			into[name] = a
		}
		for i := range state.Branches {
			state.Branches[i].collect(into)
		}
		for _, inner := range []*scopeJSON{state.Iterator, state.ItemProcessor} {
			if inner != nil {
				inner.collect(into)
			}
		}
	}
}

// mainState is the name of the state that stands for a step; the step's name if there is none.
func (s States) mainState(step string) string {
	for name, a := range s {
		if a.Step == step && a.Scope == "" && (a.Role == annotation.Run || a.Role == annotation.Group) {
			return name
		}
	}
	return step
}

// inside reports whether states of the role make the attempts of a step, in a Parallel that stands for it.
func inside(r annotation.Role) bool {
	switch r {
	case annotation.Begin, annotation.Attempt, annotation.Submit, annotation.Watch, annotation.Wait, annotation.Poll, annotation.Judge,
		annotation.WaitStart, annotation.PollStart, annotation.JudgeStart, annotation.Started, annotation.Diagnose, annotation.ReadOutput,
		annotation.CheckOutput, annotation.Stop, annotation.Decide, annotation.Retry, annotation.GiveUp:
		return true
	case annotation.Params, annotation.Outputs, annotation.Cleanup, annotation.Run, annotation.Condition, annotation.Skip, annotation.Fail,
		annotation.Group, annotation.Choose, annotation.Item, annotation.Collect, annotation.Try, annotation.Tolerated, annotation.Tolerate,
		annotation.Refuse:
	}
	return false
}

// sameWork reports whether two states work for the same step, and both for the step itself or both for its cleanup.
func sameWork(a, b annotation.State) bool { return a.Step == b.Step && a.Scope == b.Scope }

package progress

import (
	"encoding/json"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// States are the annotations of a definition's states by name. Names are unique in a definition. A definition that rayorch did not compile
// has none; all its states are then shown as they are.
type States map[string]annotation.State

// ReadStates returns the annotations in a definition in the Amazon States Language, none if the text is not valid JSON.
func ReadStates(definition []byte) States {
	found := States{}
	var top scopeJSON
	if json.Unmarshal(definition, &top) == nil {
		top.collect(found)
	}
	return found
}

// scopeJSON is a part of a definition that contains states: the definition itself, a branch, or an item processor.
type scopeJSON struct {
	States map[string]struct {
		Comment                 string
		Branches                []scopeJSON
		Iterator, ItemProcessor *scopeJSON
	}
}

// collect adds the annotations of all states, at any depth.
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

// mainState returns the name of the state that represents a step, or the step's name if there is none.
func (s States) mainState(step string) string {
	for name, a := range s {
		if a.Step == step && a.Scope == "" && (a.Role == annotation.Run || a.Role == annotation.Group) {
			return name
		}
	}
	return step
}

// makesAttempts reports whether states with a role make the attempts of a step, inside the Parallel that represents it.
func makesAttempts(r annotation.Role) bool {
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

// sameWork reports whether two states belong to the same step, and either both to the step itself or both to its cleanup.
func sameWork(a, b annotation.State) bool { return a.Step == b.Step && a.Scope == b.Scope }

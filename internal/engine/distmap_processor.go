package engine

import (
	"strings"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/value"
)

// processorOf returns the part of a definition that a child of a distributed Map runs, as Step Functions shows it: a separate definition.
// It is found by the Map's label, which is the last part of the ARN of the child's machine. If it is not found, the result is the whole
// definition.
func processorOf(definition []byte, childMachine string) []byte {
	whole, err := value.ParseObject(definition)
	i := strings.LastIndexByte(childMachine, '/')
	if err != nil || i < 0 {
		return definition
	}
	found := findProcessor(whole, childMachine[:i], childMachine[i+1:])
	if found == nil {
		return definition
	}
	found = found.Without("ProcessorConfig")
	if language, ok := whole.Get("QueryLanguage"); ok && !found.Has("QueryLanguage") {
		found.Set("QueryLanguage", language)
	}
	return value.Bytes(found)
}

// findProcessor returns the processor of the distributed Map with a label, anywhere in a definition, a branch or a processor; nil if there
// is none.
func findProcessor(program *value.Object, machine, label string) *value.Object {
	states := member(program, "States")
	for i := range states.Len() {
		name, v := states.At(i)
		state, ok := v.(*value.Object)
		if !ok {
			continue
		}
		inner := member(state, "ItemProcessor")
		if inner.Len() == 0 {
			inner = member(state, "Iterator")
		}
		named, labeled := state.Get("Label")
		if !labeled {
			named = interp.MapLabel(machine, name)
		}
		if mode, _ := member(inner, "ProcessorConfig").Get("Mode"); mode == "DISTRIBUTED" && named == label {
			return inner
		}
		branches, _ := state.Get("Branches")
		list, _ := branches.([]any)
		for _, branch := range append(list[:len(list):len(list)], inner) {
			if b, ok := branch.(*value.Object); ok {
				if found := findProcessor(b, machine, label); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// member returns the member of an object if it is an object, else an empty object.
func member(o *value.Object, name string) *value.Object {
	v, _ := o.Get(name)
	if m, ok := v.(*value.Object); ok {
		return m
	}
	return value.NewObject(0)
}

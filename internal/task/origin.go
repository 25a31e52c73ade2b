package task

import (
	"errors"
	"maps"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// Labels that record which parts of an execution came over the network. The API sets them when the execution starts; callers cannot set
// them. An execution without these labels belongs to the owner. So do all executions of releases that did not set them.
const (
	// OriginLabel is NetworkDefinition or NetworkInput.
	OriginLabel = "rayorch.origin"
	// OwnLabel contains the values that the owner's definition names, as a JSON list of strings. It is set for NetworkInput.
	OwnLabel = "rayorch.own"
)

// Values of OriginLabel.
const (
	NetworkDefinition = "definition" // a caller over the network registered the definition
	NetworkInput      = "input"      // the definition is the owner's; a caller over the network started the execution
)

// FromNetwork reports whether an execution's definition or input came over the network.
func FromNetwork(labels map[string]string) bool { return labels[OriginLabel] != "" }

// InheritOrigin returns the labels of a child execution, whose input comes from its parent: if any part of the parent came over the
// network, so did the child's input.
func InheritOrigin(child, parent map[string]string) map[string]string {
	if FromNetwork(child) || !FromNetwork(parent) {
		return child
	}
	return WithLabel(child, OriginLabel, NetworkInput)
}

// WithLabel returns a copy of labels in which the label name has the given value. labels may be nil.
func WithLabel(labels map[string]string, name, value string) map[string]string {
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	all[name] = value
	return all
}

// RefusedError reports that an execution is not allowed to use a value. Text also says how the owner can allow it.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// Failure returns a failed result for err. The error name is States.Permissions if err contains a RefusedError, otherwise name.
func Failure(err error, name string) Result {
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		name = stepfn.StatesPermissions
	}
	return Fail(name, err.Error())
}

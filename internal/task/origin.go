package task

import (
	"errors"
	"maps"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// The labels that say what of an execution came over the network. The API sets them when the execution starts; no caller can. An
// execution without them is its owner's own, as are those of older releases.
const (
	// OriginLabel is NetworkDefinition or NetworkInput.
	OriginLabel = "rayorch.origin"
	// OwnLabel holds the values that the owner's definition names, as a JSON list, where only the input came over the network.
	OwnLabel = "rayorch.own"
)

// The values of OriginLabel.
const (
	NetworkDefinition = "definition" // a caller over the network registered the definition
	NetworkInput      = "input"      // the definition is the owner's; a caller over the network started the execution
)

// FromNetwork reports whether an execution's definition or input came over the network.
func FromNetwork(labels map[string]string) bool { return labels[OriginLabel] != "" }

// InheritOrigin returns the labels of an execution whose input comes from another execution.
func InheritOrigin(child, parent map[string]string) map[string]string {
	if FromNetwork(child) || !FromNetwork(parent) {
		return child
	}
	return WithLabel(child, OriginLabel, NetworkInput)
}

// WithLabel returns a copy of the labels with one more.
func WithLabel(labels map[string]string, name, value string) map[string]string {
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	all[name] = value
	return all
}

// RefusedError says that an execution may not use something, and how the owner allows it.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// Failure makes a failed result of an error: Permissions where something was refused, otherwise name.
func Failure(err error, name string) Result {
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		name = stepfn.StatesPermissions
	}
	return Fail(name, err.Error())
}

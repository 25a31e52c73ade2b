package compile

import (
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/value"
)

// cleanupState is the annotation of each state of the cleanup machine.
var cleanupState = annotation.State{Role: annotation.Cleanup}

// cleanup returns the cleanup machine: the state machine that stops the work of an execution, or nil if there is none to stop. It is
// necessary because an execution that is aborted or times out runs no further states. Its input is the EventBridge event of the
// execution's status change.
func (c *compiler) cleanup() []byte {
	if c.at != nil {
		return c.clusterCleanup()
	}
	states, next := &value.Object{}, ""
	for _, m := range slices.Backward(c.modes()) {
		before := &value.Object{}
		next = m.cleanUp(before, next)
		merge(before, states)
		states = before
	}
	if next == "" {
		return nil
	}
	return pretty(value.Obj("Comment", "Stops what an execution of "+c.p.Name+" left when it was aborted or timed out.",
		"QueryLanguage", "JSONata", "StartAt", next, "TimeoutSeconds", value.Int(3600), "States", states))
}

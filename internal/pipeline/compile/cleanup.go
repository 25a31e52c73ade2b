package compile

import (
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/value"
)

// cleanupState is what each state of the cleanup machine says about itself.
var cleanupState = annotation.State{Role: annotation.Cleanup}

// cleanup is the machine that stops what an execution left. An execution that is aborted or times out runs no
// further state, so another one must clean up. Its input is the event of the execution's change of status, as EventBridge sends it.
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

package compile

import (
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// cleanup is the machine that stops what an execution left. Abort and timeout run no further state of the execution
// itself, so something else must; its input is the event of the execution's change of status, as EventBridge sends it.
func (c *compiler) cleanup() []byte {
	if c.at != nil {
		return c.clusterCleanup()
	}
	type stop struct {
		name, resource string
		arguments      *value.Object
	}
	own := wrap(prefix("$states.input.detail.executionArn"))
	var stops []stop
	if c.ray {
		args := value.Obj("Prefix", own)
		if c.address != "" {
			args.Set("Address", plain(c.address))
		}
		stops = append(stops, stop{"Stop Ray jobs", stepfn.RayStopJobs, args})
	}
	if c.job {
		stops = append(stops, stop{"Stop processes", stepfn.ProcessStop, value.Obj("Prefix", own)})
	}
	if len(stops) == 0 {
		return nil
	}
	states := &value.Object{}
	for i, s := range stops {
		next := ""
		if i+1 < len(stops) {
			next = stops[i+1].name
		}
		state := value.Obj("Type", "Task", "Resource", s.resource, "Arguments", s.arguments, "Retry", []any{value.Obj(
			"ErrorEquals", []any{stepfn.StatesALL}, "IntervalSeconds", value.Int(2), "MaxAttempts", value.Int(8),
			"BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(60))})
		states.Set(s.name, follow(state, next))
	}
	return pretty(value.Obj("Comment", "Stops what an execution of "+c.p.Name+" left when it was aborted or timed out.",
		"QueryLanguage", "JSONata", "StartAt", stops[0].name, "TimeoutSeconds", value.Int(3600), "States", states))
}

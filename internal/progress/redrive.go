package progress

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// redrive notes which steps a redrive takes up again: every line that failed or was cut off does its state anew.
func (v *View) redrive(e *types.HistoryEvent) {
	v.redriven, v.undone = e.Id, nil
	for _, s := range v.Steps {
		if at, ok := v.stood[s]; ok && (s.Status == Failed || s.Status == Cancelled) {
			v.undone = append(v.undone, at)
		}
	}
}

// resumed is where an event right after a redrive belongs. A task's follows its old entry. Of other states the history
// does not say which line goes on, but lines are taken up in the order in which they stand.
func (v *View) resumed(e *types.HistoryEvent, p place) place {
	if p.step != nil && e.PreviousEventId != v.redriven {
		v.undone = slices.DeleteFunc(v.undone, func(u place) bool { return u.step == p.step })
	}
	if e.PreviousEventId != v.redriven || v.redriven == 0 || p.of != nil || len(v.undone) == 0 || strings.HasPrefix(string(e.Type), "Execution") {
		return p
	}
	i := 0
	if d := e.StateExitedEventDetails; d != nil {
		i = max(0, slices.IndexFunc(v.undone, func(u place) bool { return u.step.State == aws.ToString(d.Name) }))
	}
	p = v.undone[i]
	v.undone = slices.Delete(v.undone, i, i+1)
	return p
}

// takenUp is the step in a cluster that goes on with a state inside it after a redrive. Its events follow the redrive, and by
// that alone might belong to any step that did not succeed.
func (v *View) takenUp(state string) *composite {
	for _, c := range v.composites {
		if _, inside := c.words(state); inside && v.redriven != 0 && c.step != nil && (c.step.Status == Failed || c.step.Status == Cancelled) {
			return c
		}
	}
	return nil
}

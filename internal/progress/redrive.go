package progress

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// redrive records the steps that a redrive resumes: every branch that failed or was stopped runs its state again.
func (v *View) redrive(e *types.HistoryEvent) {
	v.redriven, v.undone = e.Id, nil
	for _, s := range v.Steps {
		if !s.Inside && s.taken() {
			in := s.in
			if s.group != nil {
				in, s.group.failed = s.group, false
			}
			v.undone = append(v.undone, place{step: s, at: s.State, in: in})
		}
	}
	for _, s := range v.groups {
		if s.step != nil && s.step.Inside && s.step.taken() {
			s.redriven = e.Id
		}
	}
}

// taken reports whether a redrive resumes the step: it did not succeed, and the run has not continued after it.
func (s *Step) taken() bool {
	for in := s.in; in != nil; in = in.outer {
		if in.exited {
			return false
		}
	}
	return s.Status.undone() && !s.left
}

// resumed returns where an event right after a redrive belongs. An event of a task follows the task's old entry. For other states,
// the history does not show which branch continues, but branches are resumed in the order in which they stand.
func (v *View) resumed(e *types.HistoryEvent, p place) place {
	if p.step != nil && e.PreviousEventId != v.redriven {
		v.undone = slices.DeleteFunc(v.undone, func(u place) bool { return u.step == p.step })
	}
	if e.PreviousEventId != v.redriven || v.redriven == 0 || p.in.around(p.at) != nil || len(v.undone) == 0 {
		return p
	}
	state, kind := stateOf(e), string(e.Type)
	if state == "" && (strings.HasPrefix(kind, "Execution") || strings.HasPrefix(kind, "Map") || strings.HasPrefix(kind, "Parallel")) {
		return p
	}
	i := max(0, slices.IndexFunc(v.undone, func(u place) bool { return u.step.State == state }))
	p = v.undone[i]
	v.undone = slices.Delete(v.undone, i, i+1)
	return p
}

// stateOf returns the state that an event names, if any.
func stateOf(e *types.HistoryEvent) string {
	switch {
	case e.StateExitedEventDetails != nil:
		return aws.ToString(e.StateExitedEventDetails.Name)
	case e.EvaluationFailedEventDetails != nil:
		return aws.ToString(e.EvaluationFailedEventDetails.State)
	}
	return ""
}

// resumedStep returns the step in a cluster that continues with a state inside it after a redrive. Its events follow the redrive,
// and by that alone could belong to any step that did not succeed. Of the steps with one name in several iterations, those that
// had given up start again.
func (v *View) resumedStep(state string) *scope {
	if v.redriven == 0 {
		return nil
	}
	var found *scope
	for _, c := range v.groups {
		words, inside := c.words(state)
		if !inside || c.redriven != v.redriven || c.exited {
			continue
		}
		if c.step.Status.undone() && c.failed == (words == "Begin") {
			return c
		}
		if found == nil {
			found = c
		}
	}
	return found
}

package progress

import (
	"fmt"
	"strings"
	"time"
)

// scope is what runs inside a Parallel or Map state, or inside one iteration of a Map.
type scope struct {
	state     string // the Parallel's or Map's name
	iteration int32  // its index; noIteration for the state itself
	parallel  bool
	outer     *scope // nil at the top
	entered   time.Time
	exited    bool

	step           *Step  // the step that it stands for, if any
	failed         bool   // the step gave up, or something inside failed and was not caught there
	failure, cause string // of what failed last, inside or in the state's own expressions
	redriven       int64  // the last redrive that resumed it
}

const noIteration = -1

// place is where an event stands.
type place struct {
	step *Step  // the step that it belongs to, if any
	at   string // the state entered last
	in   *scope
	left *scope // the Parallel or Map that exited last on this path
}

// named is the nearest scope of a Parallel or Map state. The event of an iteration may follow another iteration's end, and a later
// state may follow an iteration's end, so the order of events does not show what they belong to.
func (s *scope) named(state string) *scope {
	for ; s != nil; s = s.outer {
		if s.state == state && s.iteration == noIteration {
			return s
		}
	}
	return nil
}

// group is the nearest scope of a whole Parallel or Map state.
func (s *scope) group() *scope {
	for s != nil && s.iteration != noIteration {
		s = s.outer
	}
	return s
}

// within reports whether a scope is another one, or inside it.
func (s *scope) within(other *scope) bool {
	for s != nil && s != other {
		s = s.outer
	}
	return s != nil
}

// suffix distinguishes the entries of one state: it has the indices of the iterations around it.
func (s *scope) suffix() string {
	if s == nil {
		return ""
	}
	if s.iteration == noIteration {
		return s.outer.suffix()
	}
	return s.outer.suffix() + fmt.Sprintf("[%d]", s.iteration)
}

// inside are the steps in a scope, at any depth.
func (v *View) inside(s *scope) []*Step {
	var steps []*Step
	for _, step := range v.Steps {
		if s != nil && step.in.within(s) {
			steps = append(steps, step)
		}
	}
	return steps
}

// settle ends the steps that a group's failure stopped. The events about aborted states do not name them: they all follow the last
// event of the failing branch.
func (v *View) settle(s *scope, failing *Step, when time.Time) {
	for _, step := range v.inside(s) {
		if step == failing {
			step.end(Failed, when)
		} else {
			step.end(Cancelled, when)
		}
	}
}

// find is the scope of a Parallel or Map state around another one. An event right after a redrive does not show where it belongs: of
// the states that have not ended, the first is resumed first.
func (v *View) find(in *scope, state string) *scope {
	if s := in.named(state); s != nil {
		return s
	}
	for _, s := range v.groups {
		if s.state == state && !s.exited {
			return s
		}
	}
	return nil
}

// groupFails folds the failure of the Parallel or Map state around an event, or of the one that has just been entered.
func (v *View) groupFails(p place, when time.Time) place {
	s := p.in.group()
	if s == nil {
		return place{in: p.in}
	}
	v.settle(s, p.step, when)
	if s.step == nil && p.at == s.state && s.failure != "" { // nothing inside has started
		s.step = v.add(&Step{State: s.state, group: s}, s.outer, s.entered)
	}
	s.fails()
	return place{step: s.step, in: s.outer, left: s}
}

// tolerate marks the failures in a branch or an iteration whose failure is tolerated, and unmarks them if there are too many. The
// compiled definition then goes from "Try X" to "Failed X", and if there are too many, to "Refuse failures of X".
func (v *View) tolerate(state string, left *scope) {
	if left == nil {
		return
	}
	tolerated := strings.HasPrefix(left.state, "Try ") && state == "Failed "+strings.TrimPrefix(left.state, "Try ")
	if !tolerated && state != "Refuse failures of "+left.state {
		return
	}
	for _, step := range v.inside(left) {
		step.Tolerated = tolerated && step.Status == Failed
	}
}

package progress

import (
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// group folds an event of a Map or Parallel state itself, which enters or leaves a level. The order of events does not show the level
// that they are on: an iteration may follow another one's end.
func (v *View) group(e *Event, p place) place {
	x, in := v.around(e, p)
	if x == nil {
		return p
	}
	v.touch(x)
	here := place{x, in, p.left}
	switch {
	case e.exited():
		v.exit(x, e)
		here.left = x
	case e.is("StateStarted"):
		return v.startGroup(x, e, p, here)
	case strings.HasPrefix(e.Type, "MapIteration"):
		return v.iteration(x, e, p, here)
	case strings.HasPrefix(e.Type, "MapRun"):
		if e.MapRun != "" {
			x.MapRun = e.MapRun
		}
		if e.failed() {
			v.fails(x, e)
		}
	case e.is("StateFailed"):
		v.settle(x, p.entry, e.Time)
		v.groupFails(x, p.entry, e)
		here.left = x
	case e.is("Aborted"):
		return p
	}
	return here
}

// startGroup folds the start of a Map or Parallel; a retrier may start it again.
func (v *View) startGroup(x *Entry, e *Event, p, here place) place {
	if p.entry != x {
		v.settle(x, p.entry, e.Time)
	}
	if e.groupKind() == kindParallel {
		return place{in: &frame{x, -1, here.in}}
	}
	x.Items = &Items{Total: e.Length}
	return here
}

// iteration folds an event of a Map's iteration. What follows the start of one is inside it; what follows its end is in the Map.
func (v *View) iteration(x *Entry, e *Event, p, here place) place {
	if x.Items == nil {
		x.Items = &Items{}
	}
	switch strings.TrimPrefix(e.Type, "MapIteration") {
	case "Started":
		x.Items.Started++
		return place{in: &frame{x, e.Index, here.in}}
	case "Succeeded":
		x.Items.Succeeded++
	case "Failed":
		x.Items.Failed++
		return place{entry: p.entry, in: &frame{x, -1, here.in}}
	case "Aborted":
		x.Items.Aborted++
	}
	return here
}

// around is the Map or Parallel that an event is about, and what is around it.
func (v *View) around(e *Event, p place) (*Entry, *frame) {
	if e.Name != "" {
		return v.named(e.Name, p)
	}
	if x := p.entry; x != nil && x.Kind == e.groupKind() && x.Ended.IsZero() && !x.gaveUp {
		return x, p.in
	}
	if f := p.in.find(func(x *Entry) bool { return x.Kind == e.groupKind() }); f != nil {
		return f.group, f.outer
	}
	return nil, nil
}

// named is the Map or Parallel of a name. An event right after a redrive does not show where it belongs: of the states that have not
// ended, the first is resumed first.
func (v *View) named(name string, p place) (*Entry, *frame) {
	if p.entry != nil && p.entry.State == name {
		return p.entry, p.in
	}
	if f := p.in.find(func(x *Entry) bool { return x.State == name }); f != nil {
		return f.group, f.outer
	}
	for _, x := range v.Entries {
		if x.State == name && x.holds() && !x.exited {
			return x, x.in
		}
	}
	return nil, nil
}

// inside calls do for the entries in a Map or Parallel, at any depth.
func (e *Entry) inside(do func(*Entry)) {
	for _, x := range e.children {
		do(x)
		x.inside(do)
	}
}

// settle ends the states that a group's failure stopped. The events about aborted states do not name them: they all follow the last
// event of the failing branch.
func (v *View) settle(group, failing *Entry, when time.Time) {
	group.inside(func(x *Entry) {
		if x == failing {
			v.close(x, Failed, when)
		} else {
			v.close(x, Cancelled, when)
		}
	})
}

// groupFails folds the failure of a Map or Parallel by what failed inside it.
func (v *View) groupFails(x, failing *Entry, e *Event) {
	var name, cause string
	if failing != nil {
		name, cause = failing.Error, failing.Cause
	}
	if x.composite {
		v.stepFails(x, name, cause, e.Time)
		return
	}
	if name == "" {
		name = e.Type
	}
	x.Error, x.Cause, x.Ended = name, cause, e.Time
	v.set(x, Failed)
}

// tolerate marks the failures in a branch or an iteration whose failure is tolerated, and unmarks them if there are too many. left is
// what the line of control came from.
func (v *View) tolerate(left *Entry, next annotation.State) {
	if left == nil || next.Step != left.says.Step {
		return
	}
	tolerated := left.says.Role == annotation.Try && next.Role == annotation.Tolerated
	if !tolerated && next.Role != annotation.Refuse {
		return
	}
	if tolerated {
		v.set(left, Failed)
	}
	mark := func(x *Entry) {
		if now := tolerated && x.Status == Failed; x.Tolerated != now {
			x.Tolerated = now
			v.touch(x)
		}
	}
	mark(left)
	left.inside(mark)
}

package progress

import (
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// group applies an event of a Map or Parallel state itself, which enters or leaves a level of nesting. The previous event does not
// determine the level: the start of an iteration can follow the end of another one.
func (v *View) group(e *Event, p place) place {
	x, in := v.groupOf(e, p)
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
			v.stateFails(x, e)
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

// startGroup applies the start of a Map or Parallel. If a retrier starts it again, entries of the previous attempt may still be open.
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

// iteration applies an event of a Map's iteration. Events that follow its start are inside the iteration; events that follow its end
// belong to the Map.
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

// groupOf returns the Map or Parallel that an event is about, and the frame around it.
func (v *View) groupOf(e *Event, p place) (*Entry, *frame) {
	if e.Name != "" {
		return v.groupNamed(e.Name, p)
	}
	if x := p.entry; x != nil && x.Kind == e.groupKind() && x.Ended.IsZero() && !x.gaveUp {
		return x, p.in
	}
	if f := p.in.find(func(x *Entry) bool { return x.Kind == e.groupKind() }); f != nil {
		return f.group, f.outer
	}
	return nil, nil
}

// groupNamed returns the Map or Parallel with a name, and the frame around it. An event directly after a redrive does not show to which
// entry of the state it belongs. It belongs to the first that has not ended, because entries are resumed in order.
func (v *View) groupNamed(name string, p place) (*Entry, *frame) {
	if p.entry != nil && p.entry.State == name {
		return p.entry, p.in
	}
	if f := p.in.find(func(x *Entry) bool { return x.State == name }); f != nil {
		return f.group, f.outer
	}
	for _, x := range v.Entries {
		if x.State == name && x.isGroup() && !x.exited {
			return x, x.in
		}
	}
	return nil, nil
}

// descendants calls do for all entries in a Map or Parallel, at any depth.
func (e *Entry) descendants(do func(*Entry)) {
	for _, x := range e.children {
		do(x)
		x.descendants(do)
	}
}

// settle ends the open entries in a group that failed: failing is Failed, and all others, which the failure stopped, are Cancelled. The
// events about the stopped states cannot be used for this, because they do not name the states and all follow the last event of the
// failing branch.
func (v *View) settle(group, failing *Entry, when time.Time) {
	group.descendants(func(x *Entry) {
		if x == failing {
			v.close(x, Failed, when)
		} else {
			v.close(x, Cancelled, when)
		}
	})
}

// groupFails applies the failure of a Map or Parallel. Its event has no error: the error is that of the entry that failed inside.
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

// tolerate marks the failures in a branch or an iteration as tolerated if the state that follows it shows that the pipeline tolerates
// the failure, and removes the marks if there were too many failures. left is the group that exited before the state next.
func (v *View) tolerate(left *Entry, next annotation.State) {
	if left == nil || next.Step != left.meta.Step {
		return
	}
	tolerated := left.meta.Role == annotation.Try && next.Role == annotation.Tolerated
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
	left.descendants(mark)
}

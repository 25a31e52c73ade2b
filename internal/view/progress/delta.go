package progress

import (
	"cmp"
	"slices"
	"sort"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// The cost of a delta is proportional to the changes: the view keeps, in order, which entry changed at which event, and an entry knows
// its newest place in that list. A client that stays connected knows the place up to which it has seen the changes (Mark). A client that
// reconnects knows only an event, which is valid for another fold of the same history, too.

// touch is a change of an entry, at an event or between two.
type touch struct {
	event int64
	entry *Entry
}

// touch records a change of an entry, once for each event.
func (v *View) touch(x *Entry) {
	if x.tick == v.tick {
		return
	}
	x.tick, x.rev = v.tick, len(v.touched)
	v.touched = append(v.touched, touch{v.Last, x})
}

// Mark is a point in the changes of a view.
type Mark int

// Delta is what has changed in a view. To apply a delta twice, or one with entries that did not change, has no effect.
type Delta struct {
	Last     int64                 `json:"last"` // the event up to which it shows the execution
	Status   types.ExecutionStatus `json:"status"`
	Started  Seconds               `json:"started,omitzero"`
	Stopped  Seconds               `json:"stopped,omitzero"`
	Error    string                `json:"error,omitempty"`
	Cause    string                `json:"cause,omitempty"`
	Parked   string                `json:"parked,omitempty"`
	Warnings []string              `json:"warnings,omitempty"`
	Entries  []Shown               `json:"entries"` // those that changed, each as a whole
	States   map[string]ShownState `json:"states"`  // of these entries
}

// Since returns what has changed since a mark, and the current mark.
func (v *View) Since(m Mark) (Delta, Mark) {
	d := v.head()
	for i := int(m); i < len(v.touched); i++ {
		if x := v.touched[i].entry; x.rev == i {
			d.show(v, x)
		}
	}
	d.sort()
	return d, Mark(len(v.touched))
}

// After returns what has changed since an event, and the current mark. Whether a task waits changes between events, so the delta repeats
// all entries that may wait.
func (v *View) After(event int64) (Delta, Mark) {
	from := sort.Search(len(v.touched), func(i int) bool { return v.touched[i].event > event })
	d, now := v.Since(Mark(from))
	if event == 0 {
		return d, now
	}
	for _, x := range v.Entries {
		if x.rev < from && x.MayWait() {
			d.show(v, x)
		}
	}
	d.sort()
	return d, now
}

// sort puts the entries in the order in which the states were entered: clients meet new ones in order.
func (d *Delta) sort() {
	slices.SortFunc(d.Entries, func(a, b Shown) int { return cmp.Compare(a.N, b.N) })
}

// head is a delta without entries.
func (v *View) head() Delta {
	return Delta{
		Last: v.Last, Status: v.Status, Started: Seconds(v.Started), Stopped: Seconds(v.Stopped), Error: v.Error, Cause: v.Cause,
		Parked: v.Parked, Warnings: v.Warnings, Entries: []Shown{}, States: map[string]ShownState{},
	}
}

// show adds an entry to the delta, and its state: only a change of an entry changes the state.
func (d *Delta) show(v *View, x *Entry) {
	d.Entries = append(d.Entries, x.shown())
	c := v.states[x.State]
	d.States[x.State] = ShownState{c.entered, c.status()}
}

// Split divides a delta with many entries into parts. Only the last part has the event up to which they show the execution: a
// client that has seen only the other parts requests all of them again.
func (d Delta) Split(most int, after int64) []Delta {
	var parts []Delta
	for len(d.Entries) > most {
		part := d
		part.Entries, part.Last, part.States = d.Entries[:most], after, map[string]ShownState{}
		d.Entries = d.Entries[most:]
		parts = append(parts, part)
	}
	return append(parts, d)
}

package progress

import (
	"cmp"
	"slices"
	"sort"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// The cost of a delta is proportional to the number of changes: the view has a list of all changes of entries, in order, and each entry
// has the index of its newest change in the list. A client that stays connected knows the index up to which it has received the changes
// (Mark). A client that reconnects knows only an event, which is also valid for another View of the same history.

// touch is a change of an entry. event is the last event before or at the change.
type touch struct {
	event int64
	entry *Entry
}

// touch records a change of an entry, at most once per tick (an event, or a call of ShowWaiting).
func (v *View) touch(x *Entry) {
	if x.tick == v.tick {
		return
	}
	x.tick, x.rev = v.tick, len(v.touched)
	v.touched = append(v.touched, touch{v.Last, x})
}

// Mark is a position in the changes of a view. Zero is the beginning.
type Mark int

// Delta is the changes in a view. Applying a delta is idempotent, because it contains changed entries in full.
type Delta struct {
	Last     int64                 `json:"last"` // the event up to which the client knows the execution after the delta
	Status   types.ExecutionStatus `json:"status"`
	Started  Seconds               `json:"started,omitzero"`
	Stopped  Seconds               `json:"stopped,omitzero"`
	Error    string                `json:"error,omitempty"`
	Cause    string                `json:"cause,omitempty"`
	Parked   string                `json:"parked,omitempty"`
	Warnings []string              `json:"warnings,omitempty"`
	Entries  []Shown               `json:"entries"` // that changed, each in full, sorted by N
	States   map[string]ShownState `json:"states"`  // of these entries, by name
}

// Since returns the changes since a mark, and the current mark.
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

// After returns the changes since an event, and the current mark. The delta also repeats all entries whose task may be waiting, because
// this changes between events.
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

// sort sorts the entries by the order in which their states were entered, so that clients receive new entries in this order.
func (d *Delta) sort() {
	slices.SortFunc(d.Entries, func(a, b Shown) int { return cmp.Compare(a.N, b.N) })
}

// head returns a delta without entries.
func (v *View) head() Delta {
	return Delta{
		Last: v.Last, Status: v.Status, Started: Seconds(v.Started), Stopped: Seconds(v.Stopped), Error: v.Error, Cause: v.Cause,
		Parked: v.Parked, Warnings: v.Warnings, Entries: []Shown{}, States: map[string]ShownState{},
	}
}

// show adds an entry to the delta, with its state. States need no change list: a state changes only together with an entry.
func (d *Delta) show(v *View, x *Entry) {
	d.Entries = append(d.Entries, x.shown())
	c := v.states[x.State]
	d.States[x.State] = ShownState{c.entered, c.status()}
}

// Split divides a delta into parts of at most the given number of entries. Last is the new event only in the last part, and after, which
// the client already knows, in the others: a client that did not receive all parts requests all of them again.
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

package progress_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/progress/progresstest"
)

// copied is a client's copy of a view, built from deltas, as JSON.
type copied struct {
	Last    int64
	Head    string
	Entries map[int]string
	States  map[string]progress.ShownState
}

func (c *copied) apply(t *testing.T, d progress.Delta) {
	t.Helper()
	for _, part := range d.Split(3, c.Last) {
		for i := range part.Entries {
			if i > 0 && part.Entries[i].N <= part.Entries[i-1].N {
				t.Fatalf("entry %d comes after entry %d", part.Entries[i].N, part.Entries[i-1].N)
			}
			c.Entries[part.Entries[i].N] = inJSON(t, part.Entries[i])
		}
		for name, s := range part.States {
			c.States[name] = s
		}
		c.Last, part.Entries, part.States = part.Last, nil, nil
		c.Head = inJSON(t, part)
	}
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newCopy() *copied {
	return &copied{Entries: map[int]string{}, States: map[string]progress.ShownState{}}
}

// full returns a client's copy of the complete view.
func full(t *testing.T, v *progress.View) *copied {
	t.Helper()
	c := newCopy()
	d, _ := v.After(0)
	c.apply(t, d)
	return c
}

// TestDeltas plays histories to two clients, which request deltas at random points, one by mark and one by event. The copies of both must
// equal the view, whatever tasks wait meanwhile.
func TestDeltas(t *testing.T) {
	for name, story := range progresstest.Stories {
		for _, target := range progresstest.Targets {
			t.Run(name+"/"+target, func(t *testing.T) {
				redriven := story.Redriven()
				definition, parts := redriven.Play(t, target)
				events := slices.Concat(parts...)
				r := rand.New(rand.NewPCG(uint64(len(events)), 1))
				v := progress.New(progress.ReadStates(definition))
				byMark, byEvent, mark := newCopy(), newCopy(), progress.Mark(0)
				for i := range events {
					v.Add(&events[i].HistoryEvent)
					if r.IntN(4) == 0 {
						v.ShowWaiting(randomWaits(r, v.Last))
					}
					var d progress.Delta
					if last := i == len(events)-1; last || r.IntN(20) == 0 {
						d, mark = v.Since(mark)
						byMark.apply(t, d)
						d, _ = v.After(byEvent.Last)
						byEvent.apply(t, d)
						want := full(t, v)
						if diff := cmp.Diff(want, byMark); diff != "" {
							t.Fatalf("event %d, by mark: %s", i+1, diff)
						}
						if diff := cmp.Diff(want, byEvent); diff != "" {
							t.Fatalf("event %d, by event: %s", i+1, diff)
						}
					}
				}
			})
		}
	}
}

func randomWaits(r *rand.Rand, last int64) []progress.Waiting {
	var out []progress.Waiting
	for range r.IntN(3) {
		out = append(out, progress.Waiting{Event: 1 + r.Int64N(last), Since: start, Reason: fmt.Sprint("reason ", r.IntN(2))})
	}
	return out
}

// A delta contains only the entries that changed, however long the history is.
func TestDeltaIsSmall(t *testing.T) {
	s := wide(1000)
	v := s.view()
	_, mark := v.After(0)
	s.enter(taskIn, "after", -1)
	v.Add(&s.events[len(s.events)-1])
	if d, _ := v.Since(mark); len(d.Entries) != 1 || d.Entries[0].Name != "after" || len(d.States) != 1 {
		t.Errorf("%+v", d)
	}
	if d, _ := v.After(v.Last - 1); len(d.Entries) != 1 {
		t.Errorf("%+v", d)
	}
}

// With a limit, long inputs and outputs are omitted, long causes are truncated, and entries have the ids of the events with the full texts.
func TestLimit(t *testing.T) {
	v := progress.New(progress.ReadStates(nil))
	v.Limit(10)
	v.Fold(&progress.Event{ID: 1, Type: "PassStateEntered", Name: "a", Input: `"0123456789"`})
	v.Fold(&progress.Event{ID: 2, Previous: 1, Type: "PassStateExited", Name: "a", Output: `"short"`})
	if e := v.Entries[0]; e.Input != "" || e.Event != 1 || e.Output != `"short"` || e.OutputEvent != 2 {
		t.Errorf("%+v", e)
	}
	v.Fold(&progress.Event{ID: 3, Previous: 2, Type: "TaskStateEntered", Name: "b"})
	v.Fold(&progress.Event{ID: 4, Previous: 3, Type: "TaskScheduled"})
	v.Fold(&progress.Event{ID: 5, Previous: 4, Type: "TaskFailed", Error: "Long", Cause: "ends in äöü"})
	if e := v.Entries[1]; e.Cause != "ends in ä…" || e.Attempts[0].Cause != e.Cause {
		t.Errorf("%q, %q", e.Cause, e.Attempts[0].Cause)
	}
}

// Only http and https addresses become links, because the address is from the output of a task.
func TestDashboard(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:8265/":     "http://127.0.0.1:8265/#/jobs/a%2Fb",
		"https://ray.example/prefix": "https://ray.example/prefix/#/jobs/a%2Fb",
		"javascript:alert(1)":        "",
		"://":                        "",
		"":                           "",
	} {
		if got := (progress.Job{SubmissionID: "a/b", Address: address}).Dashboard(); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// wide returns the history of a Map with iterations of one task each.
func wide(items int) *script {
	var s script
	s.add(started, 0, nil)
	s.enter("MapStateEntered", "each", -1)
	m := s.add("MapStateStarted", -1, nil)
	for i := range int32(items) {
		it := s.iteration("MapIterationStarted", "each", i, m)
		s.enter(taskIn, "work", it)
		s.add(scheduled, -1, nil)
		s.submitted(`{"Id":"x"}`)
		s.exit(taskOut, "work", `{"result":1}`, -1)
		s.iteration("MapIterationSucceeded", "each", i, -1)
	}
	s.exit("MapStateExited", "each", "[]", -1)
	return &s
}

// BenchmarkFold builds a view from a history of 25,000 events, the maximum for an execution.
func BenchmarkFold(b *testing.B) {
	s := wide(25_000 / 6)
	b.ReportMetric(float64(len(s.events)), "events")
	for b.Loop() {
		s.view()
	}
	before := heap()
	v := s.view()
	b.ReportMetric(float64(heap()-before)/(1<<20), "MiB/view")
	runtime.KeepAlive(v)
	runtime.KeepAlive(s)
}

// heap returns the number of bytes in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the second one frees what the first one found
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkDelta adds an event to such a history and computes the delta.
func BenchmarkDelta(b *testing.B) {
	s := wide(25_000 / 6)
	v := s.view()
	_, mark := v.Since(0)
	id := v.Last
	for b.Loop() {
		id++
		v.Fold(&progress.Event{ID: id, Previous: id - 1, Type: "PassStateEntered", Name: "p", Time: time.Unix(1, 0)})
		var d progress.Delta
		if d, mark = v.Since(mark); len(d.Entries) != 1 {
			b.Fatal(len(d.Entries))
		}
	}
}

package interp_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
)

var epoch = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// world simulates the engine: it stores decisions and, with reload, loads the run before every fact.
type world struct {
	t      testing.TB
	m      *asl.Machine
	run    *interp.Run
	now    time.Time
	events []history.Event
	last   interp.Decision
	tasks  map[string]interp.Task // by state and number: A#1
	count  map[string]int
	stops  []string
	ended  map[string]bool // tasks for which TaskEnded was applied
	stored map[interp.FrameID][]byte
	reload bool
	most   int // the largest number of frames that one decision wrote
	writes int // frames written by all decisions
}

func newWorld(t testing.TB, definition, input string) *world {
	t.Helper()
	m, err := asl.Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, m: m, now: epoch, tasks: map[string]interp.Task{}, ended: map[string]bool{}, count: map[string]int{},
		stored: map[interp.FrameID][]byte{}, reload: true}
	w.run = interp.New(interp.Params{ExecutionARN: "arn:aws:states:us-east-1:123456789012:execution:m:e", Name: "e",
		MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:m", MachineName: "m", RoleARN: "role",
		Region: "us-east-1", Input: []byte(input), StartTime: epoch, Seed: 7}, m)
	return w
}

func (w *world) apply(f interp.Fact) interp.Decision {
	w.t.Helper()
	if e, ok := f.(interp.TaskEnded); ok {
		w.ended[e.Task] = true
	}
	d, err := w.run.Apply(f, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.last = d
	w.events = append(w.events, d.Events...)
	w.keep(d)
	for _, task := range d.Tasks {
		w.count[task.State]++
		w.tasks[fmt.Sprintf("%s#%d", task.State, w.count[task.State])] = task
	}
	w.stops = append(w.stops, d.Stops...)
	if d.More {
		return w.apply(interp.Continue{})
	}
	return d
}

func (w *world) keep(d interp.Decision) {
	w.t.Helper()
	for _, id := range d.Dirty {
		w.stored[id] = w.run.AppendFrame(nil, id)
	}
	for _, id := range d.Gone {
		if _, ok := w.stored[id]; !ok {
			w.t.Fatalf("frame %d is gone but was never stored", id)
		}
		delete(w.stored, id)
	}
	w.most = max(w.most, len(d.Dirty))
	w.writes += len(d.Dirty)
	if w.reload {
		w.load()
	}
}

func (w *world) load() {
	w.t.Helper()
	frames := make([]interp.StoredFrame, 0, len(w.stored))
	for id, data := range w.stored {
		frames = append(frames, interp.StoredFrame{ID: id, Data: data})
	}
	slices.SortFunc(frames, func(a, b interp.StoredFrame) int { return cmp.Compare(a.ID, b.ID) })
	run, err := interp.Load(w.m, w.run.AppendHead(nil), frames)
	if err != nil {
		w.t.Fatal(err)
	}
	w.run = run
}

func (w *world) start() *world { w.t.Helper(); w.apply(interp.Start{}); return w }

// wake advances the clock to the run's next deadline, and applies Wake.
func (w *world) wake() *world {
	w.t.Helper()
	if w.last.Wake.IsZero() {
		w.t.Fatal("no timer is set")
	}
	w.now = w.last.Wake
	w.apply(interp.Wake{})
	return w
}

func (w *world) done(task, output string) *world {
	w.t.Helper()
	w.apply(interp.TaskEnded{Task: w.id(task), Output: []byte(output)})
	return w
}

func (w *world) fail(task, name, cause string) *world {
	w.t.Helper()
	w.apply(interp.TaskEnded{Task: w.id(task), Error: name, Cause: cause})
	return w
}

func (w *world) id(task string) string {
	w.t.Helper()
	t, ok := w.tasks[task]
	if !ok {
		w.t.Fatalf("task %s was not started; tasks: %v", task, w.tasks)
	}
	return t.ID
}

// story formats the history in short: id<previous type name.
func (w *world) story() string {
	var b strings.Builder
	for _, e := range w.events {
		fmt.Fprintf(&b, "%d<%d %s", e.ID, e.Previous, e.Type)
		for _, s := range []string{e.Name, e.State, e.Location} {
			if s != "" {
				b.WriteString(" " + s)
			}
		}
		if strings.HasPrefix(string(e.Type), "MapIteration") {
			fmt.Fprintf(&b, "[%d]", e.Index)
		}
		if e.Error != "" {
			b.WriteString(" " + e.Error)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (w *world) head() string {
	h := w.run.Head()
	s := string(h.Status)
	for _, part := range []string{string(h.Output), h.Error, h.Cause} {
		if part != "" {
			s += " " + part
		}
	}
	return s
}

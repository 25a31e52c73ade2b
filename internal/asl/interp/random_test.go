package interp_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// machine generates a random definition: states of all types, nested a few levels deep, some with Retry and Catch.
func machine(r *rand.Rand, depth int, name *int) string {
	*name++
	n := *name
	state := func(i int) string { return fmt.Sprintf("S%d_%d", n, i) }
	count := 1 + r.IntN(3)
	states := make([]string, 0, count)
	for i := range count {
		end := `"End":true`
		if i < count-1 {
			end = fmt.Sprintf(`"Next":%q`, state(i+1))
		}
		states = append(states, fmt.Sprintf(`%q:{%s,%s}`, state(i), body(r, depth, name, state(count-1)), end))
	}
	return fmt.Sprintf(`{"StartAt":%q,"States":{%s}}`, state(0), strings.Join(states, ","))
}

func body(r *rand.Rand, depth int, name *int, last string) string {
	policy := ""
	if r.IntN(2) == 0 {
		policy += `,"Retry":[{"ErrorEquals":["E1"],"MaxAttempts":2,"IntervalSeconds":3,"JitterStrategy":"FULL"}]`
	}
	if r.IntN(3) == 0 {
		policy += fmt.Sprintf(`,"Catch":[{"ErrorEquals":["E1","E2"],"Next":%q,"ResultPath":"$.e"}]`, last)
	}
	switch kind := r.IntN(8); {
	case kind == 0:
		return `"Type":"Pass","Assign":{"v.$":"$"},"Result":{"items":[1,2,3]},"ResultPath":"$.p"`
	case kind == 1:
		return `"Type":"Wait","Seconds":7`
	case kind <= 3 && depth > 0:
		return fmt.Sprintf(`"Type":"Parallel","Branches":[%s,%s],"ResultPath":"$.r"`, machine(r, depth-1, name),
			machine(r, depth-1, name)) + policy
	case kind <= 5 && depth > 0:
		return fmt.Sprintf(`"Type":"Map","ItemsPath":"$$.Execution.Input.items","MaxConcurrency":%d,"ItemSelector":`+
			`{"i.$":"$$.Map.Item.Index"},"ItemProcessor":%s,"ResultPath":null`, r.IntN(3), machine(r, depth-1, name)) + policy
	}
	return `"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","TimeoutSeconds":50,"HeartbeatSeconds":20,"ResultPath":null` +
		policy
}

// play applies random facts to a run until it ends, with one redrive if it fails. The same seed gives the same run.
func play(t *testing.T, seed uint64, reload bool) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	name := 0
	w := newWorld(t, machine(r, 2, &name), `{"items":[10,20,30]}`)
	w.reload = reload
	w.start()
	redriven := false
	for range 2000 {
		if w.run.Head().Status != stepfn.Running {
			if redriven || w.run.Head().Status == stepfn.Succeeded {
				return w
			}
			redriven = true
			w.now = w.now.Add(time.Hour)
			w.apply(interp.Redrive{})
			continue
		}
		step(w, r)
	}
	t.Fatalf("seed %d: the run does not end:\n%s", seed, w.story())
	return nil
}

func step(w *world, r *rand.Rand) {
	tasks := w.run.Running()
	w.now = w.now.Add(time.Duration(r.IntN(3)) * time.Second)
	if len(tasks) == 0 || r.IntN(10) == 0 {
		if w.run.Head().Wake.After(w.now) {
			w.now = w.run.Head().Wake
		}
		w.apply(interp.Wake{})
		return
	}
	task := tasks[r.IntN(len(tasks))]
	switch chance := r.IntN(20); {
	case chance == 0:
		w.apply(interp.Abort{Error: "Stopped"})
	case chance < 5:
		w.apply(interp.TaskEnded{Task: task.ID, Error: fmt.Sprintf("E%d", r.IntN(4)), Cause: "by chance"})
	case chance < 7:
		w.apply(interp.TaskHeartbeat{Task: task.ID})
	case chance < 9:
		w.apply(interp.TaskSubmitted{Task: task.ID, Output: []byte("{}")})
	default:
		w.apply(interp.TaskEnded{Task: task.ID, Output: []byte(`{"ok":true}`)})
	}
}

// TestRandomRuns checks that, whatever happens in whatever order, a run that is loaded again at every step behaves as one
// that stays in memory, its history is well-formed, and no task stays running.
func TestRandomRuns(t *testing.T) {
	n := uint64(300)
	if testing.Short() {
		n = 30
	}
	ends := map[stepfn.Status]int{}
	for seed := range n {
		w := play(t, seed, true)
		if kept := play(t, seed, false); kept.story() != w.story() {
			check(t, fmt.Sprintf("seed %d", seed), kept.story(), w.story())
			return
		}
		wellFormed(t, seed, w)
		ends[w.run.Head().Status]++
	}
	t.Logf("ends: %v", ends)
	if ends[stepfn.Succeeded] == 0 || ends[stepfn.Failed] == 0 {
		t.Errorf("no run succeeded, or none failed: %v", ends)
	}
}

func wellFormed(t *testing.T, seed uint64, w *world) {
	t.Helper()
	for i, e := range w.events {
		if e.ID != int64(i+1) || e.Previous >= e.ID || e.Previous < 0 {
			t.Errorf("seed %d: event %d has Previous %d, want id %d and a smaller Previous", seed, e.ID, e.Previous, i+1)
		}
	}
	if tasks := w.run.Running(); len(tasks) > 0 {
		t.Errorf("seed %d: %d tasks are still running", seed, len(tasks))
	}
	if w.run.Head().Status == stepfn.Succeeded && len(w.stored) != 1 {
		t.Errorf("seed %d: %d frames are left", seed, len(w.stored))
	}
	ids := make([]string, 0, len(w.tasks))
	for _, task := range w.tasks {
		if slices.Contains(ids, task.ID) {
			t.Errorf("seed %d: two tasks have the id %s", seed, task.ID)
		}
		ids = append(ids, task.ID)
	}
	for _, id := range ids {
		if !w.ended[id] && !slices.Contains(w.stops, id) {
			t.Errorf("seed %d: task %s was neither ended nor stopped", seed, id)
		}
	}
	for _, id := range w.stops {
		if !slices.Contains(ids, id) {
			t.Errorf("seed %d: task %s was stopped but never started", seed, id)
		}
	}
}

package interp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

const mapOfTasks = `{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.items","MaxConcurrency":%d,` +
	`"ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value","all.$":"$.name"},"ItemProcessor":{"StartAt":"A",` +
	`"States":{"A":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","End":true}}},"End":true}}}`

func TestMapRespectsConcurrencyAndOrder(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(mapOfTasks, 2), `{"items":["a","b","c"],"name":"n"}`).start()
	if len(w.tasks) != 2 {
		t.Fatalf("%d tasks run concurrently, want 2", len(w.tasks))
	}
	w.done("A#2", `"B"`)
	check(t, "third input", `{"i":2,"v":"c","all":"n"}`, string(w.tasks["A#3"].Input))
	w.done("A#3", `"C"`).done("A#1", `"A"`)
	check(t, "end", `SUCCEEDED ["A","B","C"]`, w.head())
	if !strings.Contains(w.story(), "15<13 MapIterationStarted M[2]") {
		t.Errorf("the third iteration does not follow the one that made room for it:\n%s", w.story())
	}
}

func TestMapIterationFailureAbortsTheOthers(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(mapOfTasks, 0), `{"items":[1,2],"name":"n"}`).start().fail("A#1", "Boom", "")
	check(t, "story", text("1<0 ExecutionStarted", "2<0 MapStateEntered M", "3<2 MapStateStarted",
		"4<3 MapIterationStarted M[0]", "5<3 MapIterationStarted M[1]",
		"6<4 TaskStateEntered A", "7<6 TaskScheduled", "8<7 TaskStarted",
		"9<5 TaskStateEntered A", "10<9 TaskScheduled", "11<10 TaskStarted",
		"12<8 TaskFailed Boom", "13<12 MapIterationFailed M[0]", "14<12 TaskStateAborted",
		"15<12 MapIterationAborted M[1]", "16<12 TaskStateAborted", "17<12 MapStateFailed",
		"18<17 ExecutionFailed Boom"), w.story())
}

func TestMapIsLinear(t *testing.T) {
	items := func(n int) string {
		list := make([]any, n)
		for i := range list {
			list[i] = value.Int(int64(i))
		}
		o := value.NewObject(2)
		o.Set("items", list)
		o.Set("name", "n")
		return value.Text(o)
	}
	writes := map[int]int{}
	for _, n := range []int{200, 400} {
		w := newWorld(t, fmt.Sprintf(mapOfTasks, 4), items(n))
		w.reload = false
		w.start()
		for i := 1; i <= n; i++ {
			w.done(fmt.Sprintf("A#%d", i), "0")
		}
		if w.run.Head().Status != stepfn.Succeeded {
			t.Fatal(w.head())
		}
		if w.most > 12 {
			t.Errorf("one decision wrote %d frames", w.most)
		}
		writes[n] = w.writes
	}
	if float64(writes[400]) > 2.1*float64(writes[200]) {
		t.Errorf("frames written: %v", writes)
	}
}

func TestVariablesAreScoped(t *testing.T) {
	w := newWorld(t, `{"QueryLanguage":"JSONata","StartAt":"S","States":{"S":{"Type":"Pass","Assign":{"x":1,"y":2},"Next":"M"},`+
		`"M":{"Type":"Map","Items":[10,20],"MaxConcurrency":1,"ItemProcessor":{"StartAt":"I","States":{"I":{"Type":"Pass","Assign":{"x":`+
		`"{% $states.input + $y %}"},"Next":"J"},"J":{"Type":"Pass","Output":"{% $x %}","End":true}}},"Next":"E"},`+
		`"E":{"Type":"Pass","Output":{"m":"{% $states.input %}","x":"{% $x %}"},"End":true}}}`, `{}`).start()
	check(t, "end", `SUCCEEDED {"m":[12,22],"x":1}`, w.head())
}

const distributed = `{"StartAt":"D","States":{"D":{"Type":"Map","ItemsPath":"$.items","MaxConcurrency":5,"Label":"L",` +
	`"ToleratedFailurePercentage":50,"ItemBatcher":{"MaxItemsPerBatch":2,"BatchInput":{"n.$":"$.name"}},` +
	`"ItemSelector":{"v.$":"$$.Map.Item.Value","n.$":"$.name"},"ItemProcessor":{"ProcessorConfig":` +
	`{"Mode":"DISTRIBUTED","ExecutionType":"EXPRESS"},"StartAt":"I","States":{"I":{"Type":"Pass","End":true}}},` +
	`"Retry":[{"ErrorEquals":["Again"],"MaxAttempts":1}],"End":true}}}`

func TestDistributedMap(t *testing.T) {
	w := newWorld(t, distributed, `{"items":[1,2,3],"name":"n"}`).start()
	if len(w.last.MapRuns) != 1 {
		t.Fatalf("decision: %+v", w.last)
	}
	m := w.run.RunningMaps()[0]
	if m.ID != w.last.MapRuns[0].ID || !m.Express || m.MaxConcurrency != 5 || m.BatchItems != 2 || !m.Batched {
		t.Errorf("map run: %+v", m)
	}
	input, err := m.Child(2, &interp.MapItem{Value: value.Number("3")})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "child", `{"v":3,"n":"n"}`, string(input))
	check(t, "batch", `{"BatchInput":{"n":"n"},"Items":[{"v":3,"n":"n"}]}`, string(m.Batch([][]byte{input})))
	if m.Exceeded(1, 2) || !m.Exceeded(2, 3) {
		t.Error("Exceeded does not respect the tolerated percentage of 50")
	}
	w.apply(interp.MapRunEnded{MapRun: m.ID, Output: []byte(`[1,2]`)})
	check(t, "end", `SUCCEEDED [1,2]`, w.head())
}

func TestDistributedMapRetryAbortRedrive(t *testing.T) {
	w := newWorld(t, distributed, `{"items":[],"name":"n"}`).start()
	first := w.last.MapRuns[0]
	w.apply(interp.MapRunEnded{MapRun: first.ID, Error: "Again", Cause: "c"})
	w.wake()
	second := w.last.MapRuns[0]
	if second.ID == first.ID || second.ARN == first.ARN {
		t.Error("the second attempt has the ID or ARN of the first")
	}
	w.apply(interp.Abort{})
	if d := cmp.Diff([]string{second.ID}, w.last.StopMapRuns); d != "" {
		t.Errorf("stops: %s", d)
	}
	w.apply(interp.Redrive{})
	third := w.last.MapRuns[0]
	if !third.Redriven || third.ARN != second.ARN {
		t.Errorf("redriven: %+v", third)
	}
}

// TestStoredFormIsComplete checks that runs which are loaded again before every fact have the same history as those which are
// not.
func TestStoredFormIsComplete(t *testing.T) {
	for name, play := range map[string]func(reload bool) *world{
		"map": func(reload bool) *world {
			w := newWorld(t, fmt.Sprintf(mapOfTasks, 3), `{"items":[1,2,3,4,5],"name":"n"}`)
			w.reload = reload
			w.start()
			for i := 1; i <= 5; i++ {
				w.done(fmt.Sprintf("A#%d", i), "0")
			}
			return w
		},
		"branches": func(reload bool) *world {
			w := newWorld(t, branches, `{}`)
			w.reload = reload
			return w.start().done("B#1", "1").wake().fail("A#1", "X", "y")
		},
		"retry": func(reload bool) *world {
			w := newWorld(t, oneTask, `{"n":1}`)
			w.reload = reload
			w.start().fail("A#1", "Again", "").wake()
			w.now = w.now.Add(time.Second)
			return w.done("A#2", "1")
		},
	} {
		check(t, name, play(false).story(), play(true).story())
	}
}

func TestUUIDsNeverRepeat(t *testing.T) {
	w := newWorld(t, `{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.items","ItemSelector":{"id.$":"States.UUID()",`+
		`"items.$":"$.items"},"ItemProcessor":{"StartAt":"A","States":{"A":{"Type":"Map","ItemsPath":"$.items","ItemSelector":`+
		`{"id.$":"States.UUID()"},"ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Pass","Parameters":{"in.$":"$.id",`+
		`"id.$":"States.UUID()"},"Next":"C"},"C":{"Type":"Pass","Parameters":{"all.$":"$","id.$":"States.UUID()"},"End":true}}},`+
		`"End":true}}},"End":true}}}`, `{"items":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]}`)
	w.reload = false
	w.start()
	seen := map[string]bool{}
	for _, e := range w.events {
		if e.Type != "PassStateExited" || e.Name != "C" {
			continue
		}
		for _, part := range strings.Split(string(e.Output), `"`) {
			if len(part) != 36 {
				continue
			}
			if seen[part] {
				t.Fatalf("%s was drawn twice", part)
			}
			seen[part] = true
		}
	}
	if len(seen) != 3*400 {
		t.Errorf("%d UUIDs, want 1200", len(seen))
	}
}

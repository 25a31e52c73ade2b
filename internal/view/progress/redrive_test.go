package progress_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/value"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// States without a task that fail again after a redrive have no events of their own: the failure of the Map or Parallel directly
// follows the redrive. The statuses are then the same as after the first failure.
func TestFailedAgain(t *testing.T) {
	const (
		fails    = `"F":{"Type":"Fail","Error":"E"}`
		choice   = `"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{"Variable":"$","NumericEquals":2,"Next":"F"}],"Default":"OK"},"OK":{"Type":"Succeed"},` + fails + `}`
		parallel = `{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}},{"StartAt":"F","States":{` + fails + `}}],"End":true}`
	)
	for name, c := range map[string]struct {
		state string
		want  map[string]progress.Status
	}{
		"Map": {`{"Type":"Map","ItemProcessor":{` + choice + `},"End":true}`, map[string]progress.Status{
			"S": progress.Failed, "C[0]": progress.Succeeded, "OK[0]": progress.Succeeded, "C[1]": progress.Succeeded, "F[1]": progress.Failed,
		}},
		"Parallel": {parallel, map[string]progress.Status{"S": progress.Failed, "A": progress.Succeeded, "F": progress.Failed}},
		"Parallel in a Map": {`{"Type":"Map","ItemProcessor":{"StartAt":"P","States":{"P":` + parallel + `}},"End":true}`, map[string]progress.Status{
			"S": progress.Failed, "P[0]": progress.Failed, "P[1]": progress.Cancelled, "A[0]": progress.Succeeded, "F[0]": progress.Failed,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			definition := []byte(`{"StartAt":"S","States":{"S":` + c.state + `}}`)
			m, err := asl.Parse(definition)
			if err != nil {
				t.Fatal(err)
			}
			run := interp.New(interp.Params{ExecutionARN: "x", Name: "x", MachineARN: "m", Input: []byte("[1,2]"), StartTime: start}, m)
			v := progress.New(progress.ReadStates(definition))
			for i, fact := range []interp.Fact{interp.Start{}, interp.Redrive{}, interp.Redrive{}} {
				apply(t, run, fact, v)
				got := map[string]progress.Status{}
				for _, x := range v.Entries {
					got[x.Name] = x.Status
				}
				if diff := cmp.Diff(c.want, got); diff != "" || v.Status != types.ExecutionStatusFailed {
					t.Errorf("after %d redrives, %s:\n%s", i, v.Status, diff)
				}
				if items := v.Entries[0].Items; items != nil && (items.Failed != 1 || items.Started != 2) {
					t.Errorf("after %d redrives: %+v, want one failed iteration", i, *items)
				}
			}
		})
	}
}

// apply applies a fact to a run without tasks, and adds the events to a view.
func apply(t *testing.T, run *interp.Run, fact interp.Fact, v *progress.View) {
	t.Helper()
	for more := true; more; fact = (interp.Continue{}) {
		decision, err := run.Apply(fact, start)
		if err != nil {
			t.Fatal(err)
		}
		for i := range decision.Events {
			e := &decision.Events[i]
			var event types.HistoryEvent
			if err := json.Unmarshal(value.Bytes(history.ToAPI(e, true).With("timestamp", e.Time.Format(time.RFC3339Nano))), &event); err != nil {
				t.Fatal(err)
			}
			v.Add(&event)
		}
		more = decision.More
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// countdown runs a loop; its input is the number of rounds. A round has four events.
const countdown = `"StartAt":"Round","States":{"Round":{"Type":"Pass","Output":"{% $states.input - 1 %}","Next":"More"},` +
	`"More":{"Type":"Choice","Choices":[{"Condition":"{% $states.input > 0 %}","Next":"Round"}],"Default":"Bad"},"Bad":{"Type":"Fail","Error":"Bad"}}`

// An execution whose history is full cannot be redriven.
func TestFullHistoryIsNotRedrivable(t *testing.T) {
	e := open(t, vfs.NewMem(), func(context.Context, *task.Request) task.Result { return task.Result{} })
	for input, want := range map[string][2]string{
		`3`:    {"REDRIVABLE", ""},
		`7000`: {"NOT_REDRIVABLE", "Execution history event limit exceeded"},
	} {
		x := end(t, e, start(t, e, "a"+input, `{"QueryLanguage":"JSONata",`+countdown+`}`, input).ARN)
		if x.Status != stepfn.Failed || x.RedriveStatus != want[0] || x.RedriveReason != want[1] {
			t.Errorf("%s: %s %s %q", input, x.Status, x.RedriveStatus, x.RedriveReason)
		}
		var not *engine.NotRedrivableError
		if _, err := e.Redrive(x.ARN); errors.As(err, &not) != (want[1] != "") {
			t.Errorf("%s: %v", input, err)
		}
		end(t, e, x.ARN)
	}
}

// The redrive of a map run skips the children that cannot be redriven, and counts them.
func TestMapRunCountsNotRedrivableChildren(t *testing.T) {
	e := open(t, vfs.NewMem(), func(context.Context, *task.Request) task.Result { return task.Result{} })
	definition := fmt.Sprintf(`{"QueryLanguage":"JSONata","StartAt":"M","States":{"M":{"Type":"Map","Items":"{%% $states.input %%}",`+
		`"ToleratedFailurePercentage":90,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},%s},"End":true}}}`, countdown)
	x := end(t, e, start(t, e, "a", definition, `[1,7000]`).ARN)
	for redrives := range 2 {
		runs, _, err := e.MapRuns(x.ARN, "", 10)
		if err != nil || len(runs) != 1 {
			t.Fatalf("%+v, %v", runs, err)
		}
		if got := runs[0].Executions; got.Failed != 2 || got.NotRedrivable != 1 || got.PendingRedrive != 0 {
			t.Errorf("after %d redrives: %+v", redrives, got)
		}
		if redrives == 0 {
			if _, err := e.Redrive(x.ARN); err != nil {
				t.Fatal(err)
			}
			end(t, e, x.ARN)
		}
	}
}

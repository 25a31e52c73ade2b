package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

// Labels that Prepare adds are stored with the execution. Tasks get them, including those in the children of a distributed Map. If
// Prepare fails, no execution is created.
func TestPrepare(t *testing.T) {
	fs := vfs.NewMem()
	var refused error
	calls := 0
	prepare := func(c *engine.Config) {
		c.Prepare = func(_ context.Context, arn string, r *engine.StartRequest) error {
			calls++
			r.Labels = map[string]string{"code": "of " + r.Name}
			if len(r.Definition) == 0 || arn == "" {
				t.Errorf("the request lacks the definition or the ARN: %+v", r)
			}
			return refused
		}
	}
	label := func(_ context.Context, req *task.Request) task.Result {
		return task.Result{Output: []byte(`"` + req.Labels["code"] + `"`)}
	}
	e := open(t, fs, label, prepare)
	x := end(t, e, start(t, e, "a", distributed(""), `[1,2]`).ARN)
	if string(x.Output) != `["of a","of a"]` || calls != 1 {
		t.Errorf("%d calls, %s %s", calls, x.Output, x.Cause)
	}
	if again, err := e.Start(t.Context(), engine.StartRequest{MachineARN: machineARN, Name: "a", Definition: []byte(distributed("")), Input: []byte(`[]`)}); err == nil || calls != 1 {
		t.Errorf("Prepare was called for a start whose name is taken: %d calls, %+v", calls, again)
	}
	refused = errors.New("too large")
	_, err := e.Start(t.Context(), engine.StartRequest{MachineARN: machineARN, Name: "b", Definition: []byte(distributed(""))})
	var fault *engine.StartError
	if !errors.As(err, &fault) || !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if got := names(t, e, engine.ListFilter{MachineARN: machineARN}); !cmp.Equal(got, []string{"a"}) {
		t.Errorf("executions: %v", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	x, err = open(t, fs, label).Describe(x.ARN)
	if err != nil || x.Labels["code"] != "of a" {
		t.Errorf("%v, %v", x.Labels, err)
	}
}

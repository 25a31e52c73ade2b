package conformance_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/conformance"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// The names that replace the real ones in the recordings. Our executions use them, so that our histories need no masking.
const (
	maskedExecution = "arn:<partition>:states:<region>:111111111111:execution:<ArnPart_0idx>:<ExecArnPart_0idx>"
	maskedMachine   = "arn:<partition>:states:<region>:111111111111:stateMachine:<ArnPart_0idx>"
)

// driver simulates the engine for one run. Instead of waiting for a timer, it advances its clock.
type driver struct {
	t      *testing.T
	m      *asl.Machine
	run    *interp.Run
	now    time.Time
	abort  bool // stop the execution when it waits
	events []history.Event
	stored map[interp.FrameID][]byte
}

func params(input []byte, now time.Time) interp.Params {
	if input == nil {
		input = []byte("{}")
	}
	return interp.Params{ExecutionARN: maskedExecution, Name: "<ExecArnPart_0idx>", MachineARN: maskedMachine,
		MachineName: "<ArnPart_0idx>", RoleARN: "snf_role_arn", Region: "<region>", Input: input, StartTime: now, Seed: 42}
}

// finish runs an execution to its end. It stores every decision and loads the run again, so that the stored form is tested as
// well.
func (d *driver) finish(p interp.Params) interp.Head {
	d.run = interp.New(p, d.m)
	d.stored = map[interp.FrameID][]byte{}
	facts := []interp.Fact{interp.Start{}}
	for steps := 0; len(facts) > 0; steps++ {
		if steps > 10000 {
			d.t.Fatal("the run has not ended after 10000 facts")
		}
		fact := facts[0]
		dec, err := d.run.Apply(fact, d.now)
		if err != nil {
			d.t.Fatal(err)
		}
		d.keep(dec)
		facts = append(facts[1:], d.act(dec)...)
		if dec.Closed {
			break
		}
		if len(facts) == 0 {
			facts = d.wait(dec)
		}
	}
	return d.run.Head()
}

func (d *driver) wait(dec interp.Decision) []interp.Fact {
	if d.abort {
		return []interp.Fact{interp.Abort{}}
	}
	if dec.Wake.IsZero() {
		return nil
	}
	d.now = dec.Wake
	return []interp.Fact{interp.Wake{}}
}

func (d *driver) keep(dec interp.Decision) {
	d.events = append(d.events, dec.Events...)
	for _, id := range dec.Dirty {
		d.stored[id] = d.run.AppendFrame(nil, id)
	}
	for _, id := range dec.Gone {
		delete(d.stored, id)
	}
	var frames []interp.StoredFrame
	for id, data := range d.stored {
		frames = append(frames, interp.StoredFrame{ID: id, Data: data})
	}
	run, err := interp.Load(d.m, d.run.AppendHead(nil), frames)
	if err != nil {
		d.t.Fatal(err)
	}
	d.run = run
}

func (d *driver) act(dec interp.Decision) []interp.Fact {
	var facts []interp.Fact
	if dec.More {
		facts = append(facts, interp.Continue{})
	}
	for _, task := range dec.Tasks {
		facts = append(facts, answer(task))
	}
	for i := range dec.MapRuns {
		facts = append(facts, d.mapRun(&dec.MapRuns[i]))
	}
	return facts
}

// mapRun runs the children of a distributed Map, one after another.
func (d *driver) mapRun(m *interp.MapRun) interp.Fact {
	v, err := value.Parse(m.Items)
	if err != nil {
		d.t.Fatal(err)
	}
	items, _ := v.([]any)
	results := make([]any, len(items))
	var failed int64
	for i, item := range items {
		input, err := m.Child(int64(i), &interp.MapItem{Source: "STATE_DATA", Value: item})
		if err != nil {
			d.t.Fatal(err)
		}
		child := &driver{t: d.t, m: d.m, now: d.now}
		p := params(input, d.now)
		p.Program, p.MapRunARN = m.Program, m.ARN
		head := child.finish(p)
		if head.Status != stepfn.Succeeded {
			failed++
			continue
		}
		results[i], _ = value.Parse(head.Output)
	}
	end := interp.MapRunEnded{MapRun: m.ID, Output: value.Bytes(results)}
	if m.Exceeded(failed, int64(len(items))) {
		end.Error, end.Cause = stepfn.StatesExceedToleratedFailureThreshold, interp.ExceedToleratedFailureThresholdCause
	}
	return end
}

// answer returns the responses of the services in the recordings.
func answer(task interp.Task) interp.Fact {
	switch task.Resource {
	case "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess", "arn:aws:states:::aws-sdk:sfn:sendTaskFailure":
		return interp.TaskEnded{Task: task.ID, Error: "Sfn.InvalidTokenException",
			Cause: "Invalid Token: 'Invalid token' (Service: Sfn, Status Code: 400, Request ID: 1) (SDK Attempt Count: 1)"}
	}
	return interp.TaskEnded{Task: task.ID, Error: "Test.NoService", Cause: task.Resource}
}

// api returns the history as GetExecutionHistory shows it.
func api(events []history.Event) []any {
	out := make([]any, len(events))
	for i := range events {
		out[i] = history.ToAPI(&events[i], true)
	}
	return out
}

func aborted(c *conformance.Case) bool {
	return slices.Contains(conformance.Types(c.Events), "ExecutionAborted")
}

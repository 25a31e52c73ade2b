package interp

import (
	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// enter makes the line enter its state: it emits the event, resets the retries, and executes the state.
func (r *Run) enter(f *frame) {
	f.before = f.last
	f.enteredAt = r.now
	f.retries, f.retried = nil, 0
	f.entered = r.emit(f, history.Event{Type: history.Entered(f.state.Type), Name: f.state.Name, Input: f.input.bytes()})
	r.do(f)
}

// do executes the state. When it returns, the line has left the state, or waits for something.
func (r *Run) do(f *frame) {
	f.entries++
	if fail := workers[f.state.Type](r, f); fail != nil {
		r.failState(f, fail)
	}
}

// workers maps the type of a state to the function that executes it.
var workers map[string]func(*Run, *frame) *failure

func init() { // an initializer of the variable would be an initialization cycle: the functions use workers themselves
	workers = map[string]func(*Run, *frame) *failure{
		asl.Pass:     (*Run).pass,
		asl.Task:     (*Run).schedule,
		asl.Choice:   (*Run).choice,
		asl.Wait:     (*Run).wait,
		asl.Succeed:  func(r *Run, f *frame) *failure { return r.endState(f, nil) },
		asl.Fail:     (*Run).failOn,
		asl.Parallel: (*Run).parallel,
		asl.Map:      (*Run).mapState,
	}
}

// pass outputs Result, or without a Result the input after InputPath and Parameters. With a Result, Parameters are not
// even evaluated: TestState does not show them.
func (r *Run) pass(f *frame) *failure {
	s := f.state
	if s.JSONata {
		return r.endState(f, nil)
	}
	if s.HasResult && s.Result != nil { // Step Functions treats null as no Result (recorded)
		return r.endState(f, r.test.result(valueData(s.Result)))
	}
	result, fail := r.arguments(f)
	if fail != nil {
		return fail
	}
	return r.endState(f, result)
}

// endState ends the state with a result. If result is nil, the state has none, and its input becomes its output.
func (r *Run) endState(f *frame, result *data) *failure {
	out, fail := r.output(f, result)
	if fail != nil {
		return fail
	}
	assigned, fail := r.assign(f, f.state.Assign, result, nil)
	if fail != nil {
		return fail
	}
	r.leave(f, out, assigned, f.state.Next)
	return nil
}

// leave exits the state: it sets the variables and moves the line to the next state, or ends the line if next is nil.
func (r *Run) leave(f *frame, out *data, assigned *value.Object, next *asl.State) {
	e := history.Event{Type: history.Exited(f.state.Type), Name: f.state.Name, Output: out.bytes()}
	for i := range assigned.Len() {
		name, v := assigned.At(i)
		if e.AssignedVariables == nil {
			e.AssignedVariables = make(map[string]string, assigned.Len())
		}
		d := valueData(v)
		e.AssignedVariables[name] = string(d.bytes())
		f.setVar(name, d)
	}
	if assigned.Len() > 0 {
		r.test.assigned(f)
	}
	r.emit(f, e)
	f.input, f.state, f.phase = out, next, ready
	f.fail, f.task = nil, nil
	if next == nil {
		r.endLine(f)
		return
	}
	r.enqueue(f)
}

// setVar sets a variable of the line.
func (f *frame) setVar(name string, d *data) {
	if f.vars == nil {
		f.vars = map[string]*data{}
	}
	f.vars[name] = d
}

// endLine ends a line whose last state has succeeded; f.input is the line's output.
func (r *Run) endLine(f *frame) {
	if f.id != rootFrame {
		r.lineEnded(f)
		return
	}
	r.emitFinal(history.Event{Type: history.ExecutionSucceeded, Previous: f.last, Output: f.input.bytes()})
	r.head.Output = f.input.bytes()
	r.head.Status, r.head.StopTime = stepfn.Succeeded, r.now
	r.removeAll()
}

func (r *Run) emitFinal(e history.Event) { r.emitLast(e) }

// removeAll removes all frames except the params from a run that succeeded, because it cannot be redriven.
func (r *Run) removeAll() {
	for id, f := range r.frames {
		if id != originFrame {
			r.remove(f)
		}
	}
	sortIDs(r.decision.Gone)
	r.queue, r.timers = nil, nil
}

package interp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// scope is what the state's expressions see. Each stage of a state's work draws its own randomness, so that a state done
// again (Retry) draws anew and a replay draws the same.
func (r *Run) scope(f *frame, input any, stage uint64) *expr.Scope {
	return &expr.Scope{
		Input:   input,
		Context: func() any { return r.context(f, nil) },
		Vars:    func(name string) (any, bool) { return r.variable(f, name) },
		Random:  r.random(f, stage, 0),
		Now:     r.now,
	}
}

// The stages of a state's work.
const (
	onInput uint64 = 1 + iota
	onOutput
	onAssign
	onItem
	onScalar
	onRetry
	onMapRun
)

// variable looks a variable up in the line and those around it.
func (r *Run) variable(f *frame, name string) (any, bool) {
	for f != nil {
		if d, ok := f.vars[name]; ok {
			return d.value(), true
		}
		if f.id == rootFrame {
			break
		}
		f = r.frames[r.frames[f.parent].parent]
	}
	return nil, false
}

// context is the context object ($$, $states.context).
func (r *Run) context(f *frame, item *value.Object) any {
	if r.test != nil {
		return r.test.contextOf(r, f, item)
	}
	p := r.params
	execution := object("Id", p.ExecutionARN, "Input", r.input.value(), "StartTime", Timestamp(p.StartTime),
		"Name", p.Name, "RoleArn", p.RoleARN)
	if !p.Express { // an Express execution cannot be redriven, and shows no count
		execution.Set("RedriveCount", value.Int(int64(r.head.RedriveCount)))
	}
	if r.head.RedriveCount > 0 {
		execution.Set("RedriveTime", Timestamp(r.head.RedriveTime))
	}
	state := object("Name", f.state.Name, "EnteredTime", Timestamp(f.enteredAt))
	if retriable(f.state.Type) {
		state.Set("RetryCount", value.Int(int64(f.retried)))
	}
	c := object("Execution", execution, "StateMachine", object("Id", p.MachineARN, "Name", p.MachineName), "State", state)
	r.addTaskAndMap(c, f, item)
	return c
}

// addTaskAndMap adds what only some states have. Step Functions shows a token only where the Task waits for it.
func (r *Run) addTaskAndMap(c *value.Object, f *frame, item *value.Object) {
	if f.task != nil && strings.HasSuffix(f.state.Resource, ".waitForTaskToken") {
		c.Set("Task", object("Token", f.task.token))
	}
	if item == nil {
		item = r.mapItem(f)
	}
	if item != nil {
		c.Set("Map", object("Item", item))
	}
}

// retriable says which types show RetryCount: those that may have a Retry.
func retriable(stateType string) bool {
	return stateType == asl.Task || stateType == asl.Parallel || stateType == asl.Map
}

// mapItem is $$.Map.Item of the innermost iteration that the line is in.
func (r *Run) mapItem(f *frame) *value.Object {
	for f.id != rootFrame {
		group := r.frames[f.parent]
		if group.items != 0 {
			return r.item(group, f.index)
		}
		f = r.frames[group.parent]
	}
	if len(r.params.MapItem) > 0 {
		item, _ := textData(r.params.MapItem).value().(*value.Object)
		return item
	}
	return nil
}

// item is one item as $$.Map.Item shows it. It is read from the items' frame, so that no iteration carries a copy.
func (r *Run) item(group *frame, index int64) *value.Object {
	items, _ := r.frames[group.items].input.value().([]any)
	if index >= int64(len(items)) {
		return nil
	}
	return object("Index", value.Int(index), "Value", items[index])
}

// Timestamp is a time as the context object shows it.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// object makes an object of keys and values in turn, in this order: the order is seen in outputs.
func object(pairs ...any) *value.Object {
	o := value.NewObject(len(pairs) / 2)
	for i := 0; i < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1]) //nolint:gosec // callers pass pairs
	}
	return o
}

// arguments is the state's effective input: after InputPath and Parameters, or Arguments.
func (r *Run) arguments(f *frame) (*data, *failure) {
	in, fail := r.path(f, f.state.InputPath, f.input)
	if fail != nil {
		return nil, fail
	}
	r.test.note(f, "afterInputPath", in)
	if f.state.Parameters != nil {
		v, err := f.state.Parameters.Eval(r.scope(f, in.value(), onInput))
		if err != nil {
			return nil, r.evalFailure(f, err)
		}
		in = valueData(v)
		r.test.note(f, "afterArguments", in)
	}
	r.test.note(f, "afterParameters", in)
	return in, nil
}

// path applies InputPath or OutputPath, or ItemsPath.
func (r *Run) path(f *frame, p asl.PathField, in *data) (*data, *failure) {
	if p.Null {
		return valueData(value.NewObject(0)), nil
	}
	if p.Path == nil || p.Path.Root() && p.Path.Source() == expr.FromInput {
		return in, nil
	}
	v, err := p.Path.Resolve(r.scope(f, in.value(), onInput))
	if err != nil {
		return nil, r.pathFailure(f, p.Path.Text(), err)
	}
	return valueData(v), nil
}

// output is what the state gives to the next one.
func (r *Run) output(f *frame, result *data) (*data, *failure) {
	var out *data
	var fail *failure
	if f.state.JSONata {
		out, fail = r.jsonataOutput(f, f.state.Output, result, nil)
	} else {
		out, fail = r.pathOutput(f, result)
	}
	if fail == nil && out.tooBig() {
		fail = dataLimit(f.state.Name)
	}
	return out, fail
}

// jsonataOutput evaluates Output, of the state or of the rule or catcher that it chose.
func (r *Run) jsonataOutput(f *frame, t asl.Template, result, errorOutput *data) (*data, *failure) {
	if t == nil {
		for _, d := range []*data{errorOutput, result} {
			if d != nil {
				return d, nil
			}
		}
		return f.input, nil
	}
	s := r.scope(f, f.input.value(), onOutput)
	give(s, result, errorOutput)
	v, err := t.Eval(s)
	if err != nil {
		return nil, r.evalFailure(f, err)
	}
	return valueData(v), nil
}

// give adds $states.result and $states.errorOutput, which JSONata sees only where there is one.
func give(s *expr.Scope, result, errorOutput *data) {
	if result != nil {
		s.Result, s.HasResult = result.value(), true
	}
	if errorOutput != nil {
		s.ErrorOutput, s.HasErrorOutput = errorOutput.value(), true
	}
}

// pathOutput is the JSONPath way out of a state: ResultSelector, ResultPath on the raw input, OutputPath.
func (r *Run) pathOutput(f *frame, result *data) (*data, *failure) {
	s := f.state
	if result == nil { // Succeed, Wait, Choice: the effective input goes on
		in, fail := r.path(f, s.InputPath, f.input)
		if fail != nil {
			return nil, fail
		}
		return r.path(f, s.OutputPath, in)
	}
	if s.ResultSelector != nil {
		v, err := s.ResultSelector.Eval(r.scope(f, result.value(), onOutput))
		if err != nil {
			return nil, r.evalFailure(f, err)
		}
		result = valueData(v)
	}
	r.test.note(f, "afterResultSelector", result)
	combined, fail := r.put(f, s.ResultPath, result)
	if fail != nil {
		return nil, fail
	}
	r.test.note(f, "afterResultPath", combined)
	return r.path(f, s.OutputPath, combined)
}

// put is what ResultPath makes of the raw input and the result.
func (r *Run) put(f *frame, p asl.ResultPath, result *data) (*data, *failure) {
	switch {
	case p.Null:
		return f.input, nil
	case p.Path == nil || p.Path.Root():
		return result, nil
	}
	v, err := p.Path.Put(f.input.value(), result.value())
	if err != nil {
		return nil, r.evalFailure(f, err)
	}
	return valueData(v), nil
}

// assign evaluates an Assign field; no variable is set yet.
func (r *Run) assign(f *frame, t asl.Template, result, errorOutput *data) (*value.Object, *failure) {
	if t == nil {
		return nil, nil
	}
	input, fail := r.assignInput(f, result, errorOutput)
	if fail != nil {
		return nil, fail
	}
	s := r.scope(f, input.value(), onAssign)
	give(s, result, errorOutput)
	v, err := t.Eval(s)
	if err != nil {
		return nil, r.evalFailure(f, err)
	}
	o, ok := v.(*value.Object)
	if !ok {
		return nil, runtimeFailure(f, "The Assign field must be an object but was: %s", value.Text(v))
	}
	return o, r.variableLimit(f, o)
}

// assignInput is $ in Assign: with JSONPath the result before ResultSelector, a Catch's error, or else the effective
// input; with JSONata $states.input stays the raw input.
func (r *Run) assignInput(f *frame, result, errorOutput *data) (*data, *failure) {
	switch {
	case f.state.JSONata:
		return f.input, nil
	case errorOutput != nil:
		return errorOutput, nil
	case result != nil:
		return result, nil
	}
	return r.path(f, f.state.InputPath, f.input)
}

// evalFailure turns an evaluation's error into the state's failure.
func (r *Run) evalFailure(f *frame, err error) *failure {
	fail := &failure{name: stepfn.StatesRuntime, cause: err.Error()}
	var e *expr.Error
	if errors.As(err, &e) {
		fail.name, fail.cause, fail.location = e.Name, e.Cause, e.Location
	}
	if fail.name == stepfn.StatesDataLimitExceeded {
		return dataLimit(f.state.Name)
	}
	fail.evaluation = fail.name == stepfn.StatesQueryEvaluationError
	if fail.name != stepfn.StatesReferencePathConflict { // which is shown without a word on the state
		fail.cause = where(f) + fail.cause
	}
	return fail
}

// pathFailure is for the fields that are one path: their message names the path as written.
func (r *Run) pathFailure(f *frame, path string, err error) *failure {
	var missing *expr.NoResultsError
	if errors.As(err, &missing) {
		return runtimeFailure(f, "Invalid path '%s' : %s", path, err)
	}
	return r.evalFailure(f, err)
}

// where begins the cause of every failure of a state's own work. TestState's state was entered at no event, and was
// recorded without it.
func where(f *frame) string {
	if f.entered == 0 {
		return ""
	}
	return fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). ",
		f.state.Name, f.entered)
}

// runtimeFailure is a States.Runtime with the words that Step Functions begins its causes with.
func runtimeFailure(f *frame, format string, args ...any) *failure {
	return &failure{name: stepfn.StatesRuntime, cause: where(f) + fmt.Sprintf(format, args...)}
}

// dataLimit is the failure of a payload over 256 KB, in the words that were recorded.
func dataLimit(subject string) *failure {
	return &failure{name: stepfn.StatesDataLimitExceeded, cause: fmt.Sprintf(
		"The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", subject)}
}

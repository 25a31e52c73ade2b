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

// The data of a state is processed in this order. JSONPath: InputPath, Parameters, the state's work, ResultSelector, ResultPath (which
// inserts the result into the raw input), OutputPath. JSONata: Arguments, the state's work, Output. Assign is evaluated last, but
// with the values of variables from before the state: leave sets all of them together.

// scope returns everything that the state's expressions can read. Each stage has its own random numbers, see random.
func (r *Run) scope(f *frame, input any, stage uint64) *expr.Scope {
	return &expr.Scope{
		Input:   input,
		Context: func() any { return r.context(f, nil) },
		Vars:    func(name string) (any, bool) { return r.variable(f, name) },
		Random:  r.random(f, stage, 0),
		Now:     r.now,
	}
}

// The stages of a state's work, as streams of random numbers.
const (
	onInput uint64 = 1 + iota
	onOutput
	onAssign
	onItem
	onScalar
	onRetry
	onMapRun
)

// variable returns the value of a variable of the line or of the lines around it.
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

// context returns the context object ($$, $states.context). item overrides $$.Map.Item if it is not nil.
func (r *Run) context(f *frame, item *value.Object) any {
	if r.test != nil {
		return r.test.contextOf(r, f, item)
	}
	p := r.params
	execution := object("Id", p.ExecutionARN, "Input", r.input.value(), "StartTime", Timestamp(p.StartTime),
		"Name", p.Name, "RoleArn", p.RoleARN)
	if !p.Express { // an Express execution cannot be redriven
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

// addTaskAndMap adds the parts that only some states have. Step Functions has a token only for a Task that waits for it.
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

// retriable reports whether states of this type have RetryCount: those that can have a Retry.
func retriable(stateType string) bool {
	return stateType == asl.Task || stateType == asl.Parallel || stateType == asl.Map
}

// mapItem returns $$.Map.Item of the innermost iteration that contains the line; nil outside a Map.
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

// item returns one item of a Map as $$.Map.Item. It is read from the frame of the items, so that iterations need no copy.
func (r *Run) item(group *frame, index int64) *value.Object {
	items, _ := r.frames[group.items].input.value().([]any)
	if index >= int64(len(items)) {
		return nil
	}
	return object("Index", value.Int(index), "Value", items[index])
}

// Timestamp formats a time as in the context object.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// object creates an object from alternating keys and values. The order is kept, because outputs show it.
func object(pairs ...any) *value.Object {
	o := value.NewObject(len(pairs) / 2)
	for i := 0; i < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1]) //nolint:gosec // callers pass pairs
	}
	return o
}

// arguments returns the state's effective input: after InputPath and Parameters, or Arguments.
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

// path applies InputPath, OutputPath or ItemsPath.
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

// output returns the output of the state.
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

// jsonataOutput evaluates the Output t of the state, or of the rule or catcher that was chosen. Without one, the output is
// the first that is not nil of errorOutput, result and the state's input.
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
	addResults(s, result, errorOutput)
	v, err := t.Eval(s)
	if err != nil {
		return nil, r.evalFailure(f, err)
	}
	return valueData(v), nil
}

// addResults sets $states.result and $states.errorOutput, if they exist.
func addResults(s *expr.Scope, result, errorOutput *data) {
	if result != nil {
		s.Result, s.HasResult = result.value(), true
	}
	if errorOutput != nil {
		s.ErrorOutput, s.HasErrorOutput = errorOutput.value(), true
	}
}

// pathOutput applies ResultSelector, ResultPath (to the raw input) and OutputPath.
func (r *Run) pathOutput(f *frame, result *data) (*data, *failure) {
	s := f.state
	if result == nil { // Succeed, Wait, Choice: the effective input is the output
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

// put applies ResultPath: it inserts the result into the raw input.
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

// assign evaluates an Assign field. It does not set the variables.
func (r *Run) assign(f *frame, t asl.Template, result, errorOutput *data) (*value.Object, *failure) {
	if t == nil {
		return nil, nil
	}
	input, fail := r.assignInput(f, result, errorOutput)
	if fail != nil {
		return nil, fail
	}
	s := r.scope(f, input.value(), onAssign)
	addResults(s, result, errorOutput)
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

// assignInput returns the input of Assign. With JSONPath, $ is the result before ResultSelector, the error in a Catch, or
// else the effective input. With JSONata, $states.input is always the raw input.
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

// evalFailure converts an evaluation error to the failure of the state.
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
	if fail.name != stepfn.StatesReferencePathConflict { // its cause does not start with the state's name
		fail.cause = causePrefix(f) + fail.cause
	}
	return fail
}

// pathFailure is evalFailure for fields that consist of one path: the message contains the path as it is written.
func (r *Run) pathFailure(f *frame, path string, err error) *failure {
	var missing *expr.NoResultsError
	if errors.As(err, &missing) {
		return runtimeFailure(f, "Invalid path '%s' : %s", path, err)
	}
	return r.evalFailure(f, err)
}

// causePrefix returns the beginning of the cause of an error in a state's own work. In TestState, where no event enters the
// state, Step Functions omits it (recorded).
func causePrefix(f *frame) string {
	if f.entered == 0 {
		return ""
	}
	return fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). ",
		f.state.Name, f.entered)
}

// runtimeFailure returns a States.Runtime whose cause starts as in Step Functions.
func runtimeFailure(f *frame, format string, args ...any) *failure {
	return &failure{name: stepfn.StatesRuntime, cause: causePrefix(f) + fmt.Sprintf(format, args...)}
}

// dataLimit returns the failure of a payload over 256 KiB, in the recorded wording.
func dataLimit(subject string) *failure {
	return &failure{name: stepfn.StatesDataLimitExceeded, cause: fmt.Sprintf(
		"The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", subject)}
}

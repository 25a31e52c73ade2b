package interp

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// TestRequest is a call of the TestState API: it executes one state, with a mock instead of the service that the state calls.
type TestRequest struct {
	Params    Params // for the context object: names, ARNs, Input, StartTime, Seed
	State     string // the state's name, anywhere in the machine
	Context   []byte // the context object, a JSON object; nil: created from Params
	Variables []byte // a JSON object, or nil
	Mock      *TestMock
	// RetryCount is how often the retrier that matches the error has already retried (retrierRetryCount).
	RetryCount int
	// FailedIterations is mapIterationFailureCount; nil if not set.
	FailedIterations *int64
	// ReaderData is the JSON array that an ItemReader would read; nil if not set.
	ReaderData []byte
	// Call executes a Task if there is no mock. If it is nil, such a Task is rejected.
	Call func(Task) TaskEnded
}

// TestMock is the result of the service that the state calls, or its error if Result is nil.
type TestMock struct {
	Result       []byte
	Error, Cause string
}

// The statuses that TestState returns.
const (
	TestSucceeded   = "SUCCEEDED"
	TestFailed      = "FAILED"
	TestRetriable   = "RETRIABLE"
	TestCaughtError = "CAUGHT_ERROR"
)

// TestResult is the response of TestState.
type TestResult struct {
	Status       string
	Output       []byte
	Error, Cause string
	NextState    string
	// Inspection is inspectionData in the form of the API: JSON texts in strings.
	Inspection *value.Object
}

// TestRejected is the error of a request that cannot be executed; Code and Message are the API's.
type TestRejected struct{ Code, Message string }

func (e *TestRejected) Error() string { return e.Code + ": " + e.Message }

// reject returns a ValidationException with a recorded message.
func reject(format string, args ...any) error {
	return &TestRejected{"ValidationException", fmt.Sprintf(format, args...)}
}

// test is the state of a TestState. Its methods do nothing on nil, so that a Run can call them unconditionally.
type test struct {
	context    *value.Object
	inspection *value.Object
	details    *value.Object // inspectionData.errorDetails
	caught     *failure      // the error that a catcher caught
}

// TestState executes one state as an execution would, but without waiting. An error is a *TestRejected, or means that a
// definition or payload is invalid.
func TestState(m *asl.Machine, req *TestRequest, now time.Time) (TestResult, error) {
	state := findState(m, req.State)
	if state == nil {
		return TestResult{}, reject("State not found: %s", req.State)
	}
	if err := checkTest(state, req); err != nil {
		return TestResult{}, err
	}
	t := &test{inspection: value.NewObject(8), details: value.NewObject(2)}
	r := New(req.Params, m)
	r.test = t
	r.enterMoment(Moment{Now: now, Steady: now})
	r.head.Status = stepfn.Running
	f := &frame{id: rootFrame, kind: lineKind, phase: ready, program: m.Programs[0], state: state, input: r.input}
	r.frames[rootFrame], r.frames[originFrame] = f, &frame{id: originFrame}
	if err := t.begin(r, f, req); err != nil {
		return TestResult{}, err
	}
	r.do(f)
	if err := t.finish(r, f, req); err != nil {
		return TestResult{}, err
	}
	return t.answer(f), nil
}

// findState searches the whole machine, as TestState does: a state in a branch is found by its name alone.
func findState(m *asl.Machine, name string) *asl.State {
	for _, p := range m.Programs {
		if s, ok := p.States[name]; ok {
			return s
		}
	}
	return nil
}

// contextFields are the fields that a context object for TestState may have.
var contextFields = map[string][]string{
	"Execution":    {"Id", "Input", "Name", "RoleArn", "StartTime", "RedriveCount", "RedriveTime"},
	"State":        {"EnteredTime", "Name", "RetryCount"},
	"StateMachine": {"Id", "Name"},
	"Task":         {"Token"},
}

// checkContext returns what is wrong with a context object, in the recorded wording; "" if it is valid.
func checkContext(s *asl.State, o *value.Object) string {
	if o.Has("Map") {
		return "'Map' field is not supported when mocking a Context object"
	}
	waits := s.Type == asl.Task && (strings.Contains(s.Resource, ".sync") || strings.HasSuffix(s.Resource, ".waitForTaskToken"))
	if o.Has("Task") && !waits {
		return "Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' service " +
			"integration pattern"
	}
	for _, part := range o.Keys() {
		fields, ok := contextFields[part]
		v, _ := o.Get(part)
		in, isObject := v.(*value.Object)
		switch {
		case !ok:
			return "Field '" + part + "' is not allowed"
		case !isObject:
			return part + " must be an object"
		}
		for _, name := range in.Keys() {
			if !slices.Contains(fields, name) {
				return "Field '" + name + "' is not allowed"
			}
			if wrong := contextType(name, in); wrong != "" {
				return part + "." + name + " must be a " + wrong
			}
		}
	}
	return ""
}

// contextType returns the type that a field of the context object must have, if it has another one; else "".
func contextType(name string, in *value.Object) string {
	v, _ := in.Get(name)
	_, isText := v.(string)
	_, isNumber := v.(value.Number)
	switch {
	case name == "Input":
		return ""
	case name == "RetryCount" || name == "RedriveCount":
		if !isNumber {
			return "number"
		}
	case !isText:
		return "string"
	}
	return ""
}

// begin sets everything that the state can read before it is executed.
func (t *test) begin(r *Run, f *frame, req *TestRequest) error {
	f.enteredAt = r.now
	t.inspection.Set("input", string(f.input.bytes()))
	if req.Context != nil {
		o, err := value.ParseObject(req.Context)
		if err != nil {
			return reject("Invalid context: %s", err)
		}
		if wrong := checkContext(f.state, o); wrong != "" {
			return reject("Invalid Context object provided: %s", wrong)
		}
		t.context = o
	}
	if req.Variables != nil {
		o, err := value.ParseObject(req.Variables)
		if err != nil {
			return reject("Invalid variables: %s", err)
		}
		for i := range o.Len() {
			name, v := o.At(i)
			f.setVar(name, valueData(v))
		}
		if o.Len() > 0 {
			t.inspection.Set("variables", value.Text(o))
		}
	}
	if n := len(f.state.Retry); n > 0 {
		f.retries = make([]int, n)
		for i := range f.retries {
			f.retries[i] = req.RetryCount
		}
		f.retried = req.RetryCount
	}
	return t.beginState(r, f, req)
}

// assigned records the variables after the state, sorted by name.
func (t *test) assigned(f *frame) {
	if t == nil {
		return
	}
	o := value.NewObject(len(f.vars))
	for _, name := range slices.Sorted(maps.Keys(f.vars)) {
		o.Set(name, f.vars[name].value())
	}
	t.inspection.Set("variables", value.Text(o))
}

// beginState records or checks what depends on the state's type. The lines of a Map or Parallel never run: the mock is their
// result.
func (t *test) beginState(r *Run, f *frame, req *TestRequest) error {
	switch s := f.state; s.Type {
	case asl.Wait, asl.Succeed, asl.Choice, asl.Fail:
		if in, fail := r.path(f, s.InputPath, f.input); fail == nil {
			t.note(f, "afterInputPath", in)
		}
	case asl.Map:
		if reader := s.Map.Reader; req.ReaderData != nil && reader != nil && readerField(reader, "InputType") == "JSON" {
			if _, err := value.Parse(req.ReaderData); err != nil {
				return reject("Invalid mapItemReaderData: %s", err)
			}
		}
	}
	return nil
}

// finish ends what the state waits for.
func (t *test) finish(r *Run, f *frame, req *TestRequest) error {
	switch f.phase {
	case working:
		return t.finishTask(r, f, req)
	case waiting:
		r.fire(f)
	case grouped, mapping:
		return t.finishGroup(r, f, req)
	}
	return nil
}

// finishTask ends the task with the mock, or by calling the service.
func (t *test) finishTask(r *Run, f *frame, req *TestRequest) error {
	end := TaskEnded{Task: f.task.id}
	switch {
	case req.Mock != nil && req.Mock.Result != nil:
		end.Output = req.Mock.Result
	case req.Mock != nil:
		end.Error, end.Cause = req.Mock.Error, req.Mock.Cause
	case req.Call != nil:
		end = req.Call(r.task(f))
		end.Task = f.task.id
	default:
		return reject("The resource %s cannot be called here: specify a mock", f.state.Resource)
	}
	r.taskEnded(end)
	return nil
}

// finishGroup ends a Map or Parallel with the mock.
func (t *test) finishGroup(r *Run, f *frame, req *TestRequest) error {
	run := r.frames[f.group].mapRun
	iterations := t.iterations(r, f, req)
	r.dissolve(f)
	fail := &failure{name: req.Mock.Error, cause: req.Mock.Cause}
	if req.Mock.Result != nil {
		fail = nil
		n := resultLength(req.Mock.Result)
		switch failed := req.FailedIterations; {
		case failed != nil && run != nil && run.intolerable(*failed, n):
			fail = &failure{name: stepfn.StatesExceedToleratedFailureThreshold, cause: ExceedToleratedFailureThresholdCause}
		case iterations >= 0 && f.state.Map.Writer == nil && n != iterations:
			return reject("Input array does not equal the mocked result array's size")
		}
	}
	if fail == nil {
		fail = r.endState(f, textData(req.Mock.Result))
	}
	if fail != nil {
		r.failState(f, fail)
	}
	return nil
}

// intolerable is Exceeded for TestState, which accepts any number of failures if no tolerance is set.
func (m *MapRun) intolerable(failed, total int64) bool {
	return (m.ToleratedFailureCount > 0 || m.ToleratedFailurePercentage > 0) && m.Exceeded(failed, total)
}

func resultLength(result []byte) int64 {
	list, _ := textData(result).value().([]any)
	return int64(len(list))
}

// answer determines the response from the line: it waits for a retry, has failed, or has left the state.
func (t *test) answer(f *frame) TestResult {
	out := TestResult{Status: TestSucceeded, Inspection: t.inspection}
	if t.details.Len() > 0 {
		t.inspection.Set("errorDetails", t.details)
	}
	switch {
	case f.phase == retrying:
		out.Status = TestRetriable
	case f.phase == failed:
		out.Status = TestFailed
	default:
		out.Output = f.input.bytes()
		if f.state != nil {
			out.NextState = f.state.Name
		}
		if t.caught != nil {
			out.Status, out.Error, out.Cause = TestCaughtError, t.caught.name, t.caught.cause
		}
		return out
	}
	out.Error, out.Cause = f.fail.name, f.fail.cause
	return out
}

// shown are the stages that TestState records, by type of state. A JSONata state has only afterArguments.
var shown = map[string]map[string]bool{
	asl.Pass: {"afterInputPath": true, "afterParameters": true, "afterResultSelector": true, "afterResultPath": true},
	asl.Task: {"afterInputPath": true, "afterParameters": true, "afterResultSelector": true, "afterResultPath": true,
		"afterArguments": true},
	asl.Map: {"afterInputPath": true, "afterItemsPath": true, "afterItemSelector": true, "afterResultSelector": true,
		"afterResultPath": true},
	asl.Parallel: {"afterResultSelector": true, "afterResultPath": true},
	asl.Choice:   {"afterInputPath": true},
	asl.Wait:     {"afterInputPath": true},
	asl.Succeed:  {"afterInputPath": true},
	asl.Fail:     {"afterInputPath": true},
}

// note records the value after a stage of the state's work, if TestState has this stage for this type.
func (t *test) note(f *frame, stage string, d *data) {
	if t == nil || !shown[f.state.Type][stage] || (stage == "afterArguments") != f.state.JSONata {
		return
	}
	t.inspection.Set(stage, string(d.bytes()))
}

// result records the result of the state's call, or of its Result field.
func (t *test) result(d *data) *data {
	if t != nil {
		t.inspection.Set("result", string(d.bytes()))
	}
	return d
}

// items records the items of a Map.
func (t *test) items(f *frame, d *data) {
	list, _ := d.value().([]any)
	texts := make([][]byte, len(list))
	for i, item := range list {
		texts[i] = value.Bytes(item)
	}
	t.list(f, "afterItemsPath", texts)
}

// list records a stage whose value is an array. TestState formats these with a space after each comma.
func (t *test) list(f *frame, stage string, texts [][]byte) {
	if t == nil || f.state.JSONata {
		return
	}
	t.inspection.Set(stage, "["+string(bytes.Join(texts, []byte(", ")))+"]")
}

func (t *test) number(key string, n float64) {
	if t != nil {
		t.inspection.Set(key, value.Float(n))
	}
}

// retry records the retrier that matches the error; without an interval if it has no attempts left.
func (t *test) retry(index int, retrier *asl.Retrier, n int) {
	if t == nil {
		return
	}
	if n < retrier.MaxAttempts {
		t.details.Set("retryBackoffIntervalSeconds", value.Int(int64(backoff(retrier, n))))
	}
	t.details.Set("retryIndex", value.Int(int64(index)))
}

// catch records the catcher that matches the error.
func (t *test) catch(index int, fail *failure) {
	if t != nil {
		t.details.Set("catchIndex", value.Int(int64(index)))
		t.caught = &failure{name: fail.name, cause: fail.cause}
	}
}

// contextOf returns the context object: the caller's, or the same as Step Functions creates.
func (t *test) contextOf(r *Run, f *frame, item *value.Object) any {
	if t.context != nil {
		return t.context
	}
	p := r.params
	var role any
	if p.RoleARN != "" {
		role = p.RoleARN
	}
	execution := object("Id", p.ExecutionARN, "Input", r.input.value(), "Name", p.Name, "RoleArn", role,
		"StartTime", Timestamp(p.StartTime))
	state := object("Name", "StateName", "EnteredTime", Timestamp(f.enteredAt))
	if retriable(f.state.Type) {
		state.Set("RetryCount", value.Int(int64(f.retried)))
	}
	c := object("Execution", execution, "StateMachine", object("Id", p.MachineARN, "Name", p.MachineName), "State", state)
	r.addTaskAndMap(c, f, item)
	return c
}

// checkTest returns the errors of TestState for invalid requests, in the recorded wordings.
func checkTest(s *asl.State, req *TestRequest) error {
	group := s.Type == asl.Map || s.Type == asl.Parallel
	switch {
	case req.Mock == nil && req.FailedIterations != nil:
		return reject("TestState does not support MapIterationFailureCount when a mock is not specified.")
	case req.Mock == nil && group:
		return &TestRejected{"InvalidDefinition", "TestState API does not support Map or Parallel states. Supported state " +
			"types include: [Task, Wait, Pass, Succeed, Fail, Choice]"}
	case req.Mock == nil && s.Type == asl.Task && req.Params.RoleARN == "":
		return reject("RoleArn must be specified when testing a Task state")
	case req.Mock != nil && !group && s.Type != asl.Task:
		return reject("State type '%s' is not supported when a mock is specified", s.Type)
	case req.FailedIterations != nil && s.Type != asl.Map:
		return reject("MapIterationFailureCount is only supported when testing a Map state.")
	case req.Mock != nil && s.Type == asl.Map && s.Map.Reader != nil && req.ReaderData == nil:
		return reject("ItemReader data must be specified when testing a Map state with ItemReader specified.")
	case req.Mock != nil && req.Mock.Result == nil && req.Mock.Error == "":
		return reject("An error was not specified in the mocked error output.")
	case req.Mock == nil || req.Mock.Result == nil:
		return nil
	}
	v, err := value.Parse(req.Mock.Result)
	if err != nil {
		return reject("Mocked result must be valid JSON")
	}
	return checkMock(s, req, v)
}

// checkMock checks that a mocked result has the type and length that the state's result would have.
func checkMock(s *asl.State, req *TestRequest, result any) error {
	list, isList := result.([]any)
	_, isObject := result.(*value.Object)
	switch {
	case s.Type == asl.Map && s.Map.Writer != nil && !isObject:
		return reject("Mocked result must be a JSON object.")
	case s.Type == asl.Map && s.Map.Writer == nil && !isList, s.Type == asl.Parallel && !isList:
		return reject("Mocked result must be an array.")
	case s.Type == asl.Task && answersObject(s.Resource) && !isObject:
		return reject("Mocked result must be a valid JSON object.")
	case s.Type == asl.Parallel && len(list) != len(s.Branches):
		return reject("Mocked result must contain the same number of items as number of Parallel branches.")
	case s.Type == asl.Map && req.FailedIterations != nil && *req.FailedIterations > int64(len(list)) && isList:
		return reject("Map iteration failure count must be less than or equal to the number of Map iterations")
	}
	return nil
}

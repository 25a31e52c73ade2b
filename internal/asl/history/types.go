package history

// The types of events, except those that end in StateEntered and StateExited: Entered and Exited return them.
const (
	ExecutionStarted   Type = "ExecutionStarted"
	ExecutionSucceeded Type = "ExecutionSucceeded"
	ExecutionFailed    Type = "ExecutionFailed"
	ExecutionTimedOut  Type = "ExecutionTimedOut"
	ExecutionAborted   Type = "ExecutionAborted"
	ExecutionRedriven  Type = "ExecutionRedriven"

	TaskScheduled   Type = "TaskScheduled"
	TaskStarted     Type = "TaskStarted"
	TaskStartFailed Type = "TaskStartFailed"
	TaskSubmitted   Type = "TaskSubmitted"
	TaskSucceeded   Type = "TaskSucceeded"
	TaskFailed      Type = "TaskFailed"
	TaskTimedOut    Type = "TaskTimedOut"

	LambdaFunctionScheduled      Type = "LambdaFunctionScheduled"
	LambdaFunctionScheduleFailed Type = "LambdaFunctionScheduleFailed"
	LambdaFunctionStarted        Type = "LambdaFunctionStarted"
	LambdaFunctionStartFailed    Type = "LambdaFunctionStartFailed"
	LambdaFunctionSucceeded      Type = "LambdaFunctionSucceeded"
	LambdaFunctionFailed         Type = "LambdaFunctionFailed"
	LambdaFunctionTimedOut       Type = "LambdaFunctionTimedOut"

	ActivityScheduled      Type = "ActivityScheduled"
	ActivityScheduleFailed Type = "ActivityScheduleFailed"
	ActivityStarted        Type = "ActivityStarted"
	ActivitySucceeded      Type = "ActivitySucceeded"
	ActivityFailed         Type = "ActivityFailed"
	ActivityTimedOut       Type = "ActivityTimedOut"

	ParallelStateStarted   Type = "ParallelStateStarted"
	ParallelStateSucceeded Type = "ParallelStateSucceeded"
	ParallelStateFailed    Type = "ParallelStateFailed"
	ParallelStateAborted   Type = "ParallelStateAborted"
	MapStateStarted        Type = "MapStateStarted"
	MapStateSucceeded      Type = "MapStateSucceeded"
	MapStateFailed         Type = "MapStateFailed"
	MapStateAborted        Type = "MapStateAborted"
	MapIterationStarted    Type = "MapIterationStarted"
	MapIterationSucceeded  Type = "MapIterationSucceeded"
	MapIterationFailed     Type = "MapIterationFailed"
	MapIterationAborted    Type = "MapIterationAborted"
	MapRunStarted          Type = "MapRunStarted"
	MapRunSucceeded        Type = "MapRunSucceeded"
	MapRunFailed           Type = "MapRunFailed"
	MapRunAborted          Type = "MapRunAborted"
	MapRunRedriven         Type = "MapRunRedriven"
	WaitStateAborted       Type = "WaitStateAborted"
	TaskStateAborted       Type = "TaskStateAborted"

	EvaluationFailed Type = "EvaluationFailed"
)

// Entered returns the type of the event with which a state of this type (Pass, Task, ...) is entered.
func Entered(stateType string) Type { return Type(stateType + "StateEntered") }

// Exited returns the type of the event with which a state of this type is exited.
func Exited(stateType string) Type { return Type(stateType + "StateExited") }

// shape describes the details object of an event.
type shape struct {
	details string // the name of the object; empty if the type has none
	fields  string // its fields, as keys of setters in api.go
}

var (
	entered   = shape{"stateEnteredEventDetails", "ni"}
	exited    = shape{"stateExitedEventDetails", "noa"}
	failure   = "ec"
	iteration = "nx"
	taskEnd   = "rtec"
)

// codes defines the number under which the store encodes each type: add new types at the end, and never move one.
var codes = []struct {
	typ   Type
	shape shape
}{
	{ExecutionStarted, shape{"executionStartedEventDetails", "iRAV"}},
	{ExecutionSucceeded, shape{"executionSucceededEventDetails", "o"}},
	{ExecutionFailed, shape{"executionFailedEventDetails", failure}},
	{ExecutionTimedOut, shape{"executionTimedOutEventDetails", failure}},
	{ExecutionAborted, shape{"executionAbortedEventDetails", failure}},
	{ExecutionRedriven, shape{"executionRedrivenEventDetails", "d"}},
	{"PassStateEntered", entered}, {"PassStateExited", exited},
	{"TaskStateEntered", entered}, {"TaskStateExited", exited},
	{"ChoiceStateEntered", entered}, {"ChoiceStateExited", exited},
	{"WaitStateEntered", entered}, {"WaitStateExited", exited},
	{"SucceedStateEntered", entered}, {"SucceedStateExited", exited},
	{"FailStateEntered", entered},
	{"ParallelStateEntered", entered}, {"ParallelStateExited", exited},
	{"MapStateEntered", entered}, {"MapStateExited", exited},
	{TaskScheduled, shape{"taskScheduledEventDetails", "rtgpTHC"}},
	{TaskStarted, shape{"taskStartedEventDetails", "rt"}},
	{TaskStartFailed, shape{"taskStartFailedEventDetails", taskEnd}},
	{TaskSubmitted, shape{"taskSubmittedEventDetails", "rto"}},
	{TaskSucceeded, shape{"taskSucceededEventDetails", "rto"}},
	{TaskFailed, shape{"taskFailedEventDetails", taskEnd}},
	{TaskTimedOut, shape{"taskTimedOutEventDetails", taskEnd}},
	{LambdaFunctionScheduled, shape{"lambdaFunctionScheduledEventDetails", "riTC"}},
	{LambdaFunctionScheduleFailed, shape{"lambdaFunctionScheduleFailedEventDetails", failure}},
	{LambdaFunctionStarted, shape{}},
	{LambdaFunctionStartFailed, shape{"lambdaFunctionStartFailedEventDetails", failure}},
	{LambdaFunctionSucceeded, shape{"lambdaFunctionSucceededEventDetails", "o"}},
	{LambdaFunctionFailed, shape{"lambdaFunctionFailedEventDetails", failure}},
	{LambdaFunctionTimedOut, shape{"lambdaFunctionTimedOutEventDetails", failure}},
	{ActivityScheduled, shape{"activityScheduledEventDetails", "riTH"}},
	{ActivityScheduleFailed, shape{"activityScheduleFailedEventDetails", failure}},
	{ActivityStarted, shape{"activityStartedEventDetails", "w"}},
	{ActivitySucceeded, shape{"activitySucceededEventDetails", "o"}},
	{ActivityFailed, shape{"activityFailedEventDetails", failure}},
	{ActivityTimedOut, shape{"activityTimedOutEventDetails", failure}},
	{ParallelStateStarted, shape{}}, {ParallelStateSucceeded, shape{}},
	{ParallelStateFailed, shape{}}, {ParallelStateAborted, shape{}},
	{MapStateStarted, shape{"mapStateStartedEventDetails", "l"}},
	{MapStateSucceeded, shape{}}, {MapStateFailed, shape{}}, {MapStateAborted, shape{}},
	{MapIterationStarted, shape{"mapIterationStartedEventDetails", iteration}},
	{MapIterationSucceeded, shape{"mapIterationSucceededEventDetails", iteration}},
	{MapIterationFailed, shape{"mapIterationFailedEventDetails", iteration}},
	{MapIterationAborted, shape{"mapIterationAbortedEventDetails", iteration}},
	{MapRunStarted, shape{"mapRunStartedEventDetails", "m"}},
	{MapRunSucceeded, shape{}},
	{MapRunFailed, shape{"mapRunFailedEventDetails", failure}},
	{MapRunAborted, shape{}},
	{MapRunRedriven, shape{"mapRunRedrivenEventDetails", "md"}},
	{WaitStateAborted, shape{}}, {TaskStateAborted, shape{}},
	{EvaluationFailed, shape{"evaluationFailedEventDetails", "ecLS"}},
}

// codeOf maps a type to its index in codes.
var codeOf = func() map[Type]uint64 {
	m := make(map[Type]uint64, len(codes))
	for i, c := range codes {
		m[c.typ] = uint64(i)
	}
	return m
}()

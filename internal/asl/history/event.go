// Package history holds execution events in Step Functions' own vocabulary: their types, the compact form that the
// store keeps, and the JSON that GetExecutionHistory shows. It decides nothing; interp makes the events, engine keeps
// them, api and the commands show them.
package history

import "time"

// Type is an event's type exactly as GetExecutionHistory names it, such as TaskStateEntered.
type Type string

// Event is one event, a flat union of what the types need; ToAPI puts the fields into the details object that the type
// has in Step Functions' own shape. Payloads (Input, Output, Parameters, AssignedVariables values) are JSON texts: compact where we
// made them, as given where a caller or a service did.
type Event struct {
	ID, Previous int64
	Time         time.Time // to the millisecond
	Type         Type

	Name              string // state's or map iteration's name; of ExecutionRedriven the client token, which is not shown
	Input, Output     []byte
	AssignedVariables map[string]string // values are JSON texts
	Error, Cause      string

	RoleARN         string
	StateMachineARN string // only where the API shows one: alias and version
	AliasARN        string
	VersionARN      string

	Resource, ResourceType, Region string
	Parameters                     []byte
	TimeoutSeconds                 int64 // 0: not shown
	HeartbeatSeconds               int64
	CredentialsARN                 string // taskCredentials.roleArn
	WorkerName                     string

	Index, Length int64  // Map
	MapRunARN     string // MapRunStarted, MapRunRedriven
	RedriveCount  int64

	State, Location, Arguments string // EvaluationFailed
}

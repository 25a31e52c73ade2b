// Package history defines the events of executions, in the vocabulary of Step Functions: their types, the compact form in
// which they are stored, and the JSON of GetExecutionHistory. interp creates the events, engine stores them, and api and the
// commands show them.
package history

import "time"

// Type is the type of an event, exactly as in GetExecutionHistory, such as TaskStateEntered.
type Type string

// Event is an event of any type: it has the union of their fields. ToAPI writes those that the type has in Step Functions.
// Payloads (Input, Output, Parameters, and the values of AssignedVariables) are JSON texts: compact if rayorch created them,
// unchanged if they come from a caller or a service.
type Event struct {
	ID, Previous int64
	Time         time.Time // in milliseconds
	Type         Type

	Name              string // of the state or map iteration; for ExecutionRedriven the client token, which the API does not show
	Input, Output     []byte
	AssignedVariables map[string]string // values are JSON texts
	Error, Cause      string

	RoleARN         string
	StateMachineARN string // set only if the API shows an alias or a version
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

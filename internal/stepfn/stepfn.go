// Package stepfn names what Step Functions fixes and several packages share: limits, statuses, error names, ARNs and resources, and
// what rayorch adds to them in the same form. Its only functions parse and build ARNs. It imports
// none of our packages, so every package may use it. A limit or name that one package alone needs stays in that package.
package stepfn

// Limits of Step Functions and CloudFormation. Sizes are in bytes of UTF-8.
const (
	// MaxEvents is the length of a Standard execution's history: the execution fails when it reaches it.
	MaxEvents = 25_000
	// MaxPayload is the size of a state's input or output, of an execution's input, and of a task's result.
	MaxPayload = 262_144
	// MaxDefinition is the size of a state machine's definition.
	MaxDefinition = 1 << 20
	// MaxError and MaxCause are the lengths that are kept of an error's name and cause; the rest is cut off.
	MaxError = 256
	MaxCause = 32_768
	// MaxName is the length of the name of a state machine, execution, activity or alias, in characters.
	MaxName = 80
	// MaxPage is the most items that one page of a list has, and MaxSeconds the longest timeout or wait.
	MaxPage    = 1000
	MaxSeconds = 99_999_999
	// MaxInlineTemplate is the size of a CloudFormation template within a request, and MaxTemplate that of one in a bucket.
	MaxInlineTemplate = 51_200
	MaxTemplate       = 1_000_000
)

// Status is the status of an execution or a map run.
type Status string

// The statuses. PendingRedrive is a map run's child that a redrive of its parent is going to restart.
const (
	Running        Status = "RUNNING"
	Succeeded      Status = "SUCCEEDED"
	Failed         Status = "FAILED"
	TimedOut       Status = "TIMED_OUT"
	Aborted        Status = "ABORTED"
	PendingRedrive Status = "PENDING_REDRIVE"
)

// The types of a state machine.
const (
	Standard = "STANDARD"
	Express  = "EXPRESS"
)

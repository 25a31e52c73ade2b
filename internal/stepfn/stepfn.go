// Package stepfn contains names and limits that Step Functions defines and that several packages need: limits, statuses,
// error names, ARNs and resources, and rayorch's own additions to them. It has no logic except parsing and building ARNs. It
// imports none of our packages, so that every package can import it. A limit or name that only one package needs belongs in
// that package.
package stepfn

// Limits of Step Functions and CloudFormation. Sizes are in bytes of UTF-8.
const (
	// MaxEvents is the maximum length of the history of a Standard execution, which fails when it reaches it.
	MaxEvents = 25_000
	// MaxPayload is the maximum size of a state's input or output, of an execution's input, and of a task's result (256 KiB).
	MaxPayload = 262_144
	// MaxDefinition is the maximum size of the definition of a state machine (1 MiB).
	MaxDefinition = 1 << 20
	// MaxError and MaxCause are the maximum lengths of an error's name and cause; longer texts are truncated.
	MaxError = 256
	MaxCause = 32_768
	// MaxName is the maximum length of the name of a state machine, execution, activity or alias, in characters.
	MaxName = 80
	// MaxPage is the maximum number of items on one page of a list. MaxSeconds is the longest timeout or wait, in seconds.
	MaxPage    = 1000
	MaxSeconds = 99_999_999
	// MaxInlineTemplate is the maximum size of a CloudFormation template in a request, and MaxTemplate that of one in a
	// bucket.
	MaxInlineTemplate = 51_200
	MaxTemplate       = 1_000_000
)

// Status is the status of an execution or a map run.
type Status string

// The statuses. PendingRedrive is the status of a child of a map run that a redrive of its parent will restart.
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

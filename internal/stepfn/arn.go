package stepfn

import "strings"

// The kinds of resource that an ARN of Step Functions names.
const (
	KindMachine   = "stateMachine"
	KindExecution = "execution"
	KindExpress   = "express"
	KindActivity  = "activity"
	KindMapRun    = "mapRun"
)

// ARN is the parts of an ARN: arn:PARTITION:states:REGION:ACCOUNT:KIND:NAME[:QUALIFIER...].
type ARN struct {
	Partition, Region, Account, Kind, Name string
	// Qualifier is what follows the name: a version's number, an alias, an execution's name.
	Qualifier string
}

// ParseARN reports whether s is an ARN of Step Functions, and returns its parts.
func ParseARN(s string) (ARN, bool) {
	parts := strings.SplitN(s, ":", 8)
	if len(parts) < 7 || parts[0] != "arn" || parts[2] != "states" || parts[6] == "" {
		return ARN{}, false
	}
	a := ARN{Partition: parts[1], Region: parts[3], Account: parts[4], Kind: parts[5], Name: parts[6]}
	if len(parts) == 8 {
		a.Qualifier = parts[7]
	}
	return a, true
}

func (a ARN) String() string {
	s := strings.Join([]string{"arn", a.Partition, "states", a.Region, a.Account, a.Kind, a.Name}, ":")
	if a.Qualifier != "" {
		s += ":" + a.Qualifier
	}
	return s
}

// NewARN is the ARN of a resource in the partition aws; the qualifier may be empty.
func NewARN(region, account, kind, name, qualifier string) string {
	return ARN{Partition: "aws", Region: region, Account: account, Kind: kind, Name: name, Qualifier: qualifier}.String()
}

// KindOf is the kind of resource that an ARN names, or empty for any other text.
func KindOf(arn string) string {
	a, _ := ParseARN(arn)
	return a.Kind
}

// NameOf is the last part of an ARN: the name of an execution or of a state machine.
func NameOf(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }

// MachineOf is the ARN of the state machine of an execution or a map run, with the label of the Map for the map run and its children.
// It is empty for any other text.
func MachineOf(arn string) string {
	a, ok := ParseARN(arn)
	if !ok {
		return ""
	}
	a.Kind, a.Qualifier = KindMachine, ""
	return a.String()
}

// Unqualified is the ARN of a state machine without its version or alias. Any other text stays as it is.
func Unqualified(machineARN string) string {
	a, ok := ParseARN(machineARN)
	if !ok {
		return machineARN
	}
	a.Qualifier = ""
	return a.String()
}

// ExecutionOf is the ARN of a standard execution of a state machine, version or alias.
func ExecutionOf(machineARN, name string) string {
	a, _ := ParseARN(machineARN)
	a.Kind, a.Qualifier = KindExecution, name
	return a.String()
}

// Integration is what the ARN of a service integration starts with, which a Task names as its Resource.
const Integration = "arn:aws:states:::"

// The integrations that compiled pipelines use. Ray's and the local processes' are rayorch's own.
const (
	RayPrefix      = Integration + "ray:"
	RaySubmitJob   = RayPrefix + "submitJob.sync"
	RayStopJobs    = RayPrefix + "stopJobs"
	ProcessPrefix  = Integration + "process:"
	ProcessRun     = ProcessPrefix + "run.sync"
	ProcessStop    = ProcessPrefix + "stop"
	EKSRunJob      = Integration + "eks:runJob.sync"
	EKSCall        = Integration + "eks:call"
	StartExecution = Integration + "states:startExecution"
)

// CleanupSuffix ends the name of a cleanup machine. CleanupTag is the key of the tag by which a state machine names its cleanup machine,
// with the ARN as its value. It is a tag because every client of the API can set one.
const (
	CleanupSuffix = "-cleanup"
	CleanupTag    = "rayorch:cleanup"
)

package stepfn

import "strings"

// The kinds of resources that have an ARN of Step Functions.
const (
	KindMachine   = "stateMachine"
	KindExecution = "execution"
	KindExpress   = "express"
	KindActivity  = "activity"
	KindMapRun    = "mapRun"
)

// ARN is a parsed ARN: arn:PARTITION:states:REGION:ACCOUNT:KIND:NAME[:QUALIFIER...].
type ARN struct {
	Partition, Region, Account, Kind, Name string
	// Qualifier is the part after the name: a version number, an alias, or the name of an execution.
	Qualifier string
}

// ParseARN parses an ARN of Step Functions; false if s is not one.
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

// NewARN returns the ARN of a resource in the partition aws. The qualifier may be empty.
func NewARN(region, account, kind, name, qualifier string) string {
	return ARN{Partition: "aws", Region: region, Account: account, Kind: kind, Name: name, Qualifier: qualifier}.String()
}

// KindOf returns the kind of resource of an ARN, "" if the text is not an ARN.
func KindOf(arn string) string {
	a, _ := ParseARN(arn)
	return a.Kind
}

// NameOf returns the last part of an ARN, such as the name of an execution or of a state machine.
func NameOf(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }

// MachineOf returns the ARN of the state machine of an execution or a map run, "" if the text is not an ARN. For a map run
// and its children, the label of the Map is a part of the name.
func MachineOf(arn string) string {
	a, ok := ParseARN(arn)
	if !ok {
		return ""
	}
	a.Kind, a.Qualifier = KindMachine, ""
	return a.String()
}

// Unqualified returns the ARN of a state machine without its version or alias. It returns any other text unchanged.
func Unqualified(machineARN string) string {
	a, ok := ParseARN(machineARN)
	if !ok {
		return machineARN
	}
	a.Qualifier = ""
	return a.String()
}

// ExecutionOf returns the ARN of a Standard execution of a state machine, version or alias.
func ExecutionOf(machineARN, name string) string {
	a, _ := ParseARN(machineARN)
	a.Kind, a.Qualifier = KindExecution, name
	return a.String()
}

// Integration is the prefix of the ARNs of service integrations, which are Resources of Tasks.
const Integration = "arn:aws:states:::"

// The integrations that compiled pipelines use. Those of Ray and of local processes exist only in rayorch.
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

// CleanupSuffix is the suffix of the names of cleanup machines. CleanupTag is the key of the tag whose value is the ARN of a state
// machine's cleanup machine. It is a tag because every client of the API can set one.
const (
	CleanupSuffix = "-cleanup"
	CleanupTag    = "rayorch:cleanup"
)

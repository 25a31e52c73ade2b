package stack

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// Identity is what a deployment is called by whoever deploys it: Seed-Farmer's names, or a pipeline's.
type Identity struct {
	Project, Deployment, Module string
	// Pipeline names the deployment where Seed-Farmer does not.
	Pipeline string
	// Stack goes before all of them.
	Stack string
}

// Names are all names that AWS and Kubernetes get. Each is cut to its limit with a hash of the whole, so that two
// deployments never share one, however alike their long names begin.
type Names struct {
	// Stack is the stack's name.
	Stack string
	// Machine is the state machine's, Clean that of its cleanup machine.
	Machine, Clean string
	// LogGroup is where both write.
	LogGroup string
	// User is the service account's name, and the Kubernetes user's that the state machine is.
	User string
	// Roles hold "${AWS::Region}": IAM knows no regions, so that two regions of an account would clash otherwise.
	MachineRole, PodRole, EventRole, ScheduleRole string
	// Rule, Schedule, Alarm, Topic and Alias are those of the options.
	Rule, Schedule, Alarm, Topic, Alias string
	// Labels are what Seed-Farmer calls the deployment, for tags.
	Identity Identity
}

// Limits of AWS, in characters.
const (
	maxStack    = 128
	maxMachine  = 80
	maxRole     = 64
	maxRule     = 64
	maxSchedule = 64
	maxAlarm    = 255
	maxTopic    = 256
	maxLabel    = 63
	maxTagValue = 256
	maxRegion   = 16 // ap-southeast-1 has 14; those of other partitions may grow
)

// machinePrefix is what the published module's state machine's name starts with; its user guide searches for it.
const machinePrefix = "TrainingOnEks"

// NewNames computes all names.
func NewNames(id Identity, machine string) Names {
	stack := id.Stack
	switch {
	case stack != "":
	case id.Project != "" || id.Deployment != "" || id.Module != "":
		stack = strings.Join([]string{id.Project, id.Deployment, id.Module}, "-")
	default:
		stack = "rayorch-" + id.Pipeline
	}
	// The published module names both so; a deployment over it must find the same service account.
	user := id.Module
	if user == "" {
		user = stack
	}
	stack = cut(plainName(stack), maxStack)
	if machine == "" {
		machine = machinePrefix + "-" + stack
	}
	machine = cut(machine, maxMachine-len(stepfn.CleanupSuffix))
	role := func(suffix string) string {
		return cut(stack, maxRole-maxRegion-len(suffix)-1) + suffix + regionSuffix
	}
	return Names{
		Stack: stack, Machine: machine, Clean: machine + stepfn.CleanupSuffix,
		LogGroup:    "/aws/vendedlogs/states/" + stack,
		User:        kubeName(user),
		MachineRole: role("-states"), PodRole: role("-pods"), EventRole: role("-events"), ScheduleRole: role("-schedule"),
		Rule: cut(stack, maxRule-len(stepfn.CleanupSuffix)) + stepfn.CleanupSuffix, Schedule: cut(stack, maxSchedule),
		Alarm: cut(stack, maxAlarm-7) + "-failed", Topic: cut(stack, maxTopic-7) + "-failed", Alias: "alias/" + stack,
		Identity: id,
	}
}

// regionSuffix ends the names of roles.
const regionSuffix = "-${AWS::Region}"

// cut shortens a name to its limit; what was lost lives on in a hash.
func cut(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	const digits = 8
	return strings.TrimRight(name[:limit-digits-1], "-") + "-" + hash(name)[:digits]
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// clip cuts text that nothing refers to.
func clip(text string, limit int) string { return text[:min(len(text), limit)] }

var notPlain = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// plainName makes a stack's name: letters, digits and dashes, a letter first.
func plainName(name string) string {
	plain := strings.Trim(notPlain.ReplaceAllString(name, "-"), "-")
	if plain == "" || plain[0] < 'A' {
		plain = "s" + plain
	}
	return plain
}

// kubeName makes a DNS label. Names that differ only in what a label cannot hold get a hash.
func kubeName(name string) string {
	label := strings.Trim(notPlain.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if label != name {
		label = strings.Trim(cut(label, maxLabel-9)+"-"+hash(name)[:8], "-")
	}
	return cut(label, maxLabel)
}

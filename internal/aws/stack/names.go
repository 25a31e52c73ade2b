package stack

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// Identity identifies a deployment. NewNames derives the names of all resources from it.
type Identity struct {
	// Project, Deployment and Module are Seed-Farmer's names; all are empty outside Seed-Farmer.
	Project, Deployment, Module string
	// Pipeline is the name of the pipeline, which is used outside Seed-Farmer.
	Pipeline string
	// Stack is the name of the stack if the user set one. It takes precedence over the other names.
	Stack string
}

// Names has the names of all resources in AWS and Kubernetes. A name that is too long is cut off and gets a hash of the full
// name as suffix, so that two deployments never share a name, even if their long names only differ at the end.
type Names struct {
	// Stack is the name of the CloudFormation stack.
	Stack string
	// Machine is the name of the state machine, Clean that of the cleanup state machine.
	Machine, Clean string
	// LogGroup is the log group of both state machines.
	LogGroup string
	// User is the name of the pods' service account, and of the Kubernetes user that the state machine's role is mapped to.
	User string
	// The names of roles contain "${AWS::Region}": roles are global in an account, so that deployments of the same name in
	// two regions would conflict otherwise.
	MachineRole, PodRole, EventRole, ScheduleRole string
	// Rule is the EventBridge rule that starts the cleanup state machine. The others belong to optional resources.
	Rule, Schedule, Alarm, Topic, Alias string
	// Identity is what the names were derived from, for tags.
	Identity Identity
}

// Maximum lengths in AWS and Kubernetes, in characters.
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
	maxRegion   = 16 // the longest today, ap-southeast-1, has 14
)

// machinePrefix is the prefix of the state machine's name in the published module, whose user guide searches for it.
const machinePrefix = "TrainingOnEks"

// NewNames derives all names from the identity of the deployment and the name of the state machine; "" for the default.
func NewNames(id Identity, machine string) Names {
	stack := id.Stack
	switch {
	case stack != "":
	case id.Project != "" || id.Deployment != "" || id.Module != "":
		stack = strings.Join([]string{id.Project, id.Deployment, id.Module}, "-")
	default:
		stack = "rayorch-" + id.Pipeline
	}
	// As in the published module: a deployment that replaces it must use the same service account.
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

// regionSuffix is the suffix of the names of roles, for Fn::Sub.
const regionSuffix = "-${AWS::Region}"

// cut shortens a name to the limit. A shortened name ends with a hash of the full name.
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

// clip truncates text that does not have to be unique, such as a description.
func clip(text string, limit int) string { return text[:min(len(text), limit)] }

var notPlain = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// plainName converts a name to a valid name of a stack: letters, digits and hyphens, starting with a letter.
func plainName(name string) string {
	plain := strings.Trim(notPlain.ReplaceAllString(name, "-"), "-")
	if plain == "" || plain[0] < 'A' {
		plain = "s" + plain
	}
	return plain
}

// kubeName converts a name to a DNS label. If the name is not a valid label, the result contains a hash of it, so that names
// that only differ in invalid characters do not conflict.
func kubeName(name string) string {
	label := strings.Trim(notPlain.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if label != name {
		label = strings.Trim(cut(label, maxLabel-9)+"-"+hash(name)[:8], "-")
	}
	return cut(label, maxLabel)
}

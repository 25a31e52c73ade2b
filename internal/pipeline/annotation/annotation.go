// Package annotation defines the annotation of a compiled state: its pipeline step and its role, as compact JSON in the state's
// Comment. The compiler writes annotations, and everything that shows a run reads them. State names are for people only and may change
// in any release. A definition that was compiled by an earlier release, or not by rayorch, has no annotations; its states are shown as
// plain states.
package annotation

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Role is the purpose of a state.
type Role string

// Roles of the states around the steps.
const (
	Params  Role = "params"  // reads and checks the parameters
	Outputs Role = "outputs" // builds the execution's output
	Cleanup Role = "clean-up"
)

// Roles of a step's states. A state with role Run does the work: it is a Task, or a Parallel whose states make the attempts.
const (
	Run       Role = "run"
	Condition Role = "condition"
	Skip      Role = "skip" // the condition did not hold
	Fail      Role = "fail" // fails with the step's failure, after its cleanup if it has one
)

// Roles of the states of groups: parallel and forEach steps, and groups of steps that the compiler runs at the same time because of
// their order. The latter have no Step.
const (
	Group     Role = "group"
	Choose    Role = "choose"    // chooses the step of an iteration
	Item      Role = "item"      // assigns an iteration's item
	Collect   Role = "collect"   // collects the outputs of a branch
	Try       Role = "try"       // contains states whose failure is tolerated
	Tolerated Role = "tolerated" // follows a Try that failed
	Tolerate  Role = "tolerate"  // counts the failures
	Refuse    Role = "refuse"    // fails because there are too many failures
)

// Roles of the states that make the attempts in a cluster, inside a Parallel with role Run.
const (
	Begin       Role = "begin"        // before the first attempt
	Attempt     Role = "attempt"      // starts an attempt
	Submit      Role = "submit"       // starts the job; in submission mode job, also follows it to its end
	Watch       Role = "watch"        // a Parallel that submits the job and watches whether its pod starts
	Wait        Role = "wait"         // waits between two polls
	Poll        Role = "poll"         // reads the job's status
	Judge       Role = "judge"        // chooses the next state by the job's status
	WaitStart   Role = "wait-start"   // waits between two polls of the pod's start
	PollStart   Role = "poll-start"   // reads the pod's status
	JudgeStart  Role = "judge-start"  // chooses the next state by the pod's status
	Started     Role = "started"      // the pod has started, or cannot be watched
	Diagnose    Role = "diagnose"     // finds the reason why the job failed or does not start
	ReadOutput  Role = "read-output"  // reads the step's output
	CheckOutput Role = "check-output" // checks the output against its declaration
	Stop        Role = "stop"         // stops the job, or deletes what the attempt created
	Decide      Role = "decide"       // decides whether to retry after a failed attempt
	Retry       Role = "retry"        // waits for the next attempt
	GiveUp      Role = "give-up"      // fails with the last attempt's failure
)

// Scope is the part of a step that attempts belong to. It is "" for the step's job.
type Scope string

// Scopes.
const (
	OnFailure Scope = "on-failure" // the step's cleanup
	Files     Scope = "files"      // placing working directories on the storage, which is not part of a step
)

// State is the annotation of a state.
type State struct {
	Step  string `json:"step,omitempty"` // the pipeline step, if any
	Role  Role   `json:"role"`
	Scope Scope  `json:"scope,omitempty"`
}

// Comment returns the annotation as the Comment of the state.
func (s State) Comment() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("annotation: %v", err)) // cannot happen: the struct has only strings
	}
	return string(b)
}

// Parse parses a state's Comment. ok is false if it is not an annotation.
func Parse(comment string) (s State, ok bool) {
	if !strings.HasPrefix(comment, "{") {
		return State{}, false
	}
	err := json.Unmarshal([]byte(comment), &s)
	return s, err == nil && s.Role != ""
}

// Package annotation is what a compiled state says about itself: the pipeline step that it works for and its role, as compact JSON in
// the state's Comment. The compiler writes it. Everything that shows a run reads it instead of the state's name, which is for people
// and may change in any release. A definition that rayorch did not compile, or that an earlier release compiled, has no annotations:
// its states are shown as they are.
package annotation

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Role is what a state does.
type Role string

// Roles of the states around the steps.
const (
	Params  Role = "params"  // reads and checks the parameters
	Outputs Role = "outputs" // builds the execution's output
	Cleanup Role = "clean-up"
)

// Roles of a step's states. Run does a piece of work: a Task, or a Parallel whose states make the attempts.
const (
	Run       Role = "run"
	Condition Role = "condition"
	Skip      Role = "skip" // the condition did not hold
	Fail      Role = "fail" // fails with the step's failure, after its cleanup if it has one
)

// Roles of the states of groups: parallel and forEach, and steps that run at the same time because of their order (which have no step).
const (
	Group     Role = "group"
	Choose    Role = "choose"    // picks the step of an iteration
	Item      Role = "item"      // assigns an iteration's item
	Collect   Role = "collect"   // collects the outputs of a branch
	Try       Role = "try"       // contains what may fail
	Tolerated Role = "tolerated" // follows a try that failed
	Tolerate  Role = "tolerate"  // counts the failures
	Refuse    Role = "refuse"    // fails because of too many failures
)

// Roles of the states inside a Parallel of role Run: they make the attempts in a cluster.
const (
	Begin       Role = "begin"        // before the first attempt
	Attempt     Role = "attempt"      // begins an attempt
	Submit      Role = "submit"       // starts the job; in submission mode job also follows it to its end
	Watch       Role = "watch"        // a Parallel: submits the job, and watches whether its pod starts
	Wait        Role = "wait"         // between two polls
	Poll        Role = "poll"         // reads the job's status
	Judge       Role = "judge"        // decides by the job's status
	WaitStart   Role = "wait-start"   // between two polls of whether the pod starts
	PollStart   Role = "poll-start"   // reads the pod's status
	JudgeStart  Role = "judge-start"  //
	Started     Role = "started"      // the pod has started, or cannot be watched
	Diagnose    Role = "diagnose"     // finds out why the job failed or does not start
	ReadOutput  Role = "read-output"  //
	CheckOutput Role = "check-output" //
	Stop        Role = "stop"         // stops the job, or deletes what the attempt created
	Decide      Role = "decide"       // after a failed attempt
	Retry       Role = "retry"        // waits for the next attempt
	GiveUp      Role = "give-up"      // fails with the last attempt's failure
)

// Scope is the part of a step's work that the attempts are for.
type Scope string

// Scopes. The step's own work has none.
const (
	OnFailure Scope = "on-failure" // the step's cleanup
	Files     Scope = "files"      // placing working directories on the storage, which belongs to no step
)

// State is what a state says about itself.
type State struct {
	Step  string `json:"step,omitempty"` // the pipeline step, if any
	Role  Role   `json:"role"`
	Scope Scope  `json:"scope,omitempty"`
}

// Comment is the state's Comment.
func (s State) Comment() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("annotation: %v", err)) // a struct of strings: it cannot fail
	}
	return string(b)
}

// Parse reads a state's Comment; ok is false if it is no annotation.
func Parse(comment string) (s State, ok bool) {
	if !strings.HasPrefix(comment, "{") {
		return State{}, false
	}
	err := json.Unmarshal([]byte(comment), &s)
	return s, err == nil && s.Role != ""
}

package deploy

import "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

// Goal is the desired state of a stack.
type Goal int

// The goals.
const (
	Deployed Goal = iota
	Gone
)

// Step is the next action on a stack.
type Step int

// The steps. After each, the stack has another status, and Next returns the following step.
const (
	Done     Step = iota // nothing: the goal is reached
	Create               // create the stack, with a change set of type CREATE
	Update               // update the stack, with a change set of type UPDATE
	Wait                 // wait for an operation in progress
	Delete               // delete the stack
	Rollback             // roll back a failed update
	Continue             // continue a failed rollback of an update
)

// String returns the step as a verb for messages.
func (s Step) String() string {
	return [...]string{"nothing", "create", "update", "wait", "delete", "roll back", "continue the rollback"}[s]
}

// noStack stands for the status of a stack that does not exist.
const noStack types.StackStatus = ""

// Next returns the next step towards the goal for a stack with the given status, so that an interrupted operation can be
// resumed from any status. It is a table with one row for each status that AWS documents.
func Next(goal Goal, status types.StackStatus) Step {
	steps, ok := nextSteps[status]
	if !ok {
		return Wait // a status that AWS added later
	}
	return steps[goal]
}

var nextSteps = map[types.StackStatus][2]Step{
	// status: {step towards Deployed, step towards Gone}
	noStack:                           {Create, Done},
	types.StackStatusDeleteComplete:   {Create, Done},
	types.StackStatusReviewInProgress: {Delete, Delete}, // an empty stack whose change set was not executed

	types.StackStatusCreateComplete:         {Update, Delete},
	types.StackStatusUpdateComplete:         {Update, Delete},
	types.StackStatusUpdateRollbackComplete: {Update, Delete},
	types.StackStatusImportComplete:         {Update, Delete},
	types.StackStatusImportRollbackComplete: {Update, Delete},

	// A stack that was never completely created can only be deleted.
	types.StackStatusCreateFailed:         {Delete, Delete},
	types.StackStatusRollbackComplete:     {Delete, Delete},
	types.StackStatusRollbackFailed:       {Delete, Delete},
	types.StackStatusDeleteFailed:         {Delete, Delete},
	types.StackStatusImportRollbackFailed: {Delete, Delete},

	types.StackStatusUpdateFailed:         {Rollback, Delete},
	types.StackStatusUpdateRollbackFailed: {Continue, Delete},

	types.StackStatusCreateInProgress:                        {Wait, Delete},
	types.StackStatusRollbackInProgress:                      {Wait, Wait},
	types.StackStatusDeleteInProgress:                        {Wait, Wait},
	types.StackStatusUpdateInProgress:                        {Wait, Wait},
	types.StackStatusUpdateCompleteCleanupInProgress:         {Wait, Wait},
	types.StackStatusUpdateRollbackInProgress:                {Wait, Wait},
	types.StackStatusUpdateRollbackCompleteCleanupInProgress: {Wait, Wait},
	types.StackStatusImportInProgress:                        {Wait, Wait},
	types.StackStatusImportRollbackInProgress:                {Wait, Wait},
}

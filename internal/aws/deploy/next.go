package deploy

import "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

// Goal is what is wanted of a stack.
type Goal int

// The goals.
const (
	Deployed Goal = iota
	Gone
)

// Step is what to do next with a stack.
type Step int

// The steps. Each leads to another status, where Next is asked again.
const (
	Done     Step = iota // nothing: the goal is reached
	Create               // make it, by a change set of type CREATE
	Update               // change it, by a change set of type UPDATE
	Wait                 // somebody's operation is under way
	Delete               // delete it
	Rollback             // roll a failed update back
	Continue             // go on with a rollback that failed
)

func (s Step) String() string {
	return [...]string{"nothing", "create", "update", "wait", "delete", "roll back", "continue the rollback"}[s]
}

// noStack is the status of a stack that is not there.
const noStack types.StackStatus = ""

// Next says what to do with a stack in a status, so that a deploy or destroy that was interrupted anywhere goes on. It is
// a table: AWS's documentation of stack statuses, one row each.
func Next(goal Goal, status types.StackStatus) Step {
	steps, ok := nextSteps[status]
	if !ok {
		return Wait // a status of tomorrow's; if it stays, the caller gives up and names it
	}
	return steps[goal]
}

var nextSteps = map[types.StackStatus][2]Step{
	// status: {to deploy, to be gone}
	noStack:                           {Create, Done},
	types.StackStatusDeleteComplete:   {Create, Done},
	types.StackStatusReviewInProgress: {Delete, Delete}, // empty: a change set that nobody executed

	types.StackStatusCreateComplete:         {Update, Delete},
	types.StackStatusUpdateComplete:         {Update, Delete},
	types.StackStatusUpdateRollbackComplete: {Update, Delete},
	types.StackStatusImportComplete:         {Update, Delete},
	types.StackStatusImportRollbackComplete: {Update, Delete},

	// What was never whole can only be deleted.
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

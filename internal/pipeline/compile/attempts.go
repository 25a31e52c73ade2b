package compile

import (
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// attempts builds the state of one step in a cluster: a Parallel with one branch, which makes up to as many attempts as the step's
// retry allows. A variable of the definition counts the attempts: each attempt needs its own id, and AWS does not document whether
// Step Functions evaluates Arguments again when it retries a task.
//
// In the branch, the states of each submission mode start with "Run STEP". They return {"Output": ...} if the job succeeds, and
// otherwise go to "Decide on STEP" with the variable end set to {Error, Cause}.
//
// The variables of the branch, with times in milliseconds since the epoch:
//
//	begun    start of the step
//	try      number of the attempt, from 1
//	id       id of the attempt: name of the Job or RayJob, or submission id of the Ray job
//	redrive  the execution's redrive count at the start of the attempt
//	since    start of the attempt
//	job      result of the last poll: status, message and other fields that the mode needs
//	ran      time at which a poll first saw the job running; 0 before
//	end      result of the attempt: {Error, Cause}; {again} submits again with the same id. Job mode adds stop (the Ray job may still
//	         be running) and foreign (the Job belongs to another execution), rayjob mode done (the result) and known (the cause is
//	         complete)
//	fail     error output of the Job's state (job mode)
//	why      reason why the Job's pod does not start (job mode)
//	refused  reason why Ray rejected the submission; "" if it did not (proxy mode)
//
// Package progress reads id, job and end from histories, by these names.
type attempts struct {
	c      *compiler
	sub    *submission
	of     string // suffix of the states' names
	states *value.Object
}

// attempts returns the state of a step; submit adds the states of an attempt in one submission mode.
func (c *compiler) attempts(s *submission, submit func(*attempts)) *value.Object {
	if c.at.stepContext = s.context; s.context != "" {
		defer func() { c.at.stepContext = "" }()
	}
	a := &attempts{c: c, sub: s, of: s.step, states: &value.Object{}}
	switch s.scope() {
	case annotation.OnFailure:
		a.of = "cleaning up after " + s.step
	case annotation.Files:
		a.of = "placing of files"
	}
	a.begin()
	submit(a)
	if a.declares() {
		a.checkOutput()
	}
	a.decide()
	return value.Obj("Type", "Parallel", "Branches", []any{value.Obj("StartAt", a.name("Begin"), "States", a.states)},
		"Retry", []any{value.Obj("ErrorEquals", []any{redriven}, "IntervalSeconds", value.Int(1), "MaxAttempts", value.Int(maxRedrives),
			"BackoffRate", value.Int(1))})
}

// name returns a state's name: words that say what it does, followed by the step.
func (a *attempts) name(words string) string { return words + " " + a.of }

// v returns a variable of the branch. A branch is a scope, so the variables have the same names in every step, and the texts that
// steps share are equal: a template contains each of them only once. Outer scopes do not use these names.
func (a *attempts) v(name string) query.Expr { return query.Var(name) }

// put adds a state to the branch. The caller may complete the state later.
func (a *attempts) put(words string, role annotation.Role, state *value.Object) {
	a.putIn(a.states, words, role, state)
}

// putIn adds a state to states, which are in the branch or nested in it, and records what its calls need.
func (a *attempts) putIn(states *value.Object, words string, role annotation.Role, state *value.Object) {
	about := annotation.State{Step: a.sub.step, Role: role, Scope: a.sub.scope()}
	if a.sub.placing {
		about.Step = "" // the files are for all steps
	}
	put(states, a.name(words), about, state)
	a.c.named(a.name(words), state)
}

// goTo returns the name of the next state.
func (a *attempts) goTo(words string) string { return a.name(words) }

// entered is the time at which the current state was entered, in milliseconds.
var entered = query.Call("toMillis", query.States("context", "State", "EnteredTime"))

// since returns the milliseconds since a moment.
func since(moment query.Expr) query.Expr { return query.Op(entered, "-", moment) }

// elapsed returns the milliseconds since the start of the attempt.
func (a *attempts) elapsed() query.Expr { return since(a.v("since")) }

// waited returns the condition that the attempt has taken longer than its pending timeout.
func (a *attempts) waited() query.Expr { return query.Op(a.elapsed(), ">", a.pendingMillis()) }

func (a *attempts) pendingMillis() query.Expr { return query.Int(1000 * a.sub.pending.Seconds()) }

// begin adds the states that start an attempt. begun is set only once per step: the wait between two polls is a share of the time since
// then. An attempt's id depends on the redrive count, so that attempts after a redrive have other ids than those that were stopped.
func (a *attempts) begin() {
	a.put("Begin", annotation.Begin, value.Obj("Type", "Pass", "Assign", value.Obj("try", value.Int(1), "begun", entered.Value()),
		"Next", a.goTo("Attempt")))
	id := a.sub.hashedID(redrives(), query.Str(a.sub.state), a.v("try"))
	assign := value.Obj("id", id.Value(), "redrive", redrives().Value(), "since", entered.Value(), "ran", value.Int(0),
		"job", &value.Object{}, "end", &value.Object{})
	a.put("Attempt", annotation.Attempt, value.Obj("Type", "Pass", "Assign", assign, "Next", a.goTo("Run")))
}

// decide adds the states that follow a failed attempt.
func (a *attempts) decide() {
	end, try := a.v("end"), a.v("try")
	rules := []any{
		// If the execution was redriven in the meantime, the attempt that was stopped does not count.
		when(query.Op(redrives(), "!=", a.v("redrive")), a.goTo("Attempt")),
		when(query.Eq(end.Get("again"), query.True), a.goTo("Wait a moment for")),
	}
	a.put("Wait a moment for", annotation.Wait, value.Obj("Type", "Wait", "Seconds", value.Int(2), "Assign", value.Obj("end", &value.Object{}),
		"Next", a.goTo("Run")))
	if r := a.sub.retry; r != nil && r.Attempts > 1 {
		rules = append(rules, when(a.retryable(), a.goTo("Wait to retry")))
		a.put("Wait to retry", annotation.Retry, value.Obj("Type", "Wait", "Seconds", a.backoff().Value(),
			"Assign", value.Obj("try", query.Op(try, "+", query.Int(1)).Value()), "Next", a.goTo("Attempt")))
	}
	a.put("Decide on", annotation.Decide, value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Give up")))
	a.put("Give up", annotation.GiveUp, value.Obj("Type", "Fail", "Error", failureOrRedriven(end.Get("Error"), a.v("redrive")).Value(),
		"Cause", query.File("readable", query.Bind("cause", end.Get("Cause"))).Value()))
}

// when returns a rule of a Choice state.
func when(condition query.Expr, next string) *value.Object {
	return value.Obj("Condition", condition.Value(), "Next", next)
}

// retryable returns the condition that an attempt is left and the error is one of those to retry.
func (a *attempts) retryable() query.Expr {
	left := query.Op(a.v("try"), "<", query.Int(int64(a.sub.retry.Attempts)))
	on, failure := a.sub.retry.Retried(a.sub.kind), a.v("end").Get("Error")
	if on[0] == stepfn.StatesALL {
		return left
	}
	named := query.Op(failure, "in", query.Strs(on))
	if slices.Contains(on, stepfn.StatesTaskFailed) { // matches all errors except timeouts
		named = query.Or(named, query.Op(failure, "!=", query.Str(stepfn.StatesTimeout)))
	}
	return query.And(left, named)
}

// backoff returns the seconds to wait before the next attempt.
func (a *attempts) backoff() query.Expr {
	r, share := a.sub.retry, query.Int(1)
	most := r.MaxInterval.Seconds()
	if r.Jitter {
		share = query.Call("random")
	}
	if most <= 0 {
		most = longestRun
	}
	return query.File("backoff", query.Bind("try", a.v("try")), query.Bind("interval", query.Int(r.Interval.Seconds())),
		query.Bind("rate", query.Literal(value.Float(r.Backoff))), query.Bind("most", query.Int(most)), query.Bind("share", share))
}

// transient returns a Retry for temporary failures, such as a busy API server or a broken connection. Errors that a repeated call would
// return again, such as EKS.404, are not retried; answered are additional ones.
func transient(attempts int64, answered ...string) []any {
	answered = append([]string{stepfn.StatesQueryEvaluationError, "EKS.400", "EKS.401", "EKS.403", "EKS.404", "EKS.409", "EKS.422"}, answered...)
	return []any{
		value.Obj("ErrorEquals", value.FromGo(answered), "MaxAttempts", value.Int(0)),
		value.Obj("ErrorEquals", []any{stepfn.StatesTaskFailed, stepfn.StatesTimeout}, "IntervalSeconds", value.Int(1),
			"MaxAttempts", value.Int(attempts), "BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(15)),
	}
}

// patience is the number of retries of a call, which take about two minutes.
const patience = 11

// caught returns a Catch of all errors. assign may be nil.
func caught(assign *value.Object, next string) []any { return caughtBy(stepfn.StatesALL, assign, next) }

// caughtBy returns a Catch of one error. assign may be nil.
func caughtBy(name string, assign *value.Object, next string) []any {
	o := value.Obj("ErrorEquals", []any{name})
	if assign != nil {
		o.Set("Assign", assign)
	}
	o.Set("Next", next)
	return []any{o}
}

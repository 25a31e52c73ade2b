package compile

import (
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// attempts makes the state that stands for one step in a cluster: a Parallel of one branch, which tries the step as often
// as its retry says. A variable of the definition counts the attempts, because each attempt needs its own id and no documentation
// says whether Step Functions evaluates Arguments again when it retries a task.
//
// In the branch, each submission mode begins with the state "Run STEP", returns {"Output": ...} when the job has
// succeeded, and otherwise goes to "Decide on STEP" with the variable end: {Error, Cause}.
//
// The variables of the branch, with times in milliseconds:
//
//	begun    when the step began
//	try      the attempt, from 1
//	id       the attempt's id, of the Job, the RayJob or the Ray job
//	redrive  the execution's redrive count at the beginning of the attempt
//	since    when the attempt began
//	job      what the last poll returned: status, message and what else the mode needs
//	ran      when a poll first saw the job run; 0 until then
//	end      how the attempt ended: {Error, Cause}; {again} submits once more under the same id. Job mode adds stop (the Ray job may
//	         still run) and foreign (the Job is another execution's), rayjob mode done (the result) and known (the cause is complete)
//	fail     the error output of the Job's state (job mode)
//	why      what holds up the Job's pod (job mode)
//	refused  why Ray refused the submission; empty if it did not (proxy mode)
//
// Package progress reads id, job and end from histories, by these names.
type attempts struct {
	c      *compiler
	sub    *submission
	of     string // the end of the states' names
	states *value.Object
}

// attempts is that state; submit adds the states of one attempt in a submission mode.
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

// name is a state's name: words that say what it does, then the step.
func (a *attempts) name(words string) string { return words + " " + a.of }

// v is a variable of the branch. The branch is its own scope, so variables have the same names in every step: a template then contains
// the texts that steps share only once. No scope around a branch uses these names.
func (a *attempts) v(name string) query.Expr { return query.Var(name) }

// put adds a state to the branch. The caller may complete the state later.
func (a *attempts) put(words string, role annotation.Role, state *value.Object) {
	a.putIn(a.states, words, role, state)
}

func (a *attempts) putIn(states *value.Object, words string, role annotation.Role, state *value.Object) {
	about := annotation.State{Step: a.sub.step, Role: role, Scope: a.sub.scope()}
	if a.sub.placing {
		about.Step = "" // for all of them
	}
	put(states, a.name(words), about, state)
	a.c.named(a.name(words), state)
}

// goTo is the name of a state that another one leads to.
func (a *attempts) goTo(words string) string { return a.name(words) }

// entered is when the state was entered, in milliseconds.
var entered = query.Call("toMillis", query.States("context", "State", "EnteredTime"))

// since is the milliseconds since a moment in a variable.
func since(moment query.Expr) query.Expr { return query.Op(entered, "-", moment) }

// elapsed is the milliseconds since the attempt began.
func (a *attempts) elapsed() query.Expr { return since(a.v("since")) }

// waited holds when the attempt has taken longer than its job may be pending.
func (a *attempts) waited() query.Expr { return query.Op(a.elapsed(), ">", a.pendingMillis()) }

func (a *attempts) pendingMillis() query.Expr { return query.Int(1000 * a.sub.pending.Seconds()) }

// begin starts the first attempt. "begun" is when the step itself began, and the wait between two polls is a share of the time since.
// An attempt's id contains the redrive count of that time, so that a redriven execution tells a new attempt from one that was stopped.
func (a *attempts) begin() {
	a.put("Begin", annotation.Begin, value.Obj("Type", "Pass", "Assign", value.Obj("try", value.Int(1), "begun", entered.Value()),
		"Next", a.goTo("Attempt")))
	id := a.sub.hashedID(redrives(), query.Str(a.sub.state), a.v("try"))
	assign := value.Obj("id", id.Value(), "redrive", redrives().Value(), "since", entered.Value(), "ran", value.Int(0),
		"job", &value.Object{}, "end", &value.Object{})
	a.put("Attempt", annotation.Attempt, value.Obj("Type", "Pass", "Assign", assign, "Next", a.goTo("Run")))
}

// decide adds the states after an attempt that failed.
func (a *attempts) decide() {
	end, try := a.v("end"), a.v("try")
	rules := []any{
		// The execution was redriven since: an attempt that was stopped does not count.
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
		"Cause", query.File("told", query.Bind("cause", end.Get("Cause"))).Value()))
}

// when is a rule of a Choice.
func when(condition query.Expr, next string) *value.Object {
	return value.Obj("Condition", condition.Value(), "Next", next)
}

// retryable holds if another attempt is left and the error is one of those to retry.
func (a *attempts) retryable() query.Expr {
	left := query.Op(a.v("try"), "<", query.Int(int64(a.sub.retry.Attempts)))
	on, failure := a.sub.retry.Retried(a.sub.kind), a.v("end").Get("Error")
	if on[0] == stepfn.StatesALL {
		return left
	}
	named := query.Op(failure, "in", query.Strs(on))
	if slices.Contains(on, stepfn.StatesTaskFailed) { // all but timeouts
		named = query.Or(named, query.Op(failure, "!=", query.Str(stepfn.StatesTimeout)))
	}
	return query.And(left, named)
}

// backoff is the seconds to wait before the next attempt.
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

// transient retries failures that are temporary: a busy API server, a broken connection. answered are additional errors that are not
// retried, because a repeated call would return them again, such as EKS.404.
func transient(attempts int64, answered ...string) []any {
	answered = append([]string{stepfn.StatesQueryEvaluationError, "EKS.400", "EKS.401", "EKS.403", "EKS.404", "EKS.409", "EKS.422"}, answered...)
	return []any{
		value.Obj("ErrorEquals", value.FromGo(answered), "MaxAttempts", value.Int(0)),
		value.Obj("ErrorEquals", []any{stepfn.StatesTaskFailed, stepfn.StatesTimeout}, "IntervalSeconds", value.Int(1),
			"MaxAttempts", value.Int(attempts), "BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(15)),
	}
}

// patience is how often a call is repeated: for about two minutes.
const patience = 11

// caught is a Catch of everything.
func caught(assign *value.Object, next string) []any { return caughtBy(stepfn.StatesALL, assign, next) }

// caughtBy is a Catch of one error.
func caughtBy(name string, assign *value.Object, next string) []any {
	o := value.Obj("ErrorEquals", []any{name})
	if assign != nil {
		o.Set("Assign", assign)
	}
	o.Set("Next", next)
	return []any{o}
}

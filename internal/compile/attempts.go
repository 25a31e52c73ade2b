package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// attempts makes the state that stands for one step in a cluster: a Parallel of one branch, which tries the step as often
// as its retry says. A variable of our own counts the attempts: whether Step Functions computes Arguments anew when it
// retries a task is documented nowhere, and each attempt needs an id of its own.
//
// In the branch, each way of submitting begins with the state "Run STEP", gives {"Output": ...} when the job has
// succeeded, and otherwise goes to "Decide on STEP" with the variable end: {Error, Cause}.
type attempts struct {
	c      *compiler
	t      task
	of     string // what states' names end with
	inner  *scope
	states *value.Object
	retry  *pipeline.Retry
}

func (c *compiler) attempts(t task, r *pipeline.Retry) *value.Object {
	if c.at.stepContext = t.context; t.context != "" {
		defer func() { c.at.stepContext = "" }()
	}
	a := &attempts{c: c, t: t, of: t.step, inner: t.in.inner(nil), states: &value.Object{}, retry: r}
	if t.failure != "" {
		a.of = "cleaning up after " + t.step
	}
	if t.placing {
		a.of = "placing of files"
	}
	a.t.try = a.v("try")
	a.begin()
	switch {
	case t.ray == nil || c.at.way == wayJob:
		a.byJob()
	case c.at.way == wayProxy:
		a.byProxy()
	default:
		a.byRayJob()
	}
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

// v is a variable of the branch as an expression.
func (a *attempts) v(kind string) string { return "$" + a.variableName(kind) }

func (a *attempts) variableName(kind string) string {
	if a.t.failure != "" {
		kind += "c"
	}
	return a.inner.variable(kind, a.t.step)
}

func (a *attempts) put(words string, state *value.Object) { a.states.Set(a.name(words), state) }

// goTo is a state's field that leads on.
func (a *attempts) goTo(words string) string { return a.name(words) }

// assign is an object of variables of the branch.
func (a *attempts) assign(kv ...any) *value.Object {
	o := &value.Object{}
	for i := 0; i+1 < len(kv); i += 2 {
		o.Set(a.variableName(kv[i].(string)), kv[i+1])
	}
	return o
}

// entered is the expression of when the state was entered, in milliseconds.
const entered = "$toMillis($states.context.State.EnteredTime)"

// elapsed is the expression of the milliseconds since the attempt began.
func (a *attempts) elapsed() string { return "(" + entered + " - " + a.v("since") + ")" }

// begin starts the first attempt; begun is when the step itself began, whose share is the wait between two looks. An attempt's id holds the redrive count as it was then: what a redriven execution finds
// of an attempt that was stopped is told from a new one.
func (a *attempts) begin() {
	a.put("Begin", value.Obj("Type", "Pass", "Assign", a.assign("try", value.Int(1), "begun", wrap(entered)), "Next", a.goTo("Attempt")))
	assign := a.assign("id", wrap(a.id()), "redrive", "{% $states.context.Execution.RedriveCount %}",
		"since", wrap(entered), "ran", value.Int(0), "job", &value.Object{}, "end", &value.Object{})
	a.put("Attempt", value.Obj("Type", "Pass", "Assign", assign, "Next", a.goTo("Run")))
}

// id is the expression of an attempt's id: the run's prefix, the step for people, and a hash of what makes the attempt.
func (a *attempts) id() string {
	parts := "$states.context.Execution.Id & '/' & $states.context.Execution.RedriveCount & '/' & " + str(a.t.state) +
		" & '/' & " + a.v("try")
	if place := a.t.in.place(); place != "" {
		parts += " & '/' & " + place
	}
	return a.t.shownID() + " & $substring($hash(" + parts + ", 'SHA-256'), 0, 10)"
}

// decide adds the states after an attempt that failed.
func (a *attempts) decide() {
	end := a.v("end")
	rules := []any{
		// The execution was redriven meanwhile: what was stopped counts for nothing.
		value.Obj("Condition", wrap("$states.context.Execution.RedriveCount != "+a.v("redrive")), "Next", a.goTo("Attempt")),
		value.Obj("Condition", wrap(end+".again = true"), "Next", a.goTo("Wait a moment for")),
	}
	a.put("Wait a moment for", value.Obj("Type", "Wait", "Seconds", value.Int(2), "Assign", a.assign("end", &value.Object{}),
		"Next", a.goTo("Run")))
	if r := a.retry; r != nil && r.Attempts > 1 {
		rules = append(rules, value.Obj("Condition", wrap(a.retryable()), "Next", a.goTo("Wait to retry")))
		a.put("Wait to retry", value.Obj("Type", "Wait", "Seconds", wrap(a.backoff()),
			"Assign", a.assign("try", wrap(a.v("try")+" + 1")), "Next", a.goTo("Attempt")))
	}
	a.put("Decide on", value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Give up")))
	a.put("Give up", value.Obj("Type", "Fail", "Error", wrap(unlessRedriven(a.v("redrive"), end+".Error")),
		"Cause", wrap(told(end+".Cause"))))
}

// retryable is the expression that another attempt is left and the error one of those to retry.
func (a *attempts) retryable() string {
	left := fmt.Sprintf("%s < %d", a.v("try"), a.retry.Attempts)
	on := a.retry.Retried(a.kind())
	switch match := a.v("end") + ".Error"; on[0] {
	case stepfn.StatesALL:
		return left
	default:
		cond := match + " in " + literal(value.FromGo(on))
		for _, name := range on {
			if name == stepfn.StatesTaskFailed { // all but timeouts
				cond = "(" + cond + " or " + match + " != 'States.Timeout')"
			}
		}
		return left + " and " + cond
	}
}

func (a *attempts) kind() string {
	if a.t.ray != nil {
		return "ray"
	}
	return "job"
}

// backoff is the expression of the seconds to wait before the next attempt.
func (a *attempts) backoff() string {
	r := a.retry
	most := r.MaxInterval.Seconds()
	if most <= 0 {
		most = longestRun
	}
	// The exponent is bounded, for a power too large is an error.
	wait := fmt.Sprintf("$min([%d, %d * $power(%s, $min([%s - 1, 60]))])", most, r.Interval.Seconds(), value.Float(r.Backoff), a.v("try"))
	if r.Jitter {
		wait = "$random() * " + wait
	}
	return "$floor(" + wait + ")"
}

// call is a task that calls the Kubernetes API.
func (a *attempts) call(method, path string, query *value.Object, body any) *value.Object {
	return a.c.call(method, path, query, body)
}

func (c *compiler) call(method, path string, query *value.Object, body any) *value.Object {
	args := c.eksArguments("Method", method, "Path", path)
	if query != nil {
		args.Set("QueryParameters", query)
	}
	if body != nil {
		args.Set("RequestBody", body)
	}
	// Answers are large, and would go along from state to state.
	return value.Obj("Type", "Task", "Resource", stepfn.EKSCall, "Arguments", args, "Output", &value.Object{})
}

// transient retries what passes by itself: a busy API server, a connection that broke. answered names the errors that are
// answers, so that asking again would give the same, as would computing the call again.
func transient(attempts int64, answered ...string) []any {
	answered = append([]string{stepfn.StatesQueryEvaluationError, "EKS.400", "EKS.401", "EKS.403", "EKS.404", "EKS.409", "EKS.422"}, answered...)
	return []any{
		value.Obj("ErrorEquals", value.FromGo(answered), "MaxAttempts", value.Int(0)),
		value.Obj("ErrorEquals", []any{stepfn.StatesTaskFailed, stepfn.StatesTimeout}, "IntervalSeconds", value.Int(1),
			"MaxAttempts", value.Int(attempts), "BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(15)),
	}
}

// patience is how often a call is repeated: for some two minutes.
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

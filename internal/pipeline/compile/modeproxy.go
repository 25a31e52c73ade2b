package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// outputLines is the number of lines to read from the end of a log: the marked line, the lines that the wrapper prints before it, and one
// that Ray may add.
const outputLines = "6"

// proxyMode is the mode of Ray jobs that the state machine itself submits to Ray, through the API server's proxy.
type proxyMode struct{ c *compiler }

func (m proxyMode) state(s *submission) *value.Object { return m.c.attempts(s, (*attempts).byProxy) }

func (m proxyMode) cleanUp(states *value.Object, next string) string {
	return m.c.stopByProxy(states, next)
}

// check reports secrets that the definition would have to contain.
func (m proxyMode) check(w wanted) { m.c.checkPassed(w) }

// byProxy adds the states of an attempt that calls Ray's Jobs API through the API server, without a pod. The intervals between polls
// increase with the step's time, so that even a run of a year has far fewer than Step Functions' 25,000 events. They delay the next step
// by at most 1 s, or 1 % of the step's time.
func (a *attempts) byProxy() {
	ray := a.c.head()
	submit := a.c.call(ray.need.to("create"), ray.path("/api/jobs/"), nil, a.proxySubmission())
	submit.Set("TimeoutSeconds", value.Int(120))
	// Ray returns 500 if it already has a job with the id, which happens if the response to the first request was lost, but also for
	// other problems. The next state reads the job's record to distinguish them.
	submit.Set("Retry", transient(patience, "EKS.500"))
	failure := query.States("errorOutput")
	submit.Set("Catch", append(
		caughtBy("EKS.500", value.Obj("refused", errorText(failure).Value()), a.goTo("Poll")),
		caught(value.Obj("end", a.callFailed(stepfn.RaySubmitFailed).Value()), a.goTo("Decide on"))...))
	submit.Set("Assign", value.Obj("refused", query.Str("").Value()))
	submit.Set("Next", a.goTo("Wait for"))
	a.put("Run", annotation.Submit, submit)
	a.put("Wait for", annotation.Wait, value.Obj("Type", "Wait", "Seconds", a.interval().Value(), "Next", a.goTo("Poll")))
	a.pollJob(ray)
	a.judgeJob()
	a.stopJob(ray)
	a.readOutput(ray)
}

// proxySubmission returns the body of the request. The command is in an environment variable: Ray prints the entrypoint into the job's
// log, at any time, and only the last few lines of the log are read.
func (a *attempts) proxySubmission() *value.Object {
	o := a.submission()
	o.Set("entrypoint", commandEntrypoint)
	a.sub.withCommand()
	return o
}

// commandEntrypoint runs the command in RAYORCH_COMMAND. Ray expands $NAME in the values of environment variables, without quoting, so
// that the content of parameters could be executed. Therefore, withCommand replaces each $ with the character \x01.
const commandEntrypoint = `exec sh -c "$(printf %s "$RAYORCH_COMMAND" | tr "\001" "$")"`

// withCommand adds the command to the environment of a Ray job, for commandEntrypoint.
func (s *submission) withCommand() {
	command := query.Call("join", query.Call("split", s.command, query.Str("$")), query.Str("\x01"))
	vars := extended(s.env, query.Object(query.Bind("RAYORCH_COMMAND", command)))
	s.runtimeEnv.Set("env_vars", fitted(vars).Value())
}

// interval returns the seconds until the next poll. It grows with the time of the step, not of the attempt: all attempts together need
// as many polls as one attempt of the same length, and they fit into the history.
func (a *attempts) interval() query.Expr {
	share := query.Call("floor", query.Op(since(a.v("begun")), "/", query.Int(100_000)))
	return query.If(query.Call("exists", a.v("end").Get("Error")), query.Int(1), query.Call("max", query.Array(query.Int(1), share)))
}

// errorText returns the cause of an error, or the error's name if it has no cause.
func errorText(failure query.Expr) query.Expr {
	return query.File("errortext", query.Bind("failure", failure))
}

// callFailed returns the error and cause of a failed call. otherwise is the error if the server rejected the request.
func (a *attempts) callFailed(otherwise string) query.Expr {
	failure := query.States("errorOutput")
	return a.raisedError(failure, query.File("callfailed", query.Bind("cause", errorText(failure)), query.Bind("otherwise", query.Str(otherwise))))
}

// pollJob adds the state that reads the job's record.
func (a *attempts) pollJob(ray rayAPI) {
	look := a.c.call(ray.need.to("get"), ray.path("/api/jobs/", a.v("id")), nil, nil)
	look.Set("TimeoutSeconds", value.Int(60))
	look.Set("Retry", transient(patience))
	unread := query.File("recordunread", query.Bind("cause", errorText(query.States("errorOutput"))), query.Bind("refused", a.v("refused")),
		query.Bind("id", a.v("id")), query.Bind("elapsed", a.elapsed()), query.Bind("pending", a.pendingMillis()))
	look.Set("Catch", caught(value.Obj("end", unread.Value()), a.goTo("Decide on")))
	body := query.States("result", "ResponseBody")
	status := body.Get("status")
	look.Set("Assign", value.Obj("job", value.Obj("status", status.Value(), "message", textOf(body.Get("message")),
		"type", textOf(body.Get("error_type")), "node", textOf(body.Get("driver_node_id")),
		"execution", textOf(body.Get("metadata", "rayorch.execution"))),
		"ran", a.runsSince(query.Op(status, "!=", query.Str("PENDING")))))
	look.Set("Next", a.goTo("Evaluate"))
	a.put("Poll", annotation.Poll, look)
}

// textOf returns a string in a response as a field's value, or "" if the response does not have it.
func textOf(e query.Expr) string { return query.File("text", query.Bind("value", e)).Value() }

// runsSince returns the time at which a poll first saw the job running, as a field's value, or 0 if none has.
func (a *attempts) runsSince(runs query.Expr) string {
	return query.If(query.And(query.Eq(a.v("ran"), query.Int(0)), runs), entered, a.v("ran")).Value()
}

// judgeJob adds the Choice that evaluates the job's record. If end already has an error, the attempt is being stopped: only the end of the
// job matters, and the error remains that of the attempt, regardless of the job's final status.
func (a *attempts) judgeJob() {
	job, end, ran := a.v("job"), a.v("end"), a.v("ran")
	rule := func(condition query.Expr, assign *value.Object, next string) any {
		o := value.Obj("Condition", condition.Value())
		if assign != nil {
			o.Set("Assign", assign)
		}
		o.Set("Next", a.goTo(next))
		return o
	}
	ending, status := query.Call("exists", end.Get("Error")), job.Get("status")
	verdict := query.File("recordverdict", query.Bind("job", job), query.Bind("environment", envFailed(job)))
	foreign := query.Concat(query.Str("another Ray job has the id "), a.v("id"), query.Str(": delete it"))
	pending := query.Concat(query.Str(fmt.Sprintf("Ray did not start the job within %d s: ", a.sub.pending.Seconds())), job.Get("message"))
	rules := []any{
		rule(query.Op(job.Get("execution"), "!=", executionID), value.Obj("end", failed(stepfn.RaySubmitFailed, foreign)), "Decide on"),
		rule(query.And(query.Eq(status, query.Str("SUCCEEDED")), query.Not(ending)), nil, "Read output of"),
		rule(query.Op(status, "in", query.Strs([]string{"SUCCEEDED", "FAILED", "STOPPED"})),
			value.Obj("end", query.If(ending, end, verdict).Value()), "Decide on"),
		// Ray kills a job that does not end within seconds of the stop request. If it does not, the run continues anyway.
		rule(query.And(ending, query.Op(since(ran), ">", query.Int(60_000))), nil, "Decide on"),
		rule(query.And(query.Not(ending), query.Eq(status, query.Str("PENDING")), a.waited()),
			value.Obj("end", failed(stepfn.RayPendingTimeout, pending)), "Kill"),
	}
	if a.sub.timeout > 0 {
		rules = append(rules, rule(query.And(query.Not(ending), a.timedOut()), value.Obj("end", failed(stepfn.StatesTimeout, a.timeoutCause())), "Stop"))
	}
	a.put("Evaluate", annotation.Judge, value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Wait for")))
}

// failed returns a failure as a field's value.
func failed(name string, cause query.Expr) *value.Object {
	return value.Obj("Error", name, "Cause", cause.Value())
}

// timedOut returns the condition that the job has run longer than its timeout.
func (a *attempts) timedOut() query.Expr {
	ran := a.v("ran")
	return query.And(query.Op(ran, ">", query.Int(0)), query.Op(since(ran), ">", query.Int(1000*a.sub.timeout.Seconds())))
}

// timeoutCause returns the cause of a job's timeout.
func (a *attempts) timeoutCause() query.Expr {
	seconds := query.Call("round", query.Op(since(a.v("ran")), "/", query.Int(1000)))
	return query.Concat(query.Str("the job timed out after "), seconds, query.Str(fmt.Sprintf(" s (limit %d s)", a.sub.timeout.Seconds())))
}

// envFailed returns the condition that Ray could not set up the runtime environment of a job.
func envFailed(job query.Expr) query.Expr {
	return query.File("envfailed", query.Bind("message", job.Get("message")))
}

// killer is the entrypoint of a job that kills the supervisor of another job. It is necessary because Ray accepts the request to stop a
// pending job, but still runs the job as soon as resources are available. The names of the actor and its namespace are from Ray's
// dashboard/modules/job/common.py.
const killer = `code='import os, ray
ray.init(log_to_driver=False)
try:
    ray.kill(ray.get_actor("_ray_internal_job_actor_" + os.environ["RAYORCH_KILL"], namespace="SUPERVISOR_ACTOR_RAY_NAMESPACE"))
except ValueError:
    pass
'
if command -v python >/dev/null; then python -c "$code"; else python3 -c "$code"; fi`

// killJob returns a task that submits the killer of a job.
func (c *compiler) killJob(id query.Expr) *value.Object {
	ray := c.head()
	state := c.call(ray.need.to("create"), ray.path("/api/jobs/"), nil, value.Obj("submission_id", query.Concat(id, query.Str("-kill")).Value(),
		"entrypoint", query.Var("killer").Value(), "runtime_env", value.Obj("env_vars", value.Obj("RAYORCH_KILL", id.Value()))))
	state.Set("TimeoutSeconds", value.Int(60))
	state.Set("Retry", transient(3, "EKS.500"))
	return state
}

// stopJob adds the states that stop the job. They lead back to the polls, which detect the job's end.
func (a *attempts) stopJob(ray rayAPI) {
	off := a.c.killJob(a.v("id"))
	off.Set("Catch", caught(nil, a.goTo("Stop")))
	off.Set("Next", a.goTo("Stop"))
	a.put("Kill", annotation.Stop, off)
	stop := a.c.call(ray.need.to("create"), ray.path("/api/jobs/", a.v("id"), query.Str("/stop")), nil, nil)
	stop.Set("TimeoutSeconds", value.Int(60))
	stop.Set("Retry", transient(patience))
	stop.Set("Assign", value.Obj("ran", entered.Value()))
	stop.Set("Catch", caught(nil, a.goTo("Decide on")))
	stop.Set("Next", a.goTo("Wait for"))
	a.put("Stop", annotation.Stop, stop)
}

// readOutput adds the state that reads the marked line. If the output cannot be read, it is null, with a reason: AWS does not document
// whether Step Functions returns a response that is plain text.
func (a *attempts) readOutput(ray rayAPI) {
	read := a.c.call(ray.need.to("get"), ray.path("/api/v0/logs/file"), value.Obj(
		"filename", []any{query.Concat(query.Str("job-driver-"), a.v("id"), query.Str(".log")).Value()},
		"node_id", []any{a.v("job").Get("node").Value()}, "lines", []any{outputLines}), nil)
	a.reading(read)
}

// reading completes and adds a state whose result contains the last lines of the log.
func (a *attempts) reading(read *value.Object) {
	const name = "Read output of"
	text, failure := query.States("result", "ResponseBody"), query.States("errorOutput")
	read.Set("TimeoutSeconds", value.Int(60))
	read.Set("Retry", transient(3))
	out := value.Obj("Output", query.If(query.Eq(query.Call("type", text), query.Str("string")), marked(text), query.Null).Value())
	unread := unreadOutput(failure)
	notJSON := value.Obj("end", failed(stepfn.RayJobFailed, query.File("notjson")))
	if a.c.at.mode == pipeline.SubmitRayJob { // the RayJob must be deleted first
		read.Set("Assign", value.Obj("end", value.Obj("done", out)))
		read.Set("Catch", append(caughtBy(stepfn.StatesQueryEvaluationError, notJSON, a.goTo("Delete RayJob of")),
			caught(value.Obj("end", value.Obj("done", unread)), a.goTo("Delete RayJob of"))...))
		read.Set("Next", a.goTo("Delete RayJob of"))
		a.put(name, annotation.ReadOutput, read)
		return
	}
	read.Set("Output", out)
	read.Set("Catch", append(caughtBy(stepfn.StatesQueryEvaluationError, notJSON, a.goTo("Decide on")),
		value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Output", unread, "Next", a.goTo("Missing output of"))))
	a.put(name, annotation.ReadOutput, a.succeed(read))
	a.put("Missing output of", annotation.ReadOutput, a.succeed(value.Obj("Type", "Pass")))
}

// unreadOutput returns the result of a job whose output cannot be read.
func unreadOutput(failure query.Expr) *value.Object {
	return value.Obj("Output", nil, "Reason", errorText(failure).Value())
}

// stopByProxy adds the states that stop the execution's Ray jobs through the API server.
func (c *compiler) stopByProxy(states *value.Object, next string) string {
	of, ray, input := c.at.cleanupOf, c.head(), query.States("input")
	// The state API, unlike the Jobs API, can filter by status and omits environments: the records of many jobs would be too large.
	done := []any{"SUCCEEDED", "FAILED", "STOPPED"}
	list := c.call(ray.need.to("get"), ray.path("/api/v0/jobs"), value.Obj("limit", []any{"1000"}, "filter_keys", []any{"status", "status", "status"},
		"filter_predicates", []any{"!=", "!=", "!="}, "filter_values", done), nil)
	list.Set("Retry", cleanupRetry())
	list.Set("Output", query.File("jobsleft").Value())
	list.Set("Next", "Stop Ray jobs"+of)
	c.putCleanup(states, "List Ray jobs"+of, list)
	stop := c.call(ray.need.to("create"), ray.path("/api/jobs/", input.Get("id"), query.Str("/stop")), nil, nil)
	stop.Set("Retry", cleanupRetry("EKS.404"))
	stop.Set("Output", input.Value())
	stop.Set("Catch", []any{value.Obj("ErrorEquals", []any{"EKS.404"}, "Output", input.Value(), "Next", "Check Ray job"+of)})
	stop.Set("Next", "Check Ray job"+of)
	off := c.killJob(input.Get("id"))
	off.Set("Catch", caught(nil, "Stopped Ray job"+of))
	off.Set("Next", "Stopped Ray job"+of)
	body := &value.Object{}
	c.putCleanup(body, "Stop Ray job"+of, stop)
	c.putCleanup(body, "Check Ray job"+of, value.Obj("Type", "Choice", "Choices", []any{
		when(input.Get("pending"), "Kill Ray job"+of)}, "Default", "Stopped Ray job"+of))
	c.putCleanup(body, "Kill Ray job"+of, off)
	c.putCleanup(body, "Stopped Ray job"+of, value.Obj("Type", "Succeed"))
	c.putCleanup(states, "Stop Ray jobs"+of, value.Obj("Type", "Map", "Items", input.Value(),
		"ItemProcessor", processor("Stop Ray job"+of, body), "Next", next))
	return "List Ray jobs" + of
}

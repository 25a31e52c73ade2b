package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// outputLines is how many of a log's last lines are read: the marked one, those that the wrapper puts before it, and one
// that Ray may put after it.
const outputLines = "6"

// byProxy speaks to Ray's Jobs API through the API server: no pod is made. It asks ever more seldom, so that a run of a
// year stays far under Step Functions' 25,000 events, and a hand-over waits 1 s or 1 % of the step's time.
func (a *attempts) byProxy() {
	submit := a.call("POST", a.ray("/api/jobs/"), nil, a.proxySubmission())
	submit.Set("TimeoutSeconds", value.Int(120))
	// 500 is Ray's answer to an id that it knows, as when the answer to the first try was lost, and to much else: the next
	// state looks whether the job is there.
	submit.Set("Retry", transient(patience, "EKS.500"))
	submit.Set("Catch", []any{
		value.Obj("ErrorEquals", []any{"EKS.500"}, "Assign", a.assign("refused", wrap(errorText("$states.errorOutput"))),
			"Next", a.goTo("Look at")),
		value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Assign", a.assign("end", wrap(a.callFailed(stepfn.RaySubmitFailed))),
			"Next", a.goTo("Decide on")),
	})
	submit.Set("Assign", a.assign("refused", "{% '' %}"))
	submit.Set("Next", a.goTo("Wait for"))
	a.put("Run", submit)
	a.put("Wait for", value.Obj("Type", "Wait", "Seconds", wrap(a.interval()), "Next", a.goTo("Look at")))
	a.lookAtJob()
	a.judgeJob()
	a.stopJob()
	a.readOutput(a.ray("/api/v0/logs/file"))
}

// ray is a path of the dashboard through the API server.
func (a *attempts) ray(path string) string { return a.c.rayPath(path) }

func (c *compiler) rayPath(path string) string {
	return "/api/v1/namespaces/" + c.at.namespace + "/services/" + c.serviceRef() + "/proxy" + path
}

// proxySubmission is the request's body. The command travels as a variable: Ray prints the entrypoint into the job's log,
// at any time, and few of its last lines are read.
func (a *attempts) proxySubmission() *value.Object {
	o := a.submission()
	command, _ := o.Get("entrypoint")
	o.Set("entrypoint", commandEntrypoint)
	withCommand(o, inline(command))
	return o
}

// commandEntrypoint runs the command of the variable. Ray itself puts variables' values in where a variable's text has
// $NAME, without any quoting: that would make code of what parameters hold. So each $ travels as another character.
const commandEntrypoint = `exec sh -c "$(printf %s "$RAYORCH_COMMAND" | tr "\001" "$")"`

// withCommand adds the command to the environment of a submission.
func withCommand(o *value.Object, command string) {
	env, _ := o.Get("runtime_env")
	vars, _ := env.(*value.Object).Get("env_vars")
	env.(*value.Object).Set("env_vars", wrap(fitting("$merge(["+inline(vars)+", {'RAYORCH_COMMAND': $join($split("+command+", '$'), '\u0001')}])")))
}

// interval is the expression of the seconds until the job is looked at again. It grows with the time of the step, not of the
// attempt: so attempts together are looked at as often as one of their length, and the history has room for them.
func (a *attempts) interval() string {
	return fmt.Sprintf("$exists(%s.Error) ? 1 : $max([1, $floor((%s - %s) / 100000)])", a.v("end"), entered, a.v("begun"))
}

// errorText is the expression of an error's cause, or its name where it has none. What an expression says by $error stands at
// the end of a cause, after the whole expression.
func errorText(output string) string {
	return fmt.Sprintf("($exists(%[1]s.Cause) ? $substring($contains(%[1]s.Cause, 'D3137: ') ? $substringAfter(%[1]s.Cause, 'D3137: ') : %[1]s.Cause, 0, 4000) : %[1]s.Error)", output)
}

// callFailed is the expression of the error and cause of a call that failed: otherwise names what a plain refusal is.
// Kubernetes answers with an object of its own, Ray with text.
func (a *attempts) callFailed(otherwise string) string {
	return a.raised("$states.errorOutput", "($c := "+errorText("$states.errorOutput")+"; $e := $states.errorOutput.Error; {'Error': "+
		"$e in ['EKS.401', 'EKS.403'] ? 'Ray.Unauthorized' : $e in ['States.QueryEvaluationError', 'EKS.400', 'EKS.405', 'EKS.409', 'EKS.422', 'EKS.500'] or "+
		"($e = 'EKS.404' and $not($contains($c, '\"Status\"'))) ? "+str(otherwise)+" : 'Ray.Unreachable', 'Cause': $c})")
}

// lookAtJob adds the state that reads the job's record. Only Ray's own 404 says that the job is lost; where the submit was
// refused, it was never there.
func (a *attempts) lookAtJob() {
	look := a.call("GET", wrap(str(a.ray("/api/jobs/"))+" & "+a.v("id")), nil, nil)
	look.Set("TimeoutSeconds", value.Int(60))
	look.Set("Retry", transient(patience))
	gone := "{'Error': 'Ray.HeadLost', 'Cause': 'ray no longer knows the job ' & " + a.v("id") + " & ': its head was replaced'}"
	refused := fmt.Sprintf("($contains(%[1]s, 'No available agent') and %[2]s < %[3]d) ? {'again': true} : {'Error': 'Ray.SubmitFailed', 'Cause': %[1]s}",
		a.v("refused"), a.elapsed(), 1000*a.t.pending.Seconds())
	look.Set("Catch", caught(a.assign("end", wrap("($c := "+errorText("$states.errorOutput")+"; "+
		"$states.errorOutput.Error = 'EKS.404' and $not($contains($c, '\"Status\"')) ? ("+a.v("refused")+" = '' ? "+gone+" : "+refused+") : "+
		"{'Error': $states.errorOutput.Error in ['EKS.401', 'EKS.403'] ? 'Ray.Unauthorized' : 'Ray.Unreachable', 'Cause': $c})")), a.goTo("Decide on")))
	body := "$states.result.ResponseBody"
	look.Set("Assign", a.assign("job", value.Obj("status", wrap(body+".status"), "message", wrap(orEmpty(body+".message")),
		"type", wrap(orEmpty(body+".error_type")), "node", wrap(orEmpty(body+".driver_node_id")),
		"execution", wrap(orEmpty(body+".metadata.`rayorch.execution`"))),
		"ran", wrap(a.v("ran")+" = 0 and "+body+".status != 'PENDING' ? "+entered+" : "+a.v("ran"))))
	look.Set("Next", a.goTo("Judge"))
	a.put("Look at", look)
}

// orEmpty is the expression of a text, or of an empty one where there is none.
func orEmpty(expr string) string {
	return "($v := " + expr + "; $type($v) = 'string' ? $substring($v, 0, 8000) : '')"
}

// judgeJob adds the choice that follows from the job's record.
func (a *attempts) judgeJob() {
	job, end := a.v("job"), a.v("end")
	rule := func(condition string, assign *value.Object, next string) any {
		o := value.Obj("Condition", wrap(condition))
		if assign != nil {
			o.Set("Assign", assign)
		}
		o.Set("Next", a.goTo(next))
		return o
	}
	ending := "$exists(" + end + ".Error)"
	failed := job + ".status = 'STOPPED' ? {'Error': 'Ray.JobStopped', 'Cause': " + job + ".message} : " +
		"{'Error': " + job + ".type = 'JOB_SUPERVISOR_ACTOR_START_TIMEOUT' ? 'Ray.PendingTimeout' : " + runtimeEnvFailed(job) +
		" ? 'Ray.RuntimeEnvFailed' : 'Ray.JobFailed', 'Cause': " + job + ".message}"
	rules := []any{
		rule(job+".execution != $states.context.Execution.Id", a.assign("end", value.Obj("Error", stepfn.RaySubmitFailed,
			"Cause", wrap("'ray holds another job of the id ' & "+a.v("id")+" & ': delete it'"))), "Decide on"),
		rule(job+".status = 'SUCCEEDED' and $not("+ending+")", nil, "Read output of"),
		rule(job+".status in ['SUCCEEDED', 'FAILED', 'STOPPED']", a.assign("end", wrap(ending+" ? "+end+" : "+failed)), "Decide on"),
		// Ray kills what does not end within seconds; a job that stays all the same holds nobody up.
		rule(ending+" and "+entered+" - "+a.v("ran")+" > 60000", nil, "Decide on"),
		rule(fmt.Sprintf("$not(%s) and %s.status = 'PENDING' and %s > %d", ending, job, a.elapsed(), 1000*a.t.pending.Seconds()),
			a.assign("end", value.Obj("Error", stepfn.RayPendingTimeout, "Cause",
				wrap(fmt.Sprintf("'ray did not start the job within %d s: ' & %s.message", a.t.pending.Seconds(), job)))), "Call off"),
	}
	if a.t.timeout > 0 {
		rules = append(rules, rule(fmt.Sprintf("$not(%s) and %s > 0 and "+entered+" - %s > %d", ending, a.v("ran"), a.v("ran"), 1000*a.t.timeout.Seconds()),
			a.assign("end", value.Obj("Error", stepfn.StatesTimeout, "Cause", wrap(a.timedOut()))), "Stop"))
	}
	a.put("Judge", value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Wait for")))
}

// timedOut is the expression of the cause of a job's timeout.
func (a *attempts) timedOut() string {
	return fmt.Sprintf("'the job timed out after ' & $round((%s - %s) / 1000) & ' s (limit %d s)'", entered, a.v("ran"), a.t.timeout.Seconds())
}

// runtimeEnvFailed is the expression that Ray could not set up the runtime environment of a job. Some of it Ray checks only as
// it starts the job's supervisor: its traceback says so.
func runtimeEnvFailed(job string) string {
	return fmt.Sprintf("$substring(%[1]s.message, 0, 24) = 'runtime_env setup failed' or "+
		"$substring(%[1]s.message, 0, 32) = 'Failed to start supervisor actor' and $contains(%[1]s.message, '/runtime_env/')", job)
}

// killer is the entrypoint of a job that kills the supervisor of another one. Ray says that it stops a pending job, and yet
// runs it as soon as there is room. The names of the actor and its namespace are Ray's own
// (dashboard/modules/job/common.py).
const killer = `code='import os, ray
ray.init(log_to_driver=False)
try:
    ray.kill(ray.get_actor("_ray_internal_job_actor_" + os.environ["RAYORCH_KILL"], namespace="SUPERVISOR_ACTOR_RAY_NAMESPACE"))
except ValueError:
    pass
'
if command -v python >/dev/null; then python -c "$code"; else python3 -c "$code"; fi`

// callOff is a task that submits the killer of a job, whose id is an expression.
func (c *compiler) callOff(id string) *value.Object {
	state := c.call("POST", c.rayPath("/api/jobs/"), nil, value.Obj("submission_id", wrap(id+" & '-kill'"), "entrypoint", "{% $killer %}",
		"runtime_env", value.Obj("env_vars", value.Obj("RAYORCH_KILL", wrap(id)))))
	state.Set("TimeoutSeconds", value.Int(60))
	state.Set("Retry", transient(3, "EKS.500"))
	return state
}

// stopJob adds the states that stop the job; the states before look for its end.
func (a *attempts) stopJob() {
	off := a.c.callOff(a.v("id"))
	off.Set("Catch", caught(nil, a.goTo("Stop")))
	off.Set("Next", a.goTo("Stop"))
	a.put("Call off", off)
	stop := a.call("POST", wrap(str(a.ray("/api/jobs/"))+" & "+a.v("id")+" & '/stop'"), nil, nil)
	stop.Set("TimeoutSeconds", value.Int(60))
	stop.Set("Retry", transient(patience))
	stop.Set("Assign", a.assign("ran", wrap(entered)))
	stop.Set("Catch", caught(nil, a.goTo("Decide on")))
	stop.Set("Next", a.goTo("Wait for"))
	a.put("Stop", stop)
}

// readOutput adds the state that reads the marked line. What cannot be read is null, with a reason: whether Step Functions
// hands text on is documented nowhere.
func (a *attempts) readOutput(path string) {
	read := a.call("GET", path, value.Obj(
		"filename", []any{wrap("'job-driver-' & " + a.v("id") + " & '.log'")},
		"node_id", []any{wrap(a.v("job") + ".node")}, "lines", []any{outputLines}), nil)
	a.reading(read, "$states.result.ResponseBody", "Read output of")
}

// reading completes a state whose result holds the log's last lines.
func (a *attempts) reading(read *value.Object, text, name string) {
	read.Set("TimeoutSeconds", value.Int(60))
	read.Set("Retry", transient(3))
	out := value.Obj("Output", wrap("$type("+text+") = 'string' ? "+marked(text)+" : null"))
	unread := value.Obj("Output", nil, "Reason", wrap(errorText("$states.errorOutput")))
	notJSON := a.assign("end", value.Obj("Error", stepfn.RayJobFailed, "Cause", wrap(
		str("the job's output, which it wrote to the file that RAYORCH_OUTPUT names, is not JSON")+
			" & ($contains($states.errorOutput.Cause, 'D3137: ') ? ': ' & $substringAfter($states.errorOutput.Cause, 'D3137: ') : '')")))
	if a.c.at.way == wayRayJob { // the RayJob is still to be deleted
		read.Set("Assign", a.assign("end", value.Obj("done", out)))
		read.Set("Catch", append(caughtBy(stepfn.StatesQueryEvaluationError, notJSON, a.goTo("Delete RayJob of")),
			caught(a.assign("end", value.Obj("done", unread)), a.goTo("Delete RayJob of"))...))
		read.Set("Next", a.goTo("Delete RayJob of"))
		a.put(name, read)
		return
	}
	read.Set("Output", out)
	read.Set("Catch", append(caughtBy(stepfn.StatesQueryEvaluationError, notJSON, a.goTo("Decide on")),
		value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Output", unread, "Next", a.goTo("Output unread of"))))
	a.put(name, a.succeed(read))
	a.put("Output unread of", a.succeed(value.Obj("Type", "Pass")))
}

// stopByProxy stops the Ray jobs through the API server.
func (c *compiler) stopByProxy(states *value.Object, next string) string {
	of := c.at.cleanupOf
	// The state API leaves out what has ended, and environments: the records of many jobs are large.
	done := []any{"SUCCEEDED", "FAILED", "STOPPED"}
	list := c.call("GET", c.rayPath("/api/v0/jobs"), value.Obj("limit", []any{"1000"}, "filter_keys", []any{"status", "status", "status"},
		"filter_predicates", []any{"!=", "!=", "!="}, "filter_values", done), nil)
	list.Set("Retry", cleanupRetry())
	list.Set("Output", wrap("[$states.result.ResponseBody.data.result.result[$contains($string(submission_id), $prefix)]."+
		"{'id': submission_id, 'pending': status = 'PENDING'}]"))
	list.Set("Next", "Stop Ray jobs"+of)
	states.Set("List Ray jobs"+of, list)
	stop := c.call("POST", wrap(str(c.rayPath("/api/jobs/"))+" & $states.input.id & '/stop'"), nil, nil)
	stop.Set("Retry", cleanupRetry("EKS.404"))
	stop.Set("Output", "{% $states.input %}")
	stop.Set("Catch", []any{value.Obj("ErrorEquals", []any{"EKS.404"}, "Output", "{% $states.input %}", "Next", "Look at Ray job"+of)})
	stop.Set("Next", "Look at Ray job"+of)
	off := c.callOff("$states.input.id")
	off.Set("Catch", caught(nil, "Gone Ray job"+of))
	off.Set("Next", "Gone Ray job"+of)
	body := value.Obj("Stop Ray job"+of, stop,
		"Look at Ray job"+of, value.Obj("Type", "Choice", "Choices", []any{
			value.Obj("Condition", "{% $states.input.pending %}", "Next", "Call off Ray job"+of)}, "Default", "Gone Ray job"+of),
		"Call off Ray job"+of, off, "Gone Ray job"+of, value.Obj("Type", "Succeed"))
	states.Set("Stop Ray jobs"+of, value.Obj("Type", "Map", "Items", "{% $states.input %}",
		"ItemProcessor", processor("Stop Ray job"+of, body), "Next", next))
	return "List Ray jobs" + of
}

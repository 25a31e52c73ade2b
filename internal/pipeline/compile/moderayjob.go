package compile

import (
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// rayJobMode is the mode of Ray jobs that KubeRay's operator submits.
type rayJobMode struct{ c *compiler }

func (m rayJobMode) state(s *submission) *value.Object { return m.c.attempts(s, (*attempts).byRayJob) }

// cleanUp deletes all RayJobs, then stops the Ray jobs that still run on a permanent cluster.
func (m rayJobMode) cleanUp(states *value.Object, next string) string {
	if m.c.reachesRay() {
		next = m.c.stopByProxy(states, next)
	}
	return m.c.deleteAll(states, "RayJob", rayJobs, next)
}

// check reports fields that a RayJob does not have, and secrets that the definition would have to contain.
func (m rayJobMode) check(w wanted) {
	m.c.checkPassed(w)
	if w.ray.Memory != nil {
		m.c.problem(w.path+".ray.memory", "is not supported in submission mode rayjob; use job or proxy")
	}
}

// byRayJob adds the states of an attempt that is a RayJob of KubeRay's operator, on a permanent cluster or on one that the operator
// creates for it.
//
// The operator's HTTPMode submits immediately and needs no pod. K8sJobMode takes 10 s longer, and is used only if Ray requires a token,
// which HTTPMode cannot send. If the head is lost, HTTPMode silently runs the job again: only the job's start time changes. The state
// machine then deletes the RayJob. A RayJob has two statuses, neither of which alone shows the end of a job.
func (a *attempts) byRayJob() {
	create := a.c.create(rayJobs, a.rayJob())
	create.Set("TimeoutSeconds", value.Int(60))
	create.Set("Retry", transient(patience))
	create.Set("Catch", []any{
		// The RayJob is that of this attempt if the response to the first request was lost. The next state checks it.
		value.Obj("ErrorEquals", []any{"EKS.409"}, "Next", a.goTo("Poll")),
		value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Assign", value.Obj("end", a.rayJobRefused().Value()),
			"Next", a.goTo("Decide on")),
	})
	create.Set("Next", a.goTo("Wait for"))
	a.put("Run", annotation.Submit, create)
	a.put("Wait for", annotation.Wait, value.Obj("Type", "Wait", "Seconds", a.interval().Value(), "Next", a.goTo("Poll")))
	a.pollRayJob()
	a.judgeRayJob()
	a.diagnoseStart()
	if a.c.at.target.Ray.Token == nil {
		a.readRayJob()
	} else {
		a.readSubmitter()
	}
	remove := a.c.remove(rayJobs, a.v("id"), "Background")
	remove.Set("Retry", transient(patience))
	remove.Set("Catch", caught(nil, a.goTo("Check")))
	remove.Set("Next", a.goTo("Check"))
	a.put("Delete RayJob of", annotation.Stop, remove)
	a.put("Check", annotation.ReadOutput, value.Obj("Type", "Choice", "Choices", []any{
		when(query.Call("exists", a.v("end").Get("done")), a.goTo("Forward output of"))},
		"Default", a.goTo("Decide on")))
	a.put("Forward output of", annotation.ReadOutput, a.succeed(value.Obj("Type", "Pass", "Output", a.v("end").Get("done").Value())))
}

// rayJob returns the RayJob object. It always has a deadline, because a RayJob remains Running if the cluster that was created for it loses
// its head.
func (a *attempts) rayJob() *value.Object {
	c, at := a.c, a.c.at
	a.sub.withCommand()
	spec := value.Obj("jobId", a.v("id").Value(), "entrypoint", commandEntrypoint, "submissionMode", "HTTPMode",
		"metadata", c.marks(a.sub), "runtimeEnvYAML", query.Call("string", query.Inline(a.sub.runtimeEnv)).Value(),
		"backoffLimit", value.Int(0), "activeDeadlineSeconds", value.Int(a.deadline()))
	a.sub.resources.reserve(spec, rayJobNames)
	if custom := a.sub.resources.custom; custom != nil { // in a RayJob, this field is a string with JSON
		spec.Set(rayJobNames.custom, query.Call("string", query.Inline(custom)).Value())
	}
	if at.ownCluster() {
		cluster := plainAll(at.target.Ray.ClusterSpec.Value)
		c.withSecrets(cluster, a.sub.secrets)
		spec.Set("rayClusterSpec", cluster)
		spec.Set("shutdownAfterJobFinishes", true)
		// Long enough to read the output. The state machine then deletes the RayJob, and the cluster with it.
		spec.Set("ttlSecondsAfterFinished", value.Int(600))
	} else {
		spec.Set("clusterSelector", value.Obj("ray.io/cluster", at.rayCluster))
	}
	if at.target.Ray.Token != nil {
		a.bySubmitterPod(spec)
	}
	head := a.metadata(a.v("id"))
	if q := at.target.Queue; q != "" {
		labels, _ := head.Get("labels")
		queued := query.Object(query.Bind("kueue.x-k8s.io/queue-name", query.Str(q)))
		head.Set("labels", extended(query.Inline(labels), queued).Value())
		spec.Set("suspend", true)
	}
	return value.Obj("apiVersion", "ray.io/v1", "kind", "RayJob", "metadata", head, "spec", spec)
}

// bySubmitterPod makes the operator submit from a pod, which can have a token. The entrypoint passes through the pod's shell and the
// command line of Ray's client, which quotes words again (tested with Ray 2.60.0). A single word for another shell remains unchanged.
func (a *attempts) bySubmitterPod(spec *value.Object) {
	spec.Set("submissionMode", "K8sJobMode")
	spec.Set("entrypoint", "sh -c "+shellQuoted(commandEntrypoint))
	pod := a.c.podSpec(a.c.at.account)
	container := value.Obj("name", "ray-job-submitter", "image", query.Plain(a.c.at.image), "env", []any{
		value.Obj("name", "RAY_AUTH_MODE", "value", "token"), secretVariable("RAY_AUTH_TOKEN", a.c.at.target.Ray.Token)})
	secure(pod, container, a.c.at.pods.SecurityContext)
	pod.Set("containers", []any{container})
	spec.Set("submitterPodTemplate", value.Obj("metadata", value.Obj("labels", runLabels.Value()), "spec", pod))
}

// plainAll returns a JSON value as a field's value, with each string escaped that would otherwise be an expression.
func plainAll(v any) any {
	if text, ok := v.(string); ok {
		return query.Plain(text)
	}
	return value.Map(v, plainAll)
}

// pollRayJob adds the state that reads the RayJob.
func (a *attempts) pollRayJob() {
	look := a.c.get(rayJobs, a.v("id"), nil)
	look.Set("TimeoutSeconds", value.Int(60))
	look.Set("Retry", transient(patience))
	unread := query.File("rayjobunread", query.Bind("cause", errorText(query.States("errorOutput"))), query.Bind("id", a.v("id")))
	look.Set("Catch", caught(value.Obj("end", unread.Value()), a.goTo("Decide on")))
	body := query.States("result", "ResponseBody")
	status := body.Get("status")
	look.Set("Assign", value.Obj("job", value.Obj(
		"status", textOf(status.Get("jobStatus")), "deployment", textOf(status.Get("jobDeploymentStatus")),
		"reason", textOf(status.Get("reason")), "message", textOf(status.Get("message")),
		"cluster", textOf(status.Get("rayClusterName")), "started", textOf(status.Get("rayJobInfo", "startTime")),
		"before", textOf(a.v("job").Get("started")),
		"execution", textOf(body.Get("metadata", "annotations", "rayorch.dev/execution"))),
		"ran", a.runsSince(query.Eq(status.Get("jobStatus"), query.Str("RUNNING")))))
	look.Set("Next", a.goTo("Evaluate"))
	a.put("Poll", annotation.Poll, look)
}

// judgeRayJob adds the Choice that evaluates the RayJob's two statuses: of the job in Ray (jobStatus), and of its deployment
// (jobDeploymentStatus). If Ray reports that the job FAILED or was STOPPED, it has ended, regardless of the deployment. A failed deployment
// ends the attempt even if the last known status of the job is RUNNING or SUCCEEDED: then the head was lost. The order of the rules
// matters; TestRayJobVerdicts tests every combination.
func (a *attempts) judgeRayJob() {
	job := a.v("job")
	status, deployment, ran := job.Get("status"), job.Get("deployment"), a.v("ran")
	is := func(e query.Expr, text string) query.Expr { return query.Eq(e, query.Str(text)) }
	among := func(e query.Expr, texts ...string) query.Expr { return query.Op(e, "in", query.Strs(texts)) }
	ended := func(condition query.Expr, failure string, cause query.Expr) any {
		rule := value.Obj("Condition", condition.Value(), "Assign", value.Obj("end", failed(failure, cause)))
		return follow(rule, a.goTo("Delete RayJob of"))
	}
	foreign := value.Obj("Condition", query.Op(job.Get("execution"), "!=", executionID).Value(), "Assign", value.Obj("end", failed(
		stepfn.RaySubmitFailed, query.Concat(query.Str("another RayJob has the name "), a.v("id"), query.Str(": delete it")))),
		"Next", a.goTo("Decide on"))
	said := query.File("rayjobmessage", query.Bind("job", job))
	gone := among(deployment, "Failed", "ValidationFailed")
	before, started := job.Get("before"), job.Get("started")
	restarted := query.And(query.Op(before, "!=", query.Str("")), query.Op(started, "!=", query.Str("")), query.Op(before, "!=", started))
	rules := []any{
		foreign,
		when(query.And(is(status, "SUCCEEDED"), a.readable(gone)), a.goTo(a.firstReading())),
		ended(query.And(is(status, "FAILED"), envFailed(job)), stepfn.RayRuntimeEnvFailed, said),
		ended(is(status, "FAILED"), stepfn.RayJobFailed, said),
		ended(is(status, "STOPPED"), stepfn.RayJobStopped, query.Concat(query.Str("the job was stopped outside of rayorch: "), said)),
		ended(is(job.Get("reason"), "DeadlineExceeded"), stepfn.StatesTimeout, said),
		ended(is(deployment, "ValidationFailed"), stepfn.RaySubmitFailed, said),
		ended(query.And(gone, among(status, "SUCCEEDED", "RUNNING")), stepfn.RayHeadLost, query.Concat(query.Str("the head was lost: "), said)),
		ended(gone, stepfn.RaySubmitFailed, said),
		ended(restarted, stepfn.RayHeadLost, query.Str("the head was replaced, and the operator restarted the job")),
		when(query.And(query.Eq(ran, query.Int(0)), a.waited()), a.goTo("Diagnose start of")),
	}
	if q := a.c.at.target.Queue; q != "" { // KubeRay would run the job again when the queue admits it again, but only retry may do that
		taken := query.And(query.Op(ran, ">", query.Int(0)), among(deployment, "Suspending", "Suspended"))
		rules = append(rules, ended(taken, stepfn.RayHeadLost, query.Str("the queue "+q+" evicted the cluster of the job")))
	}
	if a.sub.timeout > 0 {
		rules = append(rules, ended(a.timedOut(), stepfn.StatesTimeout, a.timeoutCause()))
	}
	a.put("Evaluate", annotation.Judge, value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Wait for")))
}

// readable returns the condition that the output of a successful job can be read. A submitter's pod prints the last lines a few seconds
// after the job's end.
func (a *attempts) readable(gone query.Expr) query.Expr {
	if a.c.at.target.Ray.Token != nil {
		return query.Eq(a.v("job").Get("deployment"), query.Str("Complete"))
	}
	return query.Not(gone)
}

// rayJobRefused returns the error and cause of a RayJob that could not be created. Kubernetes returns the same status (403) for an exceeded
// quota and for a missing permission.
func (a *attempts) rayJobRefused() query.Expr {
	failure := query.States("errorOutput")
	quota := query.Call("contains", errorText(failure), query.Str("exceeded quota"))
	refused := query.Object(query.Bind("Error", query.Str(stepfn.RaySubmitFailed)), query.Bind("Cause", failure.Get("Cause")))
	return query.If(quota, refused, a.callFailed(stepfn.RaySubmitFailed))
}

// diagnoseStart adds the states that determine why a job was not started: from the pods of its cluster, or from the cluster's events if
// pods could not be created.
func (a *attempts) diagnoseStart() {
	own := a.v("job").Get("cluster")
	cluster := query.If(query.Op(own, "!=", query.Str("")), own, query.Str(a.c.at.rayCluster))
	next := "Delete RayJob of"
	if a.c.reachesRay() { // otherwise the pending job would still run as soon as resources are available (killer)
		next = "Kill"
		off := a.c.killJob(a.v("id"))
		off.Set("Catch", caught(nil, a.goTo("Delete RayJob of")))
		off.Set("Next", a.goTo("Delete RayJob of"))
		a.put(next, annotation.Stop, off)
	}
	ask := a.c.list(pods, value.Obj("labelSelector", []any{query.Concat(query.Str("ray.io/cluster="), cluster).Value()},
		"fieldSelector", []any{"status.phase=Pending"}, "limit", []any{"4"}))
	a.holdingUp("Diagnose start of", ask, query.File("podwaits"), next)
	if !a.c.at.ownCluster() {
		return
	}
	ask.Set("Next", a.goTo("Check start of"))
	a.put("Check start of", annotation.Diagnose, value.Obj("Type", "Choice", "Choices", []any{
		when(a.v("end").Get("known"), a.goTo(next))}, "Default", a.goTo("Diagnose cluster of")))
	a.holdingUp("Diagnose cluster of", a.eventsOf(cluster), query.File("warning"), next)
}

// holdingUp completes and adds a state that reads why a job was not started. why is the reason in its result.
func (a *attempts) holdingUp(name string, ask *value.Object, why query.Expr, next string) {
	ask.Set("Retry", transient(2))
	ask.Set("Assign", a.heldUp(why))
	ask.Set("Catch", caught(a.heldUp(query.Str("")), a.goTo(next)))
	ask.Set("Next", a.goTo(next))
	a.put(name, annotation.Diagnose, ask)
}

// heldUp returns the Assign for the failure of a job that was not started in time.
func (a *attempts) heldUp(why query.Expr) *value.Object {
	job, queue := a.v("job"), query.Str("")
	if q := a.c.at.target.Queue; q != "" {
		suspended := query.Op(job.Get("deployment"), "in", query.Strs([]string{"Suspending", "Suspended"}))
		queue = query.If(suspended, query.Str("the queue "+q+" has not admitted it"), query.Str(""))
	}
	end := failed(stepfn.RayPendingTimeout, query.File("pendingcause", query.Bind("job", job),
		query.Bind("seconds", query.Int(a.sub.pending.Seconds())), query.Bind("queue", queue), query.Bind("why", why)))
	if a.c.at.ownCluster() {
		end.Set("known", query.Op(why, "!=", query.Str("")).Value())
	}
	return value.Obj("end", end)
}

// reachesRay reports whether the state machine itself calls a Ray cluster that outlives the step.
func (c *compiler) reachesRay() bool {
	return c.ray && (c.at.mode == pipeline.SubmitProxy || c.at.mode == pipeline.SubmitRayJob && !c.at.ownCluster() && c.at.target.Ray.Token == nil)
}

// firstReading returns the first of the states that read the output.
func (a *attempts) firstReading() string {
	if a.c.at.target.Ray.Token == nil {
		return "Find log of"
	}
	return "Find submitter of"
}

// readRayJob adds the states that read the last lines of the log from the head.
func (a *attempts) readRayJob() {
	ray, job := a.c.head(), a.v("job")
	if a.c.at.ownCluster() {
		ray = a.c.ownHead(job.Get("cluster"))
	}
	node := textOf(query.States("result", "ResponseBody", "driver_node_id"))
	find := a.c.call(ray.need.to("get"), ray.path("/api/jobs/", a.v("id")), nil, nil)
	find.Set("TimeoutSeconds", value.Int(60))
	a.finding(find, "Find log of", extended(job, query.Object(query.Bind("node", query.Inline(node)))).Value())
	a.readOutput(ray)
}

// readSubmitter adds the states that read the output from the log of the submitter's pod. Ray itself cannot be read, because the API
// server's proxy does not forward a token.
func (a *attempts) readSubmitter() {
	name := textOf(query.States("result", "ResponseBody", "items").At(-1).Get("metadata", "name"))
	a.finding(a.listPods(), "Find submitter of", value.Obj("pod", name))
	a.reading(a.c.get(podLogs, a.v("job").Get("pod"), value.Obj("tailLines", []any{"12"})))
}

// finding completes and adds a state that finds the log with the output. It leads to the state that reads the output.
func (a *attempts) finding(find *value.Object, name string, found any) {
	find.Set("Retry", transient(3))
	find.Set("Assign", value.Obj("job", found))
	unread := value.Obj("done", unreadOutput(query.States("errorOutput")))
	find.Set("Catch", caught(value.Obj("end", unread), a.goTo("Delete RayJob of")))
	find.Set("Next", a.goTo("Read output of"))
	a.put(name, annotation.ReadOutput, find)
}

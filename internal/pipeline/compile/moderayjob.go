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

// cleanUp deletes all RayJobs, then stops the Ray jobs that a permanent cluster would still run.
func (m rayJobMode) cleanUp(states *value.Object, next string) string {
	if m.c.reachesRay() {
		next = m.c.stopByProxy(states, next)
	}
	return m.c.deleteAll(states, "RayJob", rayJobs, next)
}

// check refuses fields that a RayJob does not have, and secrets, which Ray's record of the job would show.
func (m rayJobMode) check(w wanted) {
	m.c.checkShown(w)
	if w.ray.Memory != nil {
		m.c.problem(w.path+".ray.memory", "is not supported with submit: rayjob; use job or proxy")
	}
}

// byRayJob runs the step as a RayJob of KubeRay's operator, on a permanent cluster or on one that is created for it.
//
// The operator's HTTPMode submits immediately and needs no pod. K8sJobMode takes 10 s longer, and is used only if Ray requires a token,
// which HTTPMode cannot send. If the head is lost, HTTPMode runs the job again without saying so: only its start time changes, and then
// the RayJob is deleted. Neither of the two statuses alone shows the end of a job.
func (a *attempts) byRayJob() {
	create := a.c.create(rayJobs, a.rayJob())
	create.Set("TimeoutSeconds", value.Int(60))
	create.Set("Retry", transient(patience))
	create.Set("Catch", []any{
		// It is ours if the answer to the first try was lost; the next state reads whose it is.
		value.Obj("ErrorEquals", []any{"EKS.409"}, "Next", a.goTo("Look at")),
		value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Assign", value.Obj("end", a.rayJobRefused().Value()),
			"Next", a.goTo("Decide on")),
	})
	create.Set("Next", a.goTo("Wait for"))
	a.put("Run", annotation.Submit, create)
	a.put("Wait for", annotation.Wait, value.Obj("Type", "Wait", "Seconds", a.interval().Value(), "Next", a.goTo("Look at")))
	a.lookAtRayJob()
	a.judgeRayJob()
	a.askWhatHoldsUp()
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
		when(query.Call("exists", a.v("end").Get("done")), a.goTo("Hand over output of"))},
		"Default", a.goTo("Decide on")))
	a.put("Hand over output of", annotation.ReadOutput, a.succeed(value.Obj("Type", "Pass", "Output", a.v("end").Get("done").Value())))
}

// rayJob is the object. Its deadline is always set, because a RayJob whose own cluster loses its head stays Running.
func (a *attempts) rayJob() *value.Object {
	c, at := a.c, a.c.at
	a.sub.withCommand()
	spec := value.Obj("jobId", a.v("id").Value(), "entrypoint", commandEntrypoint, "submissionMode", "HTTPMode",
		"metadata", c.marks(a.sub), "runtimeEnvYAML", query.Call("string", query.Inline(a.sub.runtimeEnv)).Value(),
		"backoffLimit", value.Int(0), "activeDeadlineSeconds", value.Int(a.deadline()))
	a.sub.resources.reserve(spec, rayJobNames)
	if custom := a.sub.resources.custom; custom != nil { // here it is JSON in a text
		spec.Set(rayJobNames.custom, query.Call("string", query.Inline(custom)).Value())
	}
	if at.ownCluster() {
		cluster := plainAll(at.target.Ray.ClusterSpec.Value)
		c.withSecrets(cluster, a.sub.secrets)
		spec.Set("rayClusterSpec", cluster)
		spec.Set("shutdownAfterJobFinishes", true)
		// Long enough to read the output; then the RayJob is deleted, and the cluster with it.
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

// bySubmitterPod makes the operator submit from a pod, which can have a token. The entrypoint passes the pod's shell and the command
// line of Ray's client, which quotes words again (tested with 2.60.0): one word for another shell arrives unchanged.
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

// plainAll is a JSON value in which no text can be mistaken for an expression.
func plainAll(v any) any {
	if text, ok := v.(string); ok {
		return query.Plain(text)
	}
	return value.Map(v, plainAll)
}

// lookAtRayJob adds the state that reads the RayJob.
func (a *attempts) lookAtRayJob() {
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
	look.Set("Next", a.goTo("Judge"))
	a.put("Look at", annotation.Poll, look)
}

// judgeRayJob adds the choice that follows from the RayJob's two statuses: of the job in Ray (jobStatus), and of its deployment
// (jobDeploymentStatus). A job that Ray reports as FAILED or STOPPED is over whatever the status of the deployment. A deployment that failed ends
// the attempt even if the last known status of the job is RUNNING or SUCCEEDED: then the head was lost. The order of the rules matters;
// TestRayJobVerdicts has every pair.
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
		stepfn.RaySubmitFailed, query.Concat(query.Str("another RayJob of the name "), a.v("id"), query.Str(" is there: delete it")))),
		"Next", a.goTo("Decide on"))
	said := query.File("said", query.Bind("job", job))
	gone := among(deployment, "Failed", "ValidationFailed")
	before, started := job.Get("before"), job.Get("started")
	restarted := query.And(query.Op(before, "!=", query.Str("")), query.Op(started, "!=", query.Str("")), query.Op(before, "!=", started))
	rules := []any{
		foreign,
		when(query.And(is(status, "SUCCEEDED"), a.readable(gone)), a.goTo(a.firstReading())),
		ended(query.And(is(status, "FAILED"), envFailed(job)), stepfn.RayRuntimeEnvFailed, said),
		ended(is(status, "FAILED"), stepfn.RayJobFailed, said),
		ended(is(status, "STOPPED"), stepfn.RayJobStopped, query.Concat(query.Str("somebody stopped the job "), said)),
		ended(is(job.Get("reason"), "DeadlineExceeded"), stepfn.StatesTimeout, said),
		ended(is(deployment, "ValidationFailed"), stepfn.RaySubmitFailed, said),
		ended(query.And(gone, among(status, "SUCCEEDED", "RUNNING")), stepfn.RayHeadLost, query.Concat(query.Str("the head was lost: "), said)),
		ended(gone, stepfn.RaySubmitFailed, said),
		ended(restarted, stepfn.RayHeadLost, query.Str("the head was replaced, and the operator began the job again")),
		when(query.And(query.Eq(ran, query.Int(0)), a.waited()), a.goTo("Ask what holds up")),
	}
	if q := a.c.at.target.Queue; q != "" { // KubeRay would start the job again when the queue admits it; only retry may do that
		taken := query.And(query.Op(ran, ">", query.Int(0)), among(deployment, "Suspending", "Suspended"))
		rules = append(rules, ended(taken, stepfn.RayHeadLost, query.Str("the queue "+q+" took the cluster away from the job")))
	}
	if a.sub.timeout > 0 {
		rules = append(rules, ended(a.timedOut(), stepfn.StatesTimeout, a.timeoutCause()))
	}
	a.put("Judge", annotation.Judge, value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Wait for")))
}

// readable holds if the output of a job that has succeeded is where it will be read. A submitter's pod prints the last lines some
// seconds after that.
func (a *attempts) readable(gone query.Expr) query.Expr {
	if a.c.at.target.Ray.Token != nil {
		return query.Eq(a.v("job").Get("deployment"), query.Str("Complete"))
	}
	return query.Not(gone)
}

// rayJobRefused is the error and cause of a RayJob that could not be created. Kubernetes gives the same answer if a quota is used up and
// if a permission is missing.
func (a *attempts) rayJobRefused() query.Expr {
	failure := query.States("errorOutput")
	quota := query.Call("contains", errorText(failure), query.Str("exceeded quota"))
	refused := query.Object(query.Bind("Error", query.Str(stepfn.RaySubmitFailed)), query.Bind("Cause", failure.Get("Cause")))
	return query.If(quota, refused, a.callFailed(stepfn.RaySubmitFailed))
}

// askWhatHoldsUp adds the states that say why a job was not started: the pods of its cluster show it, and the cluster's events for
// pods that could not be created.
func (a *attempts) askWhatHoldsUp() {
	own := a.v("job").Get("cluster")
	cluster := query.If(query.Op(own, "!=", query.Str("")), own, query.Str(a.c.at.rayCluster))
	next := "Delete RayJob of"
	if a.c.reachesRay() { // a pending job that Ray is asked to stop would still run when there are resources
		next = "Call off"
		off := a.c.callOff(a.v("id"))
		off.Set("Catch", caught(nil, a.goTo("Delete RayJob of")))
		off.Set("Next", a.goTo("Delete RayJob of"))
		a.put(next, annotation.Stop, off)
	}
	ask := a.c.list(pods, value.Obj("labelSelector", []any{query.Concat(query.Str("ray.io/cluster="), cluster).Value()},
		"fieldSelector", []any{"status.phase=Pending"}, "limit", []any{"4"}))
	a.holdingUp("Ask what holds up", ask, query.File("podwaits"), next)
	if !a.c.at.ownCluster() {
		return
	}
	ask.Set("Next", a.goTo("Judge what holds up"))
	a.put("Judge what holds up", annotation.Diagnose, value.Obj("Type", "Choice", "Choices", []any{
		when(a.v("end").Get("known"), a.goTo(next))}, "Default", a.goTo("Ask about cluster of")))
	a.holdingUp("Ask about cluster of", a.eventsOf(cluster), query.File("warning"), next)
}

// holdingUp completes a state that asks why a job was not started; why is what its answer says.
func (a *attempts) holdingUp(name string, ask *value.Object, why query.Expr, next string) {
	ask.Set("Retry", transient(2))
	ask.Set("Assign", a.heldUp(why))
	ask.Set("Catch", caught(a.heldUp(query.Str("")), a.goTo(next)))
	ask.Set("Next", a.goTo(next))
	a.put(name, annotation.Diagnose, ask)
}

// heldUp assigns the failure of a job that was not started in time.
func (a *attempts) heldUp(why query.Expr) *value.Object {
	job, queue := a.v("job"), query.Str("")
	if q := a.c.at.target.Queue; q != "" {
		suspended := query.Op(job.Get("deployment"), "in", query.Strs([]string{"Suspending", "Suspended"}))
		queue = query.If(suspended, query.Str("the queue "+q+" has not let it start"), query.Str(""))
	}
	end := failed(stepfn.RayPendingTimeout, query.File("pendingcause", query.Bind("job", job),
		query.Bind("seconds", query.Int(a.sub.pending.Seconds())), query.Bind("queue", queue), query.Bind("why", why)))
	if a.c.at.ownCluster() {
		end.Set("known", query.Op(why, "!=", query.Str("")).Value())
	}
	return value.Obj("end", end)
}

// reachesRay reports whether the state machine itself calls a Ray that outlives the step.
func (c *compiler) reachesRay() bool {
	return c.ray && (c.at.mode == pipeline.SubmitProxy || c.at.mode == pipeline.SubmitRayJob && !c.at.ownCluster() && c.at.target.Ray.Token == nil)
}

// firstReading is the state that begins to read the output.
func (a *attempts) firstReading() string {
	if a.c.at.target.Ray.Token == nil {
		return "Find log of"
	}
	return "Find submitter of"
}

// readRayJob adds the states that read the log's last lines from the head.
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

// readSubmitter adds the states that read the output where the submitter's pod printed it: the API server's proxy does not
// pass a token on.
func (a *attempts) readSubmitter() {
	name := textOf(query.States("result", "ResponseBody", "items").At(-1).Get("metadata", "name"))
	a.finding(a.listPods(), "Find submitter of", value.Obj("pod", name))
	a.reading(a.c.get(podLogs, a.v("job").Get("pod"), value.Obj("tailLines", []any{"12"})))
}

// finding completes a state that finds where the output is: it leads to the state that reads it.
func (a *attempts) finding(find *value.Object, name string, found any) {
	find.Set("Retry", transient(3))
	find.Set("Assign", value.Obj("job", found))
	unread := value.Obj("done", unreadOutput(query.States("errorOutput")))
	find.Set("Catch", caught(value.Obj("end", unread), a.goTo("Delete RayJob of")))
	find.Set("Next", a.goTo("Read output of"))
	a.put(name, annotation.ReadOutput, find)
}

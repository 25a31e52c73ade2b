package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// byRayJob hands the step to KubeRay's operator as a RayJob, on a cluster that is there or on one of its own.
//
// The operator's HTTPMode submits at once and costs no pod; K8sJobMode takes 10 s longer, and is used only where Ray wants a
// token, which HTTPMode cannot give. HTTPMode runs a job again, silently, when the head is lost: a start time that changes
// gives that away, and the RayJob is deleted. Neither of the two statuses alone tells the end.
func (a *attempts) byRayJob() {
	create := a.call("POST", a.rayJobs(), nil, a.rayJob())
	create.Set("TimeoutSeconds", value.Int(60))
	create.Set("Retry", transient(patience))
	create.Set("Catch", []any{
		// Ours, when the answer to the first try was lost; the next state looks whose it is.
		value.Obj("ErrorEquals", []any{"EKS.409"}, "Next", a.goTo("Look at")),
		value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "Assign", a.assign("end", wrap(a.rayJobRefused())),
			"Next", a.goTo("Decide on")),
	})
	create.Set("Next", a.goTo("Wait for"))
	a.put("Run", create)
	a.put("Wait for", value.Obj("Type", "Wait", "Seconds", wrap(a.interval()), "Next", a.goTo("Look at")))
	a.lookAtRayJob()
	a.judgeRayJob()
	a.askWhatHoldsUp()
	if a.c.at.target.Ray.Token == nil {
		a.readRayJob()
	} else {
		a.readSubmitter()
	}
	remove := a.call("DELETE", wrap(str(a.rayJobs()+"/")+" & "+a.v("id")), value.Obj("propagationPolicy", []any{"Background"}), nil)
	remove.Set("Retry", transient(patience))
	remove.Set("Catch", caught(nil, a.goTo("Check")))
	remove.Set("Next", a.goTo("Check"))
	a.put("Delete RayJob of", remove)
	a.put("Check", value.Obj("Type", "Choice", "Choices", []any{
		value.Obj("Condition", wrap("$exists("+a.v("end")+".done)"), "Next", a.goTo("Hand over output of"))},
		"Default", a.goTo("Decide on")))
	a.put("Hand over output of", a.succeed(value.Obj("Type", "Pass", "Output", wrap(a.v("end")+".done"))))
}

func (a *attempts) rayJobs() string {
	return "/apis/ray.io/v1/namespaces/" + a.c.at.namespace + "/rayjobs"
}

// rayJob is the object. Its deadline is always set: a cluster of its own that loses its head stays Running for ever.
func (a *attempts) rayJob() *value.Object {
	c, at, r := a.c, a.c.at, a.t.ray
	spec := value.Obj("jobId", wrap(a.v("id")), "entrypoint", commandEntrypoint, "submissionMode", "HTTPMode",
		"metadata", c.metadata(a.t, r.Metadata), "runtimeEnvYAML", wrap("$string("+a.runtimeEnvWithCommand()+")"),
		"backoffLimit", value.Int(0), "activeDeadlineSeconds", value.Int(a.deadline()))
	if r.CPUs != nil {
		spec.Set("entrypointNumCpus", c.number(r.CPUs, a.t.in))
	}
	if r.GPUs != nil {
		spec.Set("entrypointNumGpus", c.number(r.GPUs, a.t.in))
	}
	if len(r.Resources.Entries) > 0 {
		all := &value.Object{}
		for _, e := range r.Resources.Entries {
			all.Set(e.Key, c.number(&e.Value, a.t.in))
		}
		spec.Set("entrypointResources", wrap("$string("+inline(all)+")"))
	}
	if at.ownCluster() {
		cluster := plainAll(at.target.Ray.ClusterSpec.Value)
		c.withSecrets(cluster, r.Secrets)
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
		head.Set("labels", wrap("$merge(["+inline(labels)+", {'kueue.x-k8s.io/queue-name': "+str(q)+"}])"))
		spec.Set("suspend", true)
	}
	return value.Obj("apiVersion", "ray.io/v1", "kind", "RayJob", "metadata", head, "spec", spec)
}

// runtimeEnvWithCommand is the expression of the runtime environment, with the command as a variable.
func (a *attempts) runtimeEnvWithCommand() string {
	o := value.Obj("runtime_env", a.c.runtimeEnv(a.t))
	env, _ := o.Get("runtime_env")
	a.c.placeWorkingDir(env.(*value.Object), a.t.ray)
	withCommand(o, a.entrypoint())
	return inline(env)
}

// bySubmitterPod makes the operator submit by a pod, which can be given a token. The entrypoint goes through its shell and
// the command line of Ray's client, which quotes its words anew (tried with 2.60.0): as one word for another shell it
// arrives whole.
func (a *attempts) bySubmitterPod(spec *value.Object) {
	spec.Set("submissionMode", "K8sJobMode")
	spec.Set("entrypoint", "sh -c "+shellWord(commandEntrypoint))
	pod := a.c.podSpec(a.c.at.account)
	container := value.Obj("name", "ray-job-submitter", "image", plain(a.c.at.image), "env", []any{
		value.Obj("name", "RAY_AUTH_MODE", "value", "token"), secretVariable("RAY_AUTH_TOKEN", a.c.at.target.Ray.Token)})
	secure(pod, container, a.c.at.pods.SecurityContext)
	pod.Set("containers", []any{container})
	spec.Set("submitterPodTemplate", value.Obj("metadata", value.Obj("labels", "{% $labels %}"), "spec", pod))
}

// plainAll is a JSON value whose texts are no expressions, whatever they hold.
func plainAll(v any) any {
	switch v := v.(type) {
	case string:
		return plain(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = plainAll(item)
		}
		return out
	case *value.Object:
		o := value.NewObject(v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			o.Set(k, plainAll(item))
		}
		return o
	}
	return v
}

// lookAtRayJob adds the state that reads the RayJob.
func (a *attempts) lookAtRayJob() {
	look := a.call("GET", wrap(str(a.rayJobs()+"/")+" & "+a.v("id")), nil, nil)
	look.Set("TimeoutSeconds", value.Int(60))
	look.Set("Retry", transient(patience))
	look.Set("Catch", caught(a.assign("end", wrap("($c := "+errorText("$states.errorOutput")+"; $states.errorOutput.Error = 'EKS.404' ? "+
		"{'Error': 'Ray.JobStopped', 'Cause': 'somebody deleted the RayJob ' & "+a.v("id")+"} : "+
		"{'Error': $states.errorOutput.Error in ['EKS.401', 'EKS.403'] ? 'Ray.Unauthorized' : 'Ray.Unreachable', 'Cause': $c})")),
		a.goTo("Decide on")))
	status := "$states.result.ResponseBody.status"
	look.Set("Assign", a.assign("job", value.Obj(
		"status", wrap(orEmpty(status+".jobStatus")), "deployment", wrap(orEmpty(status+".jobDeploymentStatus")),
		"reason", wrap(orEmpty(status+".reason")), "message", wrap(orEmpty(status+".message")),
		"cluster", wrap(orEmpty(status+".rayClusterName")), "started", wrap(orEmpty(status+".rayJobInfo.startTime")),
		"before", wrap("($v := "+a.v("job")+".started; $exists($v) ? $v : '')"),
		"execution", wrap(orEmpty("$states.result.ResponseBody.metadata.annotations.`rayorch.dev/execution`"))),
		"ran", wrap(a.v("ran")+" = 0 and "+status+".jobStatus = 'RUNNING' ? "+entered+" : "+a.v("ran"))))
	look.Set("Next", a.goTo("Judge"))
	a.put("Look at", look)
}

// judgeRayJob adds the choice that follows from the RayJob's two statuses.
func (a *attempts) judgeRayJob() {
	job := a.v("job")
	ended := func(condition, failure, cause string) any {
		return value.Obj("Condition", wrap(condition), "Assign",
			a.assign("end", value.Obj("Error", failure, "Cause", wrap(cause))), "Next", a.goTo("Delete RayJob of"))
	}
	said := "$join($append([], [" + job + ".reason, " + job + ".message][$ != '']), ': ')" // neither need be there
	failed := job + ".deployment in ['Failed', 'ValidationFailed']"
	rules := []any{
		value.Obj("Condition", wrap(job+".execution != $states.context.Execution.Id"), "Assign", a.assign("end",
			value.Obj("Error", stepfn.RaySubmitFailed, "Cause", wrap("'another RayJob of the name ' & "+a.v("id")+" & ' is there: delete it'"))),
			"Next", a.goTo("Decide on")),
		value.Obj("Condition", wrap(job+".status = 'SUCCEEDED' and "+a.readable(failed)), "Next", a.goTo(a.firstReading())),
		ended(job+".status = 'FAILED' and ("+runtimeEnvFailed(job)+")", stepfn.RayRuntimeEnvFailed, said),
		ended(job+".status = 'FAILED'", stepfn.RayJobFailed, said),
		ended(job+".status = 'STOPPED'", stepfn.RayJobStopped, "'somebody stopped the job ' & "+said),
		ended(job+".reason = 'DeadlineExceeded'", stepfn.StatesTimeout, said),
		ended(job+".deployment = 'ValidationFailed'", stepfn.RaySubmitFailed, said),
		ended(failed+" and "+job+".status in ['SUCCEEDED', 'RUNNING']", stepfn.RayHeadLost, "'the head was lost: ' & "+said),
		ended(failed, stepfn.RaySubmitFailed, said),
		ended(job+".before != '' and "+job+".started != '' and "+job+".before != "+job+".started", stepfn.RayHeadLost,
			"'the head was replaced, and the operator began the job again'"),
		value.Obj("Condition", wrap(fmt.Sprintf("%s = 0 and %s > %d", a.v("ran"), a.elapsed(), 1000*a.t.pending.Seconds())),
			"Next", a.goTo("Ask what holds up")),
	}
	if q := a.c.at.target.Queue; q != "" { // let in again, KubeRay would begin the job anew, which only retry may say
		rules = append(rules, ended(a.v("ran")+" > 0 and "+job+".deployment in ['Suspending', 'Suspended']", stepfn.RayHeadLost,
			str("the queue "+q+" took the cluster away from the job")))
	}
	if a.t.timeout > 0 {
		rules = append(rules, ended(fmt.Sprintf("%s > 0 and %s - %s > %d", a.v("ran"), entered, a.v("ran"), 1000*a.t.timeout.Seconds()),
			stepfn.StatesTimeout, a.timedOut()))
	}
	a.put("Judge", value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Wait for")))
}

// readable is the expression that the output of a job that has succeeded is where it will be read. A submitter's pod prints
// the last lines some seconds after that.
func (a *attempts) readable(failed string) string {
	if a.c.at.target.Ray.Token != nil {
		return a.v("job") + ".deployment = 'Complete'"
	}
	return "$not(" + failed + ")"
}

// rayJobRefused is the expression of the error and cause of a RayJob that could not be made. A quota that is used up is
// refused as a missing right is, and is none.
func (a *attempts) rayJobRefused() string {
	return "$contains(" + errorText("$states.errorOutput") + ", 'exceeded quota') ? {'Error': 'Ray.SubmitFailed', 'Cause': $states.errorOutput.Cause} : " +
		a.callFailed(stepfn.RaySubmitFailed)
}

// askWhatHoldsUp adds the states that say why a job was not begun: its cluster's pods know best; of those that could not be
// made their cluster's events tell.
func (a *attempts) askWhatHoldsUp() {
	job := a.v("job")
	cluster := "(" + job + ".cluster != '' ? " + job + ".cluster : " + str(a.c.at.rayCluster) + ")"
	next := "Delete RayJob of"
	if a.c.reachesRay() { // what KubeRay then asks Ray to stop would run all the same once there is room
		next = "Call off"
		off := a.c.callOff(a.v("id"))
		off.Set("Catch", caught(nil, a.goTo("Delete RayJob of")))
		off.Set("Next", a.goTo("Delete RayJob of"))
		a.put(next, off)
	}
	ask := a.call("GET", a.podsPath(), value.Obj("labelSelector", []any{wrap("'ray.io/cluster=' & " + cluster)},
		"fieldSelector", []any{"status.phase=Pending"}, "limit", []any{"4"}), nil)
	a.holdingUp("Ask what holds up", ask, a.waiting(), next)
	if !a.c.at.ownCluster() {
		return
	}
	ask.Set("Next", a.goTo("Judge what holds up"))
	a.put("Judge what holds up", value.Obj("Type", "Choice", "Choices", []any{
		value.Obj("Condition", wrap(a.v("end")+".known"), "Next", a.goTo(next))}, "Default", a.goTo("Ask about cluster of")))
	a.holdingUp("Ask about cluster of", a.eventsOf(cluster), warning, next)
}

// holdingUp completes a state that asks why a job was not begun; why is the expression of what its answer says.
func (a *attempts) holdingUp(name string, ask *value.Object, why, next string) {
	job, queue := a.v("job"), ""
	if q := a.c.at.target.Queue; q != "" {
		queue = fmt.Sprintf("%s.deployment in ['Suspending', 'Suspended'] ? %s : '', ", job, str("the queue "+q+" has not let it start"))
	}
	text := func(why string) *value.Object {
		end := value.Obj("Error", stepfn.RayPendingTimeout, "Cause", wrap(fmt.Sprintf(
			"$join(['ray did not start the job within %d s: RayJob ' & (%s.deployment = '' ? 'not taken up by KubeRay' : %s.deployment), %s%s.reason, %s.message, %s][$ != ''], '; ')",
			a.t.pending.Seconds(), job, job, queue, job, job, why)))
		if a.c.at.ownCluster() {
			end.Set("known", wrap(why+" != ''"))
		}
		return a.assign("end", end)
	}
	ask.Set("Retry", transient(2))
	ask.Set("Assign", text(why))
	ask.Set("Catch", caught(text("''"), a.goTo(next)))
	ask.Set("Next", a.goTo(next))
	a.put(name, ask)
}

// reachesRay tells whether the state machine itself speaks to a Ray that stays when the RayJob is gone.
func (c *compiler) reachesRay() bool {
	return c.ray && (c.at.way == wayProxy || c.at.way == wayRayJob && !c.at.ownCluster() && c.at.target.Ray.Token == nil)
}

// firstReading is the state that begins to read the output.
func (a *attempts) firstReading() string {
	if a.c.at.target.Ray.Token == nil {
		return "Find log of"
	}
	return "Find submitter of"
}

// readRayJob adds the states that read the log's last lines from the head. A cluster of the job's own has a service named
// after it.
func (a *attempts) readRayJob() {
	base := str(a.ray(""))
	if a.c.at.ownCluster() {
		base = str("/api/v1/namespaces/"+a.c.at.namespace+"/services/") + " & " + a.v("job") + ".cluster & " +
			str(fmt.Sprintf("-head-svc:%d/proxy", a.c.at.port))
	}
	find := a.call("GET", wrap(base+" & '/api/jobs/' & "+a.v("id")), nil, nil)
	find.Set("TimeoutSeconds", value.Int(60))
	find.Set("Retry", transient(3))
	find.Set("Assign", a.assign("job", wrap("$merge(["+a.v("job")+", {'node': "+orEmpty("$states.result.ResponseBody.driver_node_id")+"}])")))
	find.Set("Catch", caught(a.assign("end", value.Obj("done", value.Obj("Output", nil, "Reason", wrap(errorText("$states.errorOutput"))))),
		a.goTo("Delete RayJob of")))
	find.Set("Next", a.goTo("Read output of"))
	a.put("Find log of", find)
	a.readOutput(wrap(base + " & '/api/v0/logs/file'"))
}

// readSubmitter adds the states that read the output where the submitter's pod printed it: the API server's proxy passes
// no token on.
func (a *attempts) readSubmitter() {
	find := a.call("GET", a.podsPath(), a.podsQuery(), nil)
	find.Set("Retry", transient(3))
	find.Set("Assign", a.assign("job", value.Obj("pod", wrap(orEmpty("$states.result.ResponseBody.items[-1].metadata.name")))))
	find.Set("Catch", caught(a.assign("end", value.Obj("done", value.Obj("Output", nil, "Reason", wrap(errorText("$states.errorOutput"))))),
		a.goTo("Delete RayJob of")))
	find.Set("Next", a.goTo("Read output of"))
	a.put("Find submitter of", find)
	read := a.call("GET", wrap(str(a.podsPath()+"/")+" & "+a.v("job")+".pod & '/log'"), value.Obj("tailLines", []any{"12"}), nil)
	a.reading(read, "$states.result.ResponseBody", "Read output of")
}

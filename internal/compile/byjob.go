package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Output is what a Job's last lines are asked for: the marked line of 32 KiB may be three in the node's log, which has 16
// KiB a line at most. So what is retrieved stays far under Step Functions' 262,144 bytes, whatever the job prints.
const tailLines = "6"

// byJob runs the step as a Kubernetes Job: a plain one, or one whose pod submits to Ray. Step Functions watches the Job;
// beside it a second branch watches whether the pod starts, for a Job that waits for ever tells nobody.
func (a *attempts) byJob() {
	run := value.Obj("StartAt", a.name("Submit"), "States", value.Obj(a.name("Submit"), a.submit()))
	a.put("Run", a.succeed(value.Obj("Type", "Parallel", "Branches", []any{run, a.watch()},
		"Output", "{% $states.result[0] %}",
		"Catch", caught(a.assign("fail", "{% $states.errorOutput %}"), a.goTo("Ask why failed")))))
	a.askWhy()
	if a.t.ray != nil {
		a.put("Sort out", value.Obj("Type", "Choice", "Choices", []any{
			value.Obj("Condition", wrap(a.v("end")+".stop = true"), "Next", a.goTo("Stop Ray job of")),
			value.Obj("Condition", wrap(a.v("end")+".foreign = true"), "Next", a.goTo("Decide on")),
		}, "Default", a.goTo("Delete Job of")))
		a.put("Stop Ray job of", a.stopper())
	} else {
		a.put("Sort out", value.Obj("Type", "Choice", "Choices", []any{
			value.Obj("Condition", wrap(a.v("end")+".foreign = true"), "Next", a.goTo("Decide on")),
		}, "Default", a.goTo("Delete Job of")))
	}
	remove := a.call("DELETE", wrap(a.jobs()+" & "+a.v("id")), value.Obj("propagationPolicy", []any{"Foreground"}), nil)
	remove.Set("Retry", transient(patience))
	remove.Set("Catch", caught(nil, a.goTo("Decide on")))
	remove.Set("Next", a.goTo("Decide on"))
	a.put("Delete Job of", remove)
}

// jobs is the expression of the path of the namespace's Jobs.
func (a *attempts) jobs() string {
	return str("/apis/batch/v1/namespaces/" + a.c.at.namespace + "/jobs/")
}

func (a *attempts) podsPath() string { return "/api/v1/namespaces/" + a.c.at.namespace + "/pods" }

// podsQuery selects the attempt's pods: a Job makes few, but what they hold is bounded only by their number.
func (a *attempts) podsQuery() *value.Object {
	return value.Obj("labelSelector", []any{wrap("'job-name=' & " + a.v("id"))}, "limit", []any{"4"})
}

// submit is the task that runs the Job to its end.
func (a *attempts) submit() *value.Object {
	args := a.c.eksArguments("Namespace", a.c.at.namespace, "Job", a.manifest(),
		"LogOptions", value.Obj("RetrieveLogs", true, "RawLogs", true, "LogParameters", value.Obj("tailLines", []any{tailLines})))
	state := value.Obj("Type", "Task", "Resource", stepfn.EKSRunJob, "Arguments", args)
	if a.t.timeout > 0 {
		state.Set("TimeoutSeconds", value.Int(a.deadline()+margin))
	}
	busy := value.Obj("ErrorEquals", []any{"EKS.429", "EKS.500", "EKS.502", "EKS.503", "EKS.504"}, "IntervalSeconds", value.Int(1),
		"MaxAttempts", value.Int(patience), "BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(15))
	state.Set("Retry", []any{busy})
	state.Set("Output", value.Obj("Output", wrap(marked("$states.result.logs.pods.*.containers.*.log"))))
	state.Set("End", true)
	return state
}

// deadline is how long the Job may take in all, in seconds.
func (a *attempts) deadline() int64 {
	switch {
	case a.t.timeout > 0:
		return a.t.pending.Seconds() + a.t.timeout.Seconds() + margin
	case a.c.p.Timeout > 0:
		return a.c.p.Timeout.Seconds()
	}
	return longestRun
}

// marked is the expression of the output on the last marked line of a log, or of several. It names the key of a NaN or Infinity, which
// Python writes and JSON does not have: a quote inside a string follows a backslash, so that no string is mistaken for a key.
// JSONata treats a bracket that follows a backslash as escaped, which is why the quote is last in the class.
func marked(logs string) string {
	return "($m := $filter($split($join([" + logs + "], '\\n'), '\\n'), function($l) { $contains($l, '" + OutputMark + "') })[-1]; " +
		"$t := $substringAfter($m, '" + OutputMark + "'); $n := $match($t, /\"([^\\\\\"]*)\"\\s*:\\s*(NaN|-?Infinity)/)[0].groups; " +
		"$exists($n) ? $error('JSON has no NaN and no Infinity, but ' & $n[0] & ' is ' & $n[1]) : $exists($m) ? $parse($t) : null)"
}

func (a *attempts) manifest() *value.Object {
	if a.t.placing {
		return a.placingJob()
	}
	if a.t.ray != nil {
		return a.submitterJob(a.v("id"), chunks("$string("+a.request()+")", "'submit', "), a.deadline(), a.c.submitterSecrets(a.t.ray))
	}
	return a.plainJob()
}

// request is the expression of what the submitter is told.
func (a *attempts) request() string {
	r := a.t.ray
	request := value.Obj("submission", a.submission(), "since", wrap(a.v("since")), "pending", value.Int(a.t.pending.Seconds()))
	if a.t.timeout > 0 {
		request.Set("timeout", value.Int(a.t.timeout.Seconds()))
	}
	if d := a.c.workingDirOf(r); d != nil && d.configMap != "" {
		request.Set("package", d.name())
	}
	modules := &value.Object{}
	for _, m := range a.c.at.modules[r] {
		if m.configMap != "" {
			modules.Set(m.module, m.name())
		}
	}
	if modules.Len() > 0 {
		request.Set("modules", modules)
	}
	if a.c.paramsOnce() {
		request.Set("params", wrap(longParams))
	}
	passed, hidden := a.c.secretsOf(r)
	if len(passed) > 0 {
		request.Set("secrets", value.FromGo(passed))
	}
	if len(hidden) > 0 {
		request.Set("hidden", value.FromGo(hidden))
	}
	return inline(request)
}

// submission is the body of the request that submits the job to Ray.
func (a *attempts) submission() *value.Object {
	o := value.Obj("submission_id", wrap(a.v("id")), "entrypoint", wrap(a.entrypoint()))
	env := a.c.runtimeEnv(a.t)
	a.c.placeWorkingDir(env, a.t.ray)
	o.Set("runtime_env", env)
	o.Set("metadata", a.c.metadata(a.t, a.t.ray.Metadata))
	r, in := a.t.ray, a.t.in
	if r.CPUs != nil {
		o.Set("entrypoint_num_cpus", a.c.number(r.CPUs, in))
	}
	if r.GPUs != nil {
		o.Set("entrypoint_num_gpus", a.c.number(r.GPUs, in))
	}
	if r.Memory != nil {
		o.Set("entrypoint_memory", a.c.quantity(r.Memory, in))
	}
	if len(r.Resources.Entries) > 0 {
		all := &value.Object{}
		for _, e := range r.Resources.Entries {
			all.Set(e.Key, a.c.number(&e.Value, in))
		}
		o.Set("entrypoint_resources", all)
	}
	return o
}

func (a *attempts) entrypoint() string {
	return wrapper(a.c.wantSecrets(a.t.ray, a.c.inWorkingDir(a.t.ray, a.c.shell(a.t.ray.Entrypoint, a.t.in))))
}

// watch is the branch that sees whether the pod starts. It looks more and more seldom, and ends with the pod's start; when
// the cluster refuses to be asked it ends, too: the Job's own deadline stands.
func (a *attempts) watch() *value.Object {
	in := &value.Object{}
	add := func(words string, state *value.Object) { in.Set(a.name(words), state) }
	add("Await pod of", value.Obj("Type", "Wait",
		"Seconds", wrap(fmt.Sprintf("($e := %s; $max([1, $min([$max([2, $floor($e / 5000)]), $ceil((%d - $e) / 1000)])]))",
			a.elapsed(), 1000*a.t.pending.Seconds())), "Next", a.name("Look for pod of")))
	look := a.call("GET", a.podsPath(), a.podsQuery(), nil)
	look.Set("Retry", transient(patience))
	look.Set("Catch", caught(nil, a.name("Leave alone")))
	look.Set("Output", value.Obj("started", wrap(startedPods), "why", wrap(a.waiting())))
	look.Set("Next", a.name("Judge pod of"))
	add("Look for pod of", look)
	add("Judge pod of", value.Obj("Type", "Choice", "Choices", []any{
		value.Obj("Condition", "{% $states.input.started %}", "Next", a.name("Leave alone")),
		value.Obj("Condition", wrap(fmt.Sprintf("%s > %d", a.elapsed(), 1000*a.t.pending.Seconds())),
			"Assign", a.assign("why", "{% $states.input.why %}"), "Next", a.name("Ask what holds up")),
	}, "Default", a.name("Await pod of")))
	add("Leave alone", value.Obj("Type", "Succeed"))
	events := a.eventsOf(a.v("id"))
	events.Set("Retry", transient(2))
	events.Set("Catch", caught(nil, a.name("Refuse to wait for")))
	events.Set("Assign", a.assign("why", wrap(a.v("why")+" != '' ? "+a.v("why")+" : "+warning)))
	events.Set("Next", a.name("Refuse to wait for"))
	add("Ask what holds up", events)
	failure := stepfn.JobStartFailed
	if a.t.ray != nil {
		failure = stepfn.RayPendingTimeout
	}
	add("Refuse to wait for", value.Obj("Type", "Fail", "Error", failure,
		"Cause", wrap(fmt.Sprintf("'no pod of the job started within %d s: ' & (%s = '' ? 'the cluster does not say why' : %s)",
			a.t.pending.Seconds(), a.v("why"), a.v("why")+" & "+refusedHint(a.v("why"))))))
	return value.Obj("StartAt", a.name("Await pod of"), "States", in)
}

// eventsOf is a task that lists what was said of an object, whose name is an expression.
func (a *attempts) eventsOf(name string) *value.Object {
	return a.call("GET", "/api/v1/namespaces/"+a.c.at.namespace+"/events",
		value.Obj("fieldSelector", []any{wrap("'involvedObject.name=' & " + name)}, "limit", []any{"20"}), nil)
}

// warning is the expression of the newest warning among events, empty without one. A controller says the same of each pod
// that it could not make, and only their names differ.
const warning = "($w := $sort($states.result.ResponseBody.items[type = 'Warning'], function($l, $r) { " +
	"$l.metadata.creationTimestamp > $r.metadata.creationTimestamp })[-1]; $exists($w) ? $w.reason & ': ' & $w.message : '')"

// startedPods is the expression that some pod has begun to run.
const startedPods = "$count($states.result.ResponseBody.items.status[phase in ['Succeeded', 'Failed'] or " +
	"$exists(containerStatuses.state.running) or $exists(containerStatuses.state.terminated)]) > 0"

// waiting is the expression of why the newest pod does not run: its image, its volumes, or no node for it; empty when there
// is no pod.
func (a *attempts) waiting() string {
	return "($p := $states.result.ResponseBody.items[-1].status; $w := $p.containerStatuses.state.waiting[0]; " +
		"$c := $p.conditions[status = 'False' and type = 'PodScheduled'][0]; " +
		"$exists($w) and $w.reason != 'ContainerCreating' ? $w.reason & ': ' & $w.message : " +
		"$exists($c) ? $c.reason & ': ' & $c.message : '')"
}

// askWhy adds the state that finds out how the attempt failed: from the pod's exit code and its last words, for Step
// Functions' own error says only that the Job failed. A Job that is there already is ours when the answer to its creation
// was lost: it is deleted and the attempt made again, so that never two run at once; another's is an error.
func (a *attempts) askWhy() {
	fail, end := a.v("fail"), a.assign
	ask := a.call("GET", wrap(fail+".Error = 'EKS.409' ? "+a.jobs()+" & "+a.v("id")+" : "+str(a.podsPath())), a.podsQuery(), nil)
	ask.Set("Retry", transient(patience))
	ask.Set("Assign", end("end", wrap(a.explain())))
	ask.Set("Catch", caught(end("end", wrap("{'Error': "+a.lost()+", 'Cause': "+a.failCause()+", 'stop': true}")), a.goTo("Sort out")))
	ask.Set("Next", a.goTo("Sort out"))
	a.put("Ask why failed", ask)
}

// lost is the expression of the error of an attempt whose pod tells nothing.
func (a *attempts) lost() string {
	failure := stepfn.JobStartFailed
	if a.t.ray != nil {
		failure = stepfn.RaySubmitFailed
	}
	return "(" + a.v("fail") + ".Error = 'States.Timeout' or $contains(" + a.failCause() + ", 'DeadlineExceeded') ? 'States.Timeout' : " + str(failure) + ")"
}

// failCause is the expression of the failed task's cause as text.
func (a *attempts) failCause() string {
	return errorText(a.v("fail"))
}

// explain is the expression of the error and cause of an attempt that failed.
func (a *attempts) explain() string {
	fail := a.v("fail")
	foreign := fmt.Sprintf("$b.metadata.annotations.`rayorch.dev/execution` = $states.context.Execution.Id ? {'again': true} : "+
		"{'Error': %s, 'Cause': 'another Job of the name ' & %s & ' is there: delete it', 'foreign': true}", a.lost(), a.v("id"))
	return a.raised(fail, fmt.Sprintf("($b := $states.result.ResponseBody; $c := %s; "+
		"$s := $sort([$b.items], function($l, $r) { $l.metadata.creationTimestamp > $r.metadata.creationTimestamp })[-1].status; "+
		"$t := ($s.containerStatuses.state.terminated)[0]; $code := $exists($t) ? $string($t.exitCode) : ''; "+
		"%s.Error in ['Ray.PendingTimeout', 'Job.StartFailed'] ? %s : %s.Error = 'EKS.409' ? (%s) : %s)",
		a.failCause(), fail, fail, fail, foreign, a.verdict()))
}

// verdict is the expression for a Job that was there: $s is its last pod's status, $t how the container ended, $code its
// exit code, $c what Step Functions says, which says most of a Job that somebody deleted, or its namespace.
func (a *attempts) verdict() string {
	late := "$s.reason = 'DeadlineExceeded' or " + a.lost() + " = 'States.Timeout'"
	said := "($exists($s.reason) ? $s.reason & ': ' & $s.message & ' ' : '') & ($exists($t.reason) ? $t.reason & ' ' : '') & $t.message"
	if a.t.ray != nil {
		return "($k := $lookup($codes, $code); $exists($k) ? {'Error': $k, 'Cause': $string($t.message)} : " +
			late + " ? {'Error': 'States.Timeout', 'Cause': " + a.tooLong() + ", 'stop': true} : " +
			"$exists($t) and " + a.v("fail") + ".Error != 'EKS.404' ? {'Error': 'Ray.SubmitFailed', 'Cause': 'the submitter ended with exit code ' & $code & ': ' & " + said + ", 'stop': true} : " +
			"{'Error': " + a.lost() + ", 'Cause': $c, 'stop': $exists($s)})"
	}
	return "(" + late + " ? {'Error': 'States.Timeout', 'Cause': " + a.tooLong() + "} : " +
		"$code = '0' ? {'Error': 'Job.Failed', 'Cause': 'the output could not be read: ' & $c} : " +
		"$exists($t) ? {'Error': 'Job.Failed', 'Cause': 'exit code ' & $code & ': ' & " + said + " & " + a.deniedHint() + "} : " +
		"$exists($s) ? {'Error': 'Job.Stopped', 'Cause': 'the pod is gone: ' & " + said + " & $c} : " +
		"{'Error': 'Job.StartFailed', 'Cause': $c})"
}

func (a *attempts) tooLong() string {
	if a.t.timeout > 0 {
		return str(fmt.Sprintf("the job timed out after %[1]d s (limit %[1]d s)", a.t.timeout.Seconds())) // Kubernetes measures it
	}
	return str("the job ran past the deadline of the run")
}

// stopper is the task that stops the Ray job of an attempt whose submitter has not seen its end.
func (a *attempts) stopper() *value.Object {
	args := a.c.eksArguments("Namespace", a.c.at.namespace,
		"Job", a.submitterJob(a.v("id")+" & '-stop'", "['stop', "+a.v("id")+"]", 180, nil))
	return value.Obj("Type", "Task", "Resource", stepfn.EKSRunJob, "Arguments", args, "TimeoutSeconds", value.Int(240),
		"Catch", caught(nil, a.goTo("Delete Job of")), "Next", a.goTo("Delete Job of"))
}

// plainJob is the Job of a plain step: the user's image and command, the wrapper round it.
func (a *attempts) plainJob() *value.Object {
	c, j := a.c, a.t.job
	command := ""
	if j.Shell != nil {
		command = c.shell(*j.Shell, a.t.in)
	} else {
		command = c.argv(j.Command, a.t.in)
	}
	container := value.Obj("name", "main", "image", c.imageField(a.t),
		"command", []any{"sh", "-c", wrap(dollars("(" + wrapper(command) + ")"))}, "env", wrap(a.plainEnv()),
		"terminationMessagePolicy", "FallbackToLogsOnError")
	if j.WorkingDir != "" {
		container.Set("workingDir", plain(j.WorkingDir))
	}
	if r := c.resources(a.t); r.Len() > 0 {
		container.Set("resources", r)
	}
	volumes, mounts := c.storageVolumes(j)
	if len(mounts) > 0 {
		container.Set("volumeMounts", mounts)
	}
	account := c.at.account
	if j.ServiceAccount != "" {
		account = j.ServiceAccount
	}
	pod := c.podSpec(account)
	secure(pod, container, c.securityOf(j))
	if c.getsToken(j) {
		pod.Set("automountServiceAccountToken", true)
	}
	if s := selector(c.at.pods.NodeSelector, j.NodeSelector); s.Len() > 0 {
		pod.Set("nodeSelector", s)
	}
	if t := tolerations(c.at.pods.Tolerations, j.Tolerations); len(t) > 0 {
		pod.Set("tolerations", t)
	}
	if a.t.timeout > 0 { // counts from when a node has taken the pod
		pod.Set("activeDeadlineSeconds", value.Int(a.t.timeout.Seconds()))
	}
	pod.Set("containers", []any{container})
	if len(volumes) > 0 {
		pod.Set("volumes", volumes)
	}
	// A pod that was lost is no reason to run a job again that nobody said may run twice: retry says so.
	spec := value.Obj("backoffLimit", value.Int(0), "activeDeadlineSeconds", value.Int(a.deadline()),
		"ttlSecondsAfterFinished", value.Int(c.at.ttl()),
		"template", value.Obj("metadata", value.Obj("labels", "{% $labels %}"), "spec", pod))
	return value.Obj("apiVersion", "batch/v1", "kind", "Job", "metadata", a.metadata(a.v("id")), "spec", spec)
}

// plainEnv is the expression of a container's environment.
func (a *attempts) plainEnv() string {
	env := inline(a.c.environment(a.t, a.t.job.Env))
	list := "$each(" + env + ", function($v, $k) { {'name': $k, 'value': " + dollars("$v") + "} })"
	if secrets := a.c.secretVariables(a.t.job.Secrets); len(secrets) > 0 {
		return "[" + list + ", " + inlineItems(secrets) + "]"
	}
	return "[" + list + "]"
}

package compile

import (
	"cmp"
	"fmt"

	"github.com/rayorch/rayorch/internal/annotation"
	"github.com/rayorch/rayorch/internal/value"
)

// Output is what a Job's last lines are asked for: the marked line of 32 KiB may be three in the node's log, which has 16
// KiB a line at most. So what is retrieved stays far under Step Functions' 262,144 bytes, whatever the job prints.
const tailLines = "6"

// jobMode is the mode of plain jobs in a cluster, and of Ray jobs by a pod that submits them.
type jobMode struct{ c *compiler }

func (m jobMode) state(s *submission) *value.Object { return m.c.attempts(s, (*attempts).byJob) }

// cleanUp stops the Ray jobs from a pod first, then deletes all Jobs.
func (m jobMode) cleanUp(states *value.Object, next string) string {
	if m.c.ray && m.c.at.mode == modeJob {
		next = m.c.stopByJob(states, next)
	}
	return m.c.deleteAll(states, "Job", jobs, "/apis/batch/v1/namespaces/"+m.c.at.namespace+"/jobs", next)
}

// check refuses a plain job without an image, and notes what only a process has.
func (m jobMode) check(w wanted) {
	j := w.job
	if j == nil {
		return
	}
	if len(j.Image.Parts) == 0 && m.c.at.jobImage == "" {
		m.c.problem(w.path+".job", "needs image here, or the target jobImage")
	}
	if j.InPlace {
		m.c.note("%s runs in its image: inPlace ignored here", w.of)
	}
}

// byJob runs the step as a Kubernetes Job: a plain one, or one whose pod submits to Ray. Step Functions watches the Job;
// beside it a second branch watches whether the pod starts, for a Job that waits for ever tells nobody.
func (a *attempts) byJob() {
	submit := &value.Object{}
	a.putIn(submit, "Submit", annotation.Submit, a.submit())
	run := value.Obj("StartAt", a.name("Submit"), "States", submit)
	a.put("Run", annotation.Watch, a.succeed(value.Obj("Type", "Parallel", "Branches", []any{run, a.watch()},
		"Output", "{% $states.result[0] %}",
		"Catch", caught(a.assign("fail", "{% $states.errorOutput %}"), a.goTo("Ask why failed")))))
	a.askWhy()
	if a.t.kind == kindRay {
		a.put("Sort out", annotation.Decide, value.Obj("Type", "Choice", "Choices", []any{
			value.Obj("Condition", wrap(a.v("end")+".stop = true"), "Next", a.goTo("Stop Ray job of")),
			value.Obj("Condition", wrap(a.v("end")+".foreign = true"), "Next", a.goTo("Decide on")),
		}, "Default", a.goTo("Delete Job of")))
		a.put("Stop Ray job of", annotation.Stop, a.stopper())
	} else {
		a.put("Sort out", annotation.Decide, value.Obj("Type", "Choice", "Choices", []any{
			value.Obj("Condition", wrap(a.v("end")+".foreign = true"), "Next", a.goTo("Decide on")),
		}, "Default", a.goTo("Delete Job of")))
	}
	remove := a.call(jobs.to("delete"), wrap(a.jobs()+" & "+a.v("id")), value.Obj("propagationPolicy", []any{"Foreground"}), nil)
	remove.Set("Retry", transient(patience))
	remove.Set("Catch", caught(nil, a.goTo("Decide on")))
	remove.Set("Next", a.goTo("Decide on"))
	a.put("Delete Job of", annotation.Stop, remove)
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
	state := a.c.runJob(a.manifest(), "LogOptions",
		value.Obj("RetrieveLogs", true, "RawLogs", true, "LogParameters", value.Obj("tailLines", []any{tailLines})))
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
	if a.t.kind == kindRay {
		return a.submitterJob(a.v("id"), chunks("$string("+a.request()+")", "'submit', "), a.deadline(), a.c.submitterSecrets(a.t.secrets))
	}
	return a.plainJob()
}

// request is the expression of what the submitter is told.
func (a *attempts) request() string {
	request := value.Obj("submission", a.submission(), "since", wrap(a.v("since")), "pending", value.Int(a.t.pending.Seconds()))
	if a.t.timeout > 0 {
		request.Set("timeout", value.Int(a.t.timeout.Seconds()))
	}
	if d := a.t.packages.dir; d != nil && d.configMap != "" {
		request.Set("package", d.name())
	}
	modules := &value.Object{}
	for _, m := range a.t.packages.modules {
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
	passed, hidden := a.c.secretsOf(a.t.secrets)
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
	o := value.Obj("submission_id", wrap(a.v("id")), "entrypoint", wrap(a.t.command), "runtime_env", a.t.runtimeEnv,
		"metadata", a.c.marks(a.t))
	a.t.resources.reserve(o, jobsNames)
	return o
}

// watch is the branch that sees whether the pod starts. It looks more and more seldom, and ends with the pod's start; when
// the cluster refuses to be asked it ends, too: the Job's own deadline stands.
func (a *attempts) watch() *value.Object {
	in := &value.Object{}
	add := func(words string, role annotation.Role, state *value.Object) { a.putIn(in, words, role, state) }
	add("Await pod of", annotation.WaitStart, value.Obj("Type", "Wait",
		"Seconds", wrap(fmt.Sprintf("($e := %s; $max([1, $min([$max([2, $floor($e / 5000)]), $ceil((%d - $e) / 1000)])]))",
			a.elapsed(), 1000*a.t.pending.Seconds())), "Next", a.name("Look for pod of")))
	look := a.call(pods.to("list"), a.podsPath(), a.podsQuery(), nil)
	look.Set("Retry", transient(patience))
	look.Set("Catch", caught(nil, a.name("Leave alone")))
	look.Set("Output", value.Obj("started", wrap(startedPods), "why", wrap(a.waiting())))
	look.Set("Next", a.name("Judge pod of"))
	add("Look for pod of", annotation.PollStart, look)
	add("Judge pod of", annotation.JudgeStart, value.Obj("Type", "Choice", "Choices", []any{
		value.Obj("Condition", "{% $states.input.started %}", "Next", a.name("Leave alone")),
		value.Obj("Condition", wrap(fmt.Sprintf("%s > %d", a.elapsed(), 1000*a.t.pending.Seconds())),
			"Assign", a.assign("why", "{% $states.input.why %}"), "Next", a.name("Ask what holds up")),
	}, "Default", a.name("Await pod of")))
	add("Leave alone", annotation.Started, value.Obj("Type", "Succeed"))
	events := a.eventsOf(a.v("id"))
	events.Set("Retry", transient(2))
	events.Set("Catch", caught(nil, a.name("Refuse to wait for")))
	events.Set("Assign", a.assign("why", wrap(a.v("why")+" != '' ? "+a.v("why")+" : "+warning)))
	events.Set("Next", a.name("Refuse to wait for"))
	add("Ask what holds up", annotation.Diagnose, events)
	failure := "Job.StartFailed"
	if a.t.kind == kindRay {
		failure = "Ray.PendingTimeout"
	}
	add("Refuse to wait for", annotation.GiveUp, value.Obj("Type", "Fail", "Error", failure,
		"Cause", wrap(fmt.Sprintf("'no pod of the job started within %d s: ' & (%s = '' ? 'the cluster does not say why' : %s)",
			a.t.pending.Seconds(), a.v("why"), a.v("why")+" & "+refusedHint(a.v("why"))))))
	return value.Obj("StartAt", a.name("Await pod of"), "States", in)
}

// eventsOf is a task that lists what was said of an object, whose name is an expression.
func (a *attempts) eventsOf(name string) *value.Object {
	return a.call(events.to("list"), "/api/v1/namespaces/"+a.c.at.namespace+"/events",
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
	ask := a.call(pods.to("list"), wrap(fail+".Error = 'EKS.409' ? "+a.jobs()+" & "+a.v("id")+" : "+str(a.podsPath())), a.podsQuery(), nil)
	a.c.needing(ask, jobs.to("get"))
	ask.Set("Retry", transient(patience))
	ask.Set("Assign", end("end", wrap(a.explain())))
	ask.Set("Catch", caught(end("end", wrap("{'Error': "+a.lost()+", 'Cause': "+a.failCause()+", 'stop': true}")), a.goTo("Sort out")))
	ask.Set("Next", a.goTo("Sort out"))
	a.put("Ask why failed", annotation.Diagnose, ask)
}

// lost is the expression of the error of an attempt whose pod tells nothing.
func (a *attempts) lost() string {
	failure := "Job.StartFailed"
	if a.t.kind == kindRay {
		failure = "Ray.SubmitFailed"
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
	if a.t.kind == kindRay {
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
	state := a.c.runJob(a.submitterJob(a.v("id")+" & '-stop'", "['stop', "+a.v("id")+"]", 180, nil))
	state.Set("TimeoutSeconds", value.Int(240))
	state.Set("Catch", caught(nil, a.goTo("Delete Job of")))
	state.Set("Next", a.goTo("Delete Job of"))
	return state
}

// plainJob is the Job of a plain step: the user's image and command, the wrapper round it.
func (a *attempts) plainJob() *value.Object {
	c, s := a.c, a.t
	container := value.Obj("name", "main", "image", s.pod.image,
		"command", []any{"sh", "-c", wrap(dollars("(" + s.command + ")"))}, "env", wrap(a.plainEnv()),
		"terminationMessagePolicy", "FallbackToLogsOnError")
	if s.workingDir != "" {
		container.Set("workingDir", plain(s.workingDir))
	}
	if r := s.resources.container(); r.Len() > 0 {
		container.Set("resources", r)
	}
	volumes, mounts := c.storageVolumes(s.pod.mounts)
	if len(mounts) > 0 {
		container.Set("volumeMounts", mounts)
	}
	pod := c.podSpec(cmp.Or(s.pod.serviceAccount, c.at.account))
	secure(pod, container, s.pod.security)
	if s.pod.token {
		pod.Set("automountServiceAccountToken", true)
	}
	if labels := selector(c.at.pods.NodeSelector, s.pod.nodeSelector); labels.Len() > 0 {
		pod.Set("nodeSelector", labels)
	}
	if t := tolerations(c.at.pods.Tolerations, s.pod.tolerations); len(t) > 0 {
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
	list := "$each(" + inline(a.t.env) + ", function($v, $k) { {'name': $k, 'value': " + dollars("$v") + "} })"
	if secrets := a.c.secretVariables(a.t.secrets); len(secrets) > 0 {
		return "[" + list + ", " + inlineItems(secrets) + "]"
	}
	return "[" + list + "]"
}

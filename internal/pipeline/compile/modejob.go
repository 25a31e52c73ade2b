package compile

import (
	"cmp"
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// tailLines is the number of lines to retrieve from the end of a Job's log. The marked line of up to 32 KiB can be three lines in the
// log of the node, which have at most 16 KiB each. The result is then far smaller than Step Functions' 262,144 bytes, regardless of
// what the job prints.
const tailLines = "6"

// jobMode is the mode of plain jobs in a cluster, and of Ray jobs that a pod submits.
type jobMode struct{ c *compiler }

func (m jobMode) state(s *submission) *value.Object { return m.c.attempts(s, (*attempts).byJob) }

// cleanUp deletes all Jobs, then stops the Ray jobs from a pod.
func (m jobMode) cleanUp(states *value.Object, next string) string {
	if m.c.ray && m.c.at.mode == pipeline.SubmitJob {
		next = m.c.stopByJob(states, next)
	}
	return m.c.deleteAll(states, "Job", jobs, next)
}

// check reports a plain job without an image, and adds a note about inPlace, which applies only to processes.
func (m jobMode) check(w wanted) {
	j := w.job
	if j == nil {
		return
	}
	if len(j.Image.Parts) == 0 && m.c.at.jobImage == "" {
		m.c.problem(w.path+".job", "must have an image, or the target must have jobImage")
	}
	if j.InPlace {
		m.c.note("%s runs in its image, ignoring inPlace", w.of)
	}
}

// byJob adds the states of an attempt that is a Kubernetes Job:
//
//	Run (Submit; at the same time: Wait for pod, Poll pod, Check pod, Diagnose start of, Stop waiting for)
//	Diagnose -> Plan cleanup of -> [Stop Ray job] -> Delete Job -> Decide on
//
// The Job runs the plain job itself, or the submitter of a Ray job. Step Functions waits for the end of the Job. A second branch watches
// whether the pod starts, because otherwise a pod that never starts would not be reported.
func (a *attempts) byJob() {
	submit := &value.Object{}
	a.putIn(submit, "Submit", annotation.Submit, a.submit())
	run := value.Obj("StartAt", a.name("Submit"), "States", submit)
	a.put("Run", annotation.Watch, a.succeed(value.Obj("Type", "Parallel", "Branches", []any{run, a.watch()},
		"Output", query.States("result").At(0).Value(),
		"Catch", caught(value.Obj("fail", query.States("errorOutput").Value()), a.goTo("Diagnose")))))
	a.diagnose()
	var rules []any
	if a.sub.kind == kindRay {
		rules = append(rules, when(query.Eq(a.v("end").Get("stop"), query.True), a.goTo("Stop Ray job of")))
		a.put("Stop Ray job of", annotation.Stop, a.stopper())
	}
	rules = append(rules, when(query.Eq(a.v("end").Get("foreign"), query.True), a.goTo("Decide on")))
	a.put("Plan cleanup of", annotation.Decide, value.Obj("Type", "Choice", "Choices", rules, "Default", a.goTo("Delete Job of")))
	remove := a.c.remove(jobs, a.v("id"), "Foreground")
	remove.Set("Retry", transient(patience))
	remove.Set("Catch", caught(nil, a.goTo("Decide on")))
	remove.Set("Next", a.goTo("Decide on"))
	a.put("Delete Job of", annotation.Stop, remove)
}

// listPods returns a task that lists the attempt's pods.
func (a *attempts) listPods() *value.Object { return a.c.list(pods, a.podsOf(a.v("id"))) }

// podsOf returns the query parameters that select a Job's pods. A Job has few pods, but each can be large, so that the list needs a limit.
func (a *attempts) podsOf(job query.Expr) *value.Object {
	return value.Obj("labelSelector", []any{query.Concat(query.Str("job-name="), job).Value()}, "limit", []any{"4"})
}

// submit returns the task that runs the Job to its end.
func (a *attempts) submit() *value.Object {
	state := a.c.runJob(a.manifest(), "LogOptions",
		value.Obj("RetrieveLogs", true, "RawLogs", true, "LogParameters", value.Obj("tailLines", []any{tailLines})))
	if a.sub.timeout > 0 {
		state.Set("TimeoutSeconds", value.Int(a.deadline()+margin))
	}
	busy := value.Obj("ErrorEquals", []any{"EKS.429", "EKS.500", "EKS.502", "EKS.503", "EKS.504"}, "IntervalSeconds", value.Int(1),
		"MaxAttempts", value.Int(patience), "BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(15))
	state.Set("Retry", []any{busy})
	state.Set("Output", value.Obj("Output", marked(query.States("result", "logs", "pods").Values().Get("containers").Values().Get("log")).Value()))
	state.Set("End", true)
	return state
}

// deadline returns the maximum time of the Job in seconds, including its time pending.
func (a *attempts) deadline() int64 {
	switch {
	case a.sub.timeout > 0:
		return a.sub.pending.Seconds() + a.sub.timeout.Seconds() + margin
	case a.c.p.Timeout > 0:
		return a.c.p.Timeout.Seconds()
	}
	return longestRun
}

// marked returns the output from the last marked line of a log or of a list of logs.
func marked(logs query.Expr) query.Expr {
	return query.File("marked", query.Bind("logs", logs), query.Bind("mark", query.Str(OutputMark)))
}

// manifest returns the Job of the attempt.
func (a *attempts) manifest() *value.Object {
	if a.sub.placing {
		return a.placingJob()
	}
	if a.sub.kind == kindRay {
		text := query.Call("string", query.Inline(a.request()))
		chunks := query.File("chunks", query.Bind("text", text), query.Bind("size", query.Int(argumentSize)))
		return a.submitterJob(a.v("id"), query.Array(query.Str("submit"), chunks), a.deadline(), a.c.submitterSecrets(a.sub.secrets))
	}
	return a.plainJob()
}

// request returns the input of the submitter (submit.py describes it).
func (a *attempts) request() *value.Object {
	request := value.Obj("submission", a.submission(), "since", a.v("since").Value(), "pending", value.Int(a.sub.pending.Seconds()))
	if a.sub.timeout > 0 {
		request.Set("timeout", value.Int(a.sub.timeout.Seconds()))
	}
	if d := a.sub.packages.dir; d != nil && d.configMap != "" {
		request.Set("package", d.name())
	}
	modules := &value.Object{}
	for _, m := range a.sub.packages.modules {
		if m.configMap != "" {
			modules.Set(m.module, m.name())
		}
	}
	if modules.Len() > 0 {
		request.Set("modules", modules)
	}
	if a.c.paramsOnce() {
		request.Set("params", paramsIfLong().Value())
	}
	passed, hidden := a.c.secretsOf(a.sub.secrets)
	if len(passed) > 0 {
		request.Set("secrets", value.FromGo(passed))
	}
	if len(hidden) > 0 {
		request.Set("hidden", value.FromGo(hidden))
	}
	return request
}

// submission returns the body of the request that submits the job to Ray.
func (a *attempts) submission() *value.Object {
	o := value.Obj("submission_id", a.v("id").Value(), "entrypoint", a.sub.command.Value(), "runtime_env", a.sub.runtimeEnv,
		"metadata", a.c.marks(a.sub))
	a.sub.resources.reserve(o, jobsNames)
	return o
}

// watch returns the branch that watches whether the pod starts. It polls at increasing intervals, and ends when the pod starts. It also
// ends if the cluster rejects the poll: then only the deadline of the Job applies.
func (a *attempts) watch() *value.Object {
	in := &value.Object{}
	add := func(words string, role annotation.Role, state *value.Object) { a.putIn(in, words, role, state) }
	interval := query.File("podinterval", query.Bind("elapsed", a.elapsed()), query.Bind("pending", a.pendingMillis()))
	add("Wait for pod of", annotation.WaitStart, value.Obj("Type", "Wait", "Seconds", interval.Value(), "Next", a.name("Poll pod of")))
	look := a.listPods()
	look.Set("Retry", transient(patience))
	look.Set("Catch", caught(nil, a.name("Started")))
	look.Set("Output", value.Obj("started", query.File("podstarted").Value(), "why", query.File("podwaits").Value()))
	look.Set("Next", a.name("Check pod of"))
	add("Poll pod of", annotation.PollStart, look)
	late := when(a.waited(), a.name("Diagnose start of"))
	late.Set("Assign", value.Obj("why", query.States("input", "why").Value()))
	add("Check pod of", annotation.JudgeStart, value.Obj("Type", "Choice", "Choices", []any{
		when(query.States("input", "started"), a.name("Started")), late}, "Default", a.name("Wait for pod of")))
	add("Started", annotation.Started, value.Obj("Type", "Succeed"))
	why := a.v("why")
	events := a.eventsOf(a.v("id"))
	events.Set("Retry", transient(2))
	events.Set("Catch", caught(nil, a.name("Stop waiting for")))
	events.Set("Assign", value.Obj("why", query.If(query.Op(why, "!=", query.Str("")), why, query.File("warning")).Value()))
	events.Set("Next", a.name("Stop waiting for"))
	add("Diagnose start of", annotation.Diagnose, events)
	failure := stepfn.JobStartFailed
	if a.sub.kind == kindRay {
		failure = stepfn.RayPendingTimeout
	}
	cause := query.File("notstarted", query.Bind("why", why), query.Bind("seconds", query.Int(a.sub.pending.Seconds())))
	add("Stop waiting for", annotation.GiveUp, value.Obj("Type", "Fail", "Error", failure, "Cause", cause.Value()))
	return value.Obj("StartAt", a.name("Wait for pod of"), "States", in)
}

// eventsOf returns a task that lists the events of an object.
func (a *attempts) eventsOf(name query.Expr) *value.Object {
	selector := query.Concat(query.Str("involvedObject.name="), name)
	return a.c.list(events, value.Obj("fieldSelector", []any{selector.Value()}, "limit", []any{"20"}))
}

// diagnose adds the state that determines why the attempt failed: from its pods, or from the Job if one with this name already exists.
func (a *attempts) diagnose() {
	fail := a.v("fail")
	path := query.If(query.Eq(fail.Get("Error"), query.Str("EKS.409")), a.c.objectPath(jobs, a.v("id")), query.Str(a.c.pathOf(pods)))
	ask := a.c.needing(a.c.call(pods.to("list"), path.Value(), a.podsOf(a.v("id")), nil), jobs.to("get"))
	ask.Set("Retry", transient(patience))
	ask.Set("Assign", value.Obj("end", a.verdict(fail).Value()))
	ask.Set("Catch", caught(value.Obj("end", a.unknown(fail).Value()), a.goTo("Plan cleanup of")))
	ask.Set("Next", a.goTo("Plan cleanup of"))
	a.put("Diagnose", annotation.Diagnose, ask)
}

// unknown returns the result of the attempt if the pods cannot be read.
func (a *attempts) unknown(fail query.Expr) query.Expr {
	otherwise := stepfn.JobStartFailed
	if a.sub.kind == kindRay {
		otherwise = stepfn.RaySubmitFailed
	}
	return query.File("jobunknown", query.Bind("fail", fail), query.Bind("cause", errorText(fail)), query.Bind("otherwise", query.Str(otherwise)))
}

// verdict returns the result of the attempt.
func (a *attempts) verdict(fail query.Expr) query.Expr {
	inputs := []query.Binding{query.Bind("fail", fail), query.Bind("cause", errorText(fail)), query.Bind("id", a.v("id")),
		query.Bind("late", query.Str(a.tooLong()))}
	if a.sub.kind == kindRay {
		return a.raisedError(fail, query.File("submitterverdict", inputs...))
	}
	return a.raisedError(fail, query.File("podverdict", append(inputs, query.Bind("hint", query.Str(a.deniedHint())))...))
}

// tooLong returns the cause of a timeout.
func (a *attempts) tooLong() string {
	if a.sub.timeout > 0 {
		return fmt.Sprintf("the job timed out after %[1]d s (limit %[1]d s)", a.sub.timeout.Seconds()) // Kubernetes enforces the limit
	}
	return "the job exceeded the deadline of the run"
}

// stopper returns the task that stops the Ray job of an attempt if its submitter has not seen the job's end.
func (a *attempts) stopper() *value.Object {
	state := a.c.runJob(a.submitterJob(query.Concat(a.v("id"), query.Str("-stop")), query.Array(query.Str("stop"), a.v("id")), 180, nil))
	state.Set("TimeoutSeconds", value.Int(240))
	state.Set("Catch", caught(nil, a.goTo("Delete Job of")))
	state.Set("Next", a.goTo("Delete Job of"))
	return state
}

// plainJob returns the Job of a plain job: the user's image, and the user's command in the wrapper.
func (a *attempts) plainJob() *value.Object {
	c, s := a.c, a.sub
	container := value.Obj("name", "main", "image", s.pod.image,
		"command", []any{"sh", "-c", dollars(s.command).Value()}, "env", a.plainEnv().Value(),
		"terminationMessagePolicy", "FallbackToLogsOnError")
	if s.workingDir != "" {
		container.Set("workingDir", query.Plain(s.workingDir))
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
	if a.sub.timeout > 0 { // counts from the time at which the kubelet accepts the pod
		pod.Set("activeDeadlineSeconds", value.Int(a.sub.timeout.Seconds()))
	}
	pod.Set("containers", []any{container})
	if len(volumes) > 0 {
		pod.Set("volumes", volumes)
	}
	// No other pod replaces a lost one: only the step's retry can run the job again.
	spec := value.Obj("backoffLimit", value.Int(0), "activeDeadlineSeconds", value.Int(a.deadline()),
		"ttlSecondsAfterFinished", value.Int(c.at.ttl()),
		"template", value.Obj("metadata", value.Obj("labels", runLabels.Value()), "spec", pod))
	return value.Obj("apiVersion", "batch/v1", "kind", "Job", "metadata", a.metadata(a.v("id")), "spec", spec)
}

// plainEnv returns the environment of a plain job's container.
func (a *attempts) plainEnv() query.Expr {
	v := query.Object(query.Bind("name", query.Var("k")), query.Bind("value", dollars(query.Var("v"))))
	list := query.Call("each", a.sub.env, query.Function(v, "v", "k"))
	return query.Array(append([]query.Expr{list}, inlined(a.c.secretVariables(a.sub.secrets))...)...)
}

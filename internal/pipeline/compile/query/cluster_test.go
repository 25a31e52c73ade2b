package query_test

import "fmt"

// Cases of the files for targets in a cluster.

// errorOutput returns $states of a state that caught an error.
func errorOutput(name string) vars {
	return vars{"states": fmt.Sprintf(`{"errorOutput": {"Error": %q, "Cause": "c"}}`, name)}
}

// answered returns $states of a state whose call returned a response.
func answered(body string) vars {
	return vars{"states": `{"result": {"ResponseBody": ` + body + `}, "context": {"Execution": {"Id": "mine"}}}`}
}

var _ = covers("readable",
	fileCase{name: "Kubernetes", inputs: `{"cause": "{\"ResponseBody\":{\"kind\":\"Status\",\"message\":\"pods \\\"a\\\" not found\",\"code\":404}}"}`,
		want: `"pods \"a\" not found"`},
	fileCase{name: "Ray", inputs: `{"cause": "{\"ResponseBody\":\"no such\\njob\",\"StatusCode\":404}"}`, want: `"no such\njob"`},
	fileCase{name: "another's", inputs: `{"cause": "exit code 1"}`, want: `"exit code 1"`},
	fileCase{name: "cut short", inputs: `{"cause": "{\"ResponseBody\":{\"kind\":\"Status\",\"mess"}`, want: `"{\"ResponseBody\":{\"kind\":\"Status\",\"mess"`},
	fileCase{name: "empty", inputs: `{"cause": ""}`, want: `""`},
)

var _ = covers("errortext",
	fileCase{name: "cause", inputs: `{"failure": {"Error": "E", "Cause": "because"}}`, want: `"because"`},
	fileCase{name: "no cause", inputs: `{"failure": {"Error": "States.Timeout"}}`, want: `"States.Timeout"`},
	fileCase{name: "raised by an expression", inputs: `{"failure": {"Error": "States.QueryEvaluationError", "Cause": "The expression $x D3137: too long"}}`,
		want: `"too long"`},
)

var _ = covers("backoff",
	fileCase{name: "second attempt", inputs: `{"try": 1, "interval": 5, "rate": 2, "most": 600, "share": 1}`, want: `5`},
	fileCase{name: "fourth attempt", inputs: `{"try": 3, "interval": 5, "rate": 2, "most": 600, "share": 1}`, want: `20`},
	fileCase{name: "longest wait", inputs: `{"try": 9, "interval": 5, "rate": 2, "most": 600, "share": 1}`, want: `600`},
	fileCase{name: "a power too large", inputs: `{"try": 1000, "interval": 5, "rate": 20, "most": 600, "share": 1}`, want: `600`},
	fileCase{name: "jitter", inputs: `{"try": 3, "interval": 5, "rate": 2, "most": 600, "share": 0.33}`, want: `6`},
)

var _ = covers("podinterval",
	fileCase{name: "first", inputs: `{"elapsed": 100, "pending": 900000}`, want: `2`},
	fileCase{name: "a fifth", inputs: `{"elapsed": 100000, "pending": 900000}`, want: `20`},
	fileCase{name: "up to the timeout", inputs: `{"elapsed": 899500, "pending": 900000}`, want: `1`},
	fileCase{name: "after the timeout", inputs: `{"elapsed": 950000, "pending": 900000}`, want: `1`},
)

var _ = covers("podstarted",
	fileCase{name: "no pods", reads: answered(`{"items": []}`), want: `false`},
	fileCase{name: "pending", reads: answered(`{"items": [{"status": {"phase": "Pending"}}]}`), want: `false`},
	fileCase{name: "waits", reads: answered(`{"items": [{"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {}}}]}}]}`), want: `false`},
	fileCase{name: "runs", reads: answered(`{"items": [{"status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}}]}`), want: `true`},
	fileCase{name: "has ended", reads: answered(`{"items": [{"status": {"phase": "Failed"}}, {"status": {"phase": "Pending"}}]}`), want: `true`},
	fileCase{name: "container has ended", reads: answered(`{"items": [{"status": {"phase": "Running", "containerStatuses": [{"state": {"terminated": {}}}]}}]}`), want: `true`},
)

var _ = covers("podwaits",
	fileCase{name: "no pods", reads: answered(`{"items": []}`), want: `""`},
	fileCase{name: "image", reads: answered(`{"items": [{"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}}]}`),
		want: `"ErrImagePull: no such image"`},
	fileCase{name: "no node", reads: answered(`{"items": [{}, {"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}}]}`),
		want: `"Unschedulable: 0/3 nodes"`},
	fileCase{name: "being created", reads: answered(`{"items": [{"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}}]}`), want: `""`},
)

var _ = covers("warning",
	fileCase{name: "none", reads: answered(`{"items": []}`), want: `""`},
	fileCase{name: "no warnings", reads: answered(`{"items": [{"type": "Normal", "reason": "Pulled", "message": "m"}]}`), want: `""`},
	fileCase{name: "newest", reads: answered(`{"items": [{"type": "Warning", "reason": "B", "message": "new", "metadata": {"creationTimestamp": "2026-01-02"}},
		{"type": "Warning", "reason": "A", "message": "old", "metadata": {"creationTimestamp": "2026-01-01"}}]}`), want: `"B: new"`},
)

var _ = covers("notstarted",
	fileCase{name: "unknown", inputs: `{"why": "", "seconds": 900}`, want: `"no pod of the job started within 900 s: Kubernetes gives no reason"`},
	fileCase{name: "known", inputs: `{"why": "ErrImagePull: x", "seconds": 60}`, want: `"no pod of the job started within 60 s: ErrImagePull: x"`},
	fileCase{name: "not root", inputs: `{"why": "container has runAsNonRoot", "seconds": 60}`,
		want: `"no pod of the job started within 60 s: container has runAsNonRoot: set securityContext"`},
	fileCase{name: "namespace", inputs: `{"why": "FailedCreate: violates PodSecurity", "seconds": 60}`,
		want: `"no pod of the job started within 60 s: FailedCreate: violates PodSecurity: set securityContext"`},
)

var _ = covers("jobunknown",
	fileCase{name: "failed", inputs: `{"fail": {"Error": "EKS.500"}, "cause": "c", "otherwise": "Ray.SubmitFailed"}`,
		want: `{"Error": "Ray.SubmitFailed", "Cause": "c", "stop": true}`},
	fileCase{name: "state timed out", inputs: `{"fail": {"Error": "States.Timeout"}, "cause": "States.Timeout", "otherwise": "Job.StartFailed"}`,
		want: `{"Error": "States.Timeout", "Cause": "States.Timeout", "stop": true}`},
	fileCase{name: "deadline", inputs: `{"fail": {"Error": "States.TaskFailed"}, "cause": "reason: DeadlineExceeded", "otherwise": "Job.StartFailed"}`,
		want: `{"Error": "States.Timeout", "Cause": "reason: DeadlineExceeded", "stop": true}`},
)

// pods returns $states with a list of pods, of which only the newest one matters.
func pods(status string) vars {
	v := answered(`{"items": [{"metadata": {"creationTimestamp": "2026-01-02"}, "status": ` + status + `},
		{"metadata": {"creationTimestamp": "2026-01-01"}, "status": {"containerStatuses": [{"state": {"terminated": {"exitCode": 99}}}]}}]}`)
	v["codes"] = `{"41": "Ray.JobFailed", "43": "Ray.HeadLost"}`
	return v
}

// ended returns $states with a pod whose container has ended.
func ended(terminated string) vars {
	return pods(`{"containerStatuses": [{"state": {"terminated": ` + terminated + `}}]}`)
}

// existing returns $states with the Job that already exists.
func existing(execution string) vars {
	v := answered(`{"kind": "Job", "metadata": {"annotations": {"rayorch.dev/execution": "` + execution + `"}}}`)
	v["codes"] = `{}`
	return v
}

// none returns $states without pods.
func none() vars {
	v := answered(`{"items": []}`)
	v["codes"] = `{}`
	return v
}

func verdictInputs(failure, cause, more string) string {
	return fmt.Sprintf(`{"fail": {"Error": %q, "Cause": %q}, "cause": %[2]q, "id": "job-1", "late": "too late"%s}`, failure, cause, more)
}

var (
	failedJob   = verdictInputs("States.TaskFailed", "it failed", "")
	failedPlain = verdictInputs("States.TaskFailed", "it failed", `, "hint": ": a hint"`)
)

var _ = covers("submitterverdict",
	fileCase{name: "pod did not start", inputs: verdictInputs("Ray.PendingTimeout", "no pod", ""), reads: none(), want: `{"Error": "Ray.PendingTimeout", "Cause": "no pod"}`},
	fileCase{name: "our own Job exists", inputs: verdictInputs("EKS.409", "exists", ""), reads: existing("mine"), want: `{"again": true}`},
	fileCase{name: "another's Job exists", inputs: verdictInputs("EKS.409", "exists", ""), reads: existing("other"),
		want: `{"Error": "Ray.SubmitFailed", "Cause": "another Job has the name job-1: delete it", "foreign": true}`},
	fileCase{name: "the submitter's code", inputs: failedJob, reads: ended(`{"exitCode": 43, "message": "gone"}`), want: `{"Error": "Ray.HeadLost", "Cause": "gone"}`},
	fileCase{name: "the pod's deadline", inputs: failedJob, reads: pods(`{"reason": "DeadlineExceeded"}`),
		want: `{"Error": "States.Timeout", "Cause": "too late", "stop": true}`},
	fileCase{name: "the Job's deadline", inputs: verdictInputs("States.TaskFailed", "DeadlineExceeded", ""), reads: none(),
		want: `{"Error": "States.Timeout", "Cause": "too late", "stop": true}`},
	fileCase{name: "the state's timeout", inputs: verdictInputs("States.Timeout", "", ""), reads: none(),
		want: `{"Error": "States.Timeout", "Cause": "too late", "stop": true}`},
	fileCase{name: "another code", inputs: failedJob, reads: ended(`{"exitCode": 137, "reason": "OOMKilled"}`),
		want: `{"Error": "Ray.SubmitFailed", "Cause": "the submitter exited with code 137: OOMKilled ", "stop": true}`},
	fileCase{name: "an evicted pod", inputs: failedJob, reads: pods(`{"reason": "Evicted", "message": "low on disk", "containerStatuses": [{"state": {"terminated": {"exitCode": 1, "message": "m"}}}]}`),
		want: `{"Error": "Ray.SubmitFailed", "Cause": "the submitter exited with code 1: Evicted: low on disk m", "stop": true}`},
	fileCase{name: "the pod is there, the Job is gone", inputs: verdictInputs("EKS.404", "not found", ""), reads: ended(`{"exitCode": 1}`),
		want: `{"Error": "Ray.SubmitFailed", "Cause": "not found", "stop": true}`},
	fileCase{name: "no pods", inputs: verdictInputs("EKS.403", "forbidden", ""), reads: none(), want: `{"Error": "Ray.SubmitFailed", "Cause": "forbidden", "stop": false}`},
)

var _ = covers("podverdict",
	fileCase{name: "pod did not start", inputs: verdictInputs("Job.StartFailed", "no pod", `, "hint": ""`), reads: none(), want: `{"Error": "Job.StartFailed", "Cause": "no pod"}`},
	fileCase{name: "our own Job exists", inputs: verdictInputs("EKS.409", "exists", `, "hint": ""`), reads: existing("mine"), want: `{"again": true}`},
	fileCase{name: "another's Job exists", inputs: verdictInputs("EKS.409", "exists", `, "hint": ""`), reads: existing("other"),
		want: `{"Error": "Job.StartFailed", "Cause": "another Job has the name job-1: delete it", "foreign": true}`},
	fileCase{name: "the pod's deadline", inputs: failedPlain, reads: pods(`{"reason": "DeadlineExceeded"}`), want: `{"Error": "States.Timeout", "Cause": "too late"}`},
	fileCase{name: "the state's timeout", inputs: verdictInputs("States.Timeout", "", `, "hint": ""`), reads: none(), want: `{"Error": "States.Timeout", "Cause": "too late"}`},
	fileCase{name: "success without output", inputs: failedPlain, reads: ended(`{"exitCode": 0}`),
		want: `{"Error": "Job.Failed", "Cause": "the output could not be read: it failed"}`},
	fileCase{name: "failure", inputs: failedPlain, reads: ended(`{"exitCode": 3, "reason": "Error", "message": "last words"}`),
		want: `{"Error": "Job.Failed", "Cause": "exit code 3: Error last words"}`},
	fileCase{name: "no permission", inputs: failedPlain, reads: ended(`{"exitCode": 1, "message": "/data: Permission denied"}`),
		want: `{"Error": "Job.Failed", "Cause": "exit code 1: /data: Permission denied: a hint"}`},
	fileCase{name: "evicted", inputs: failedPlain, reads: pods(`{"reason": "Evicted", "message": "low on disk"}`),
		want: `{"Error": "Job.Stopped", "Cause": "the pod is gone: Evicted: low on disk it failed"}`},
	fileCase{name: "no pods", inputs: failedPlain, reads: none(), want: `{"Error": "Job.StartFailed", "Cause": "it failed"}`},
)

const refusal = `{"cause": "c", "otherwise": "Ray.SubmitFailed"}`

var _ = covers("callfailed",
	fileCase{name: "401", inputs: refusal, reads: errorOutput("EKS.401"), want: `{"Error": "Ray.Unauthorized", "Cause": "c"}`},
	fileCase{name: "403", inputs: refusal, reads: errorOutput("EKS.403"), want: `{"Error": "Ray.Unauthorized", "Cause": "c"}`},
	fileCase{name: "422", inputs: refusal, reads: errorOutput("EKS.422"), want: `{"Error": "Ray.SubmitFailed", "Cause": "c"}`},
	fileCase{name: "an expression failed", inputs: refusal, reads: errorOutput("States.QueryEvaluationError"), want: `{"Error": "Ray.SubmitFailed", "Cause": "c"}`},
	fileCase{name: "404 of Ray", inputs: refusal, reads: errorOutput("EKS.404"), want: `{"Error": "Ray.SubmitFailed", "Cause": "c"}`},
	fileCase{name: "404 of Kubernetes", inputs: `{"cause": "{\"kind\":\"Status\"}", "otherwise": "Ray.SubmitFailed"}`, reads: errorOutput("EKS.404"),
		want: `{"Error": "Ray.Unreachable", "Cause": "{\"kind\":\"Status\"}"}`},
	fileCase{name: "503", inputs: refusal, reads: errorOutput("EKS.503"), want: `{"Error": "Ray.Unreachable", "Cause": "c"}`},
)

func unread(cause, refused string, elapsed int) string {
	return fmt.Sprintf(`{"cause": %q, "refused": %q, "id": "job-1", "elapsed": %d, "pending": 900000}`, cause, refused, elapsed)
}

var _ = covers("recordunread",
	fileCase{name: "lost", inputs: unread("no job", "", 5), reads: errorOutput("EKS.404"),
		want: `{"Error": "Ray.HeadLost", "Cause": "Ray has no job job-1: the head was replaced"}`},
	fileCase{name: "no agent yet", inputs: unread("no job", "No available agent to submit", 5), reads: errorOutput("EKS.404"), want: `{"again": true}`},
	fileCase{name: "no agent in time", inputs: unread("no job", "No available agent to submit", 900000), reads: errorOutput("EKS.404"),
		want: `{"Error": "Ray.SubmitFailed", "Cause": "No available agent to submit"}`},
	fileCase{name: "refused", inputs: unread("no job", "bad runtime_env", 5), reads: errorOutput("EKS.404"), want: `{"Error": "Ray.SubmitFailed", "Cause": "bad runtime_env"}`},
	fileCase{name: "404 of Kubernetes", inputs: unread(`{"kind":"Status"}`, "", 5), reads: errorOutput("EKS.404"), want: `{"Error": "Ray.Unreachable", "Cause": "{\"kind\":\"Status\"}"}`},
	fileCase{name: "403", inputs: unread("c", "", 5), reads: errorOutput("EKS.403"), want: `{"Error": "Ray.Unauthorized", "Cause": "c"}`},
	fileCase{name: "503", inputs: unread("c", "", 5), reads: errorOutput("EKS.503"), want: `{"Error": "Ray.Unreachable", "Cause": "c"}`},
)

var _ = covers("recordverdict",
	fileCase{name: "stopped", inputs: `{"job": {"status": "STOPPED", "message": "m"}, "environment": false}`, want: `{"Error": "Ray.JobStopped", "Cause": "m"}`},
	fileCase{name: "failed", inputs: `{"job": {"status": "FAILED", "type": "JOB_ENTRYPOINT_COMMAND_ERROR", "message": "m"}, "environment": false}`, want: `{"Error": "Ray.JobFailed", "Cause": "m"}`},
	fileCase{name: "not started", inputs: `{"job": {"status": "FAILED", "type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "message": "m"}, "environment": false}`,
		want: `{"Error": "Ray.PendingTimeout", "Cause": "m"}`},
	fileCase{name: "environment", inputs: `{"job": {"status": "FAILED", "type": "", "message": "m"}, "environment": true}`, want: `{"Error": "Ray.RuntimeEnvFailed", "Cause": "m"}`},
)

var _ = covers("envfailed",
	fileCase{name: "set up", inputs: `{"message": "runtime_env setup failed: no such package"}`, want: `true`},
	fileCase{name: "checked late", inputs: `{"message": "Failed to start supervisor actor x: /lib/ray/_private/runtime_env/pip.py"}`, want: `true`},
	fileCase{name: "another reason of the supervisor", inputs: `{"message": "Failed to start supervisor actor x: no memory"}`, want: `false`},
	fileCase{name: "the job's own words", inputs: `{"message": "Job failed: /runtime_env/ is missing"}`, want: `false`},
	fileCase{name: "empty", inputs: `{"message": ""}`, want: `false`},
)

var _ = covers("text",
	fileCase{name: "text", inputs: `{"value": "a"}`, want: `"a"`},
	fileCase{name: "null", inputs: `{"value": null}`, want: `""`},
	fileCase{name: "nothing", want: `""`},
	fileCase{name: "number", inputs: `{"value": 1}`, want: `""`},
)

var _ = covers("notjson",
	fileCase{name: "raised", reads: vars{"states": `{"errorOutput": {"Error": "States.QueryEvaluationError", "Cause": "The expression D3137: a is NaN"}}`},
		want: `"the job's output (in the file $RAYORCH_OUTPUT) is not valid JSON: a is NaN"`},
	fileCase{name: "not raised", reads: errorOutput("States.QueryEvaluationError"),
		want: `"the job's output (in the file $RAYORCH_OUTPUT) is not valid JSON"`},
)

var _ = covers("jobsleft",
	fileCase{name: "some", reads: vars{"prefix": `"r1-"`, "states": `{"result": {"ResponseBody": {"data": {"result": {"result": [
		{"submission_id": "r1-train", "status": "PENDING"}, {"submission_id": "r2-train", "status": "RUNNING"},
		{"submission_id": null, "status": "RUNNING"}, {"submission_id": "r1-infer", "status": "RUNNING"}]}}}}}`},
		want: `[{"id": "r1-train", "pending": true}, {"id": "r1-infer", "pending": false}]`},
	fileCase{name: "none", reads: vars{"prefix": `"r1-"`, "states": `{"result": {"ResponseBody": {"data": {"result": {"result": []}}}}}`}, want: `[]`},
)

var _ = covers("undeleted",
	fileCase{name: "some", reads: answered(`{"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b", "deletionTimestamp": "2026-01-01"}}]}`), want: `["a"]`},
	fileCase{name: "none", reads: answered(`{"items": []}`), want: `[]`},
)

var _ = covers("rayjobunread",
	fileCase{name: "deleted", inputs: `{"cause": "c", "id": "job-1"}`, reads: errorOutput("EKS.404"), want: `{"Error": "Ray.JobStopped", "Cause": "the RayJob was deleted: job-1"}`},
	fileCase{name: "401", inputs: `{"cause": "c", "id": "job-1"}`, reads: errorOutput("EKS.401"), want: `{"Error": "Ray.Unauthorized", "Cause": "c"}`},
	fileCase{name: "503", inputs: `{"cause": "c", "id": "job-1"}`, reads: errorOutput("EKS.503"), want: `{"Error": "Ray.Unreachable", "Cause": "c"}`},
)

var _ = covers("rayjobmessage",
	fileCase{name: "both", inputs: `{"job": {"reason": "AppFailed", "message": "exit 1"}}`, want: `"AppFailed: exit 1"`},
	fileCase{name: "one", inputs: `{"job": {"reason": "", "message": "exit 1"}}`, want: `"exit 1"`},
	fileCase{name: "neither", inputs: `{"job": {"reason": "", "message": ""}}`, want: `""`},
)

var _ = covers("pendingcause",
	fileCase{name: "all", inputs: `{"job": {"deployment": "Initializing", "reason": "R", "message": "M"}, "seconds": 60, "queue": "Q", "why": "W"}`,
		want: `"Ray did not start the job within 60 s: RayJob Initializing; Q; R; M; W"`},
	fileCase{name: "nothing", inputs: `{"job": {"deployment": "", "reason": "", "message": ""}, "seconds": 60, "queue": "", "why": ""}`,
		want: `"Ray did not start the job within 60 s: RayJob not handled by KubeRay"`},
)

var _ = covers("chunks",
	fileCase{name: "one", inputs: `{"text": "a$(B)$", "size": 30}`, want: `"a$$(B)$$"`},
	fileCase{name: "several", inputs: `{"text": "abcde", "size": 2}`, want: `["ab", "cd", "e"]`},
	fileCase{name: "exactly", inputs: `{"text": "abcd", "size": 2}`, want: `["ab", "cd"]`},
)

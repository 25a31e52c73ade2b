package interp

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// schedule executes a Task state: it evaluates the fields of the state and hands the task to the engine. The line then waits
// for facts about the task: TaskStarted (activities), TaskSubmitted and TaskHeartbeat keep it waiting, TaskEnded or a
// deadline ends the attempt.
func (r *Run) schedule(f *frame) *failure {
	t := &taskState{id: r.taskID(f), attempt: f.retried + 1}
	t.token = r.makeToken(t.id, f.state.Resource)
	f.task = t
	in, fail := r.arguments(f)
	if fail == nil {
		fail = r.limits(f, t)
	}
	if fail == nil {
		fail = r.checkResource(f)
	}
	if fail == nil && in.tooBig() {
		fail = dataLimit(f.state.Name)
	}
	if fail != nil {
		f.task = nil
		return fail
	}
	t.input = in.bytes()
	f.phase = working
	r.scheduled(f, t)
	r.arm(f)
	r.touch(f)
	r.decision.Tasks = append(r.decision.Tasks, r.task(f))
	return nil
}

// taskID returns an id that is unique within the run: f.entries also counts executions by Retry and Redrive.
func (r *Run) taskID(f *frame) string {
	return fmt.Sprintf("%d-%d-%d", f.id, f.entries, f.retried+1)
}

// PreviousID returns the ID of the previous attempt, "" for the first one.
func (t *Task) PreviousID() string {
	var frame, entry int64
	if _, err := fmt.Sscanf(t.ID, "%d-%d-", &frame, &entry); err != nil || t.Attempt <= 1 {
		return ""
	}
	return fmt.Sprintf("%d-%d-%d", frame, entry-1, t.Attempt-1)
}

// checkResource runs before the task is scheduled: Step Functions emits no ActivityScheduled for an activity that does
// not exist (recorded).
func (r *Run) checkResource(f *frame) *failure {
	if r.resource == nil {
		return nil
	}
	if err := r.resource(f.state.Resource); err != nil {
		return runtimeFailure(f, "%s", err.Error())
	}
	return nil
}

// limits evaluates the timeouts and the credentials. They see the input before Parameters.
func (r *Run) limits(f *frame, t *taskState) *failure {
	s := f.state
	in, fail := r.path(f, s.InputPath, f.input)
	if fail != nil {
		return fail
	}
	if s.TimeoutSeconds.Set() {
		n, fail := r.integer(f, &s.TimeoutSeconds, in, 1, stepfn.MaxSeconds)
		if fail != nil {
			return fail
		}
		t.timeoutSeconds = n
		t.timeout = r.steady.Add(seconds(float64(n)))
	}
	if s.HeartbeatSeconds.Set() {
		n, fail := r.integer(f, &s.HeartbeatSeconds, in, 1, stepfn.MaxSeconds)
		if fail != nil {
			return fail
		}
		t.heartbeat = seconds(float64(n))
		if serviceOf(s.Resource).kind != activity { // for an activity, the first interval starts when a worker takes the task
			t.beat = r.steady.Add(t.heartbeat)
		}
	}
	if s.Credentials != nil {
		v, err := s.Credentials.Eval(r.scope(f, in.value(), onScalar))
		if err != nil {
			return r.evalFailure(f, err)
		}
		t.credentials = value.Bytes(v)
	}
	return nil
}

// task returns the frame's task in the form that the engine gets.
func (r *Run) task(f *frame) Task {
	t := f.task
	return Task{ID: t.id, Frame: f.id, State: f.state.Name, Attempt: t.attempt, Event: f.last, Resource: f.state.Resource, Input: t.input,
		Timeout: t.timeout, Heartbeat: t.heartbeat, Token: t.token, Credentials: t.credentials, Submitted: t.submitted}
}

// service is how events describe the resource of a Task.
type service struct {
	kind      resourceKind
	typ, name string // resourceType and resource of the event
	submits   bool   // .sync and .waitForTaskToken emit TaskSubmitted
}

// resourceKind distinguishes the resources whose events have different types.
type resourceKind byte

const (
	integration resourceKind = iota // arn:aws:states:::service:action
	lambda                          // a function's ARN
	activity                        // an activity's ARN
)

// serviceOf splits an ARN: arn:aws:states:::SERVICE:ACTION, where SERVICE may be aws-sdk:NAME, or the ARN of a function
// or an activity. It returns anything else unchanged, as both type and name.
func serviceOf(resource string) service {
	parts := strings.SplitN(resource, ":", 7)
	if len(parts) < 7 {
		return service{typ: resource, name: resource}
	}
	switch {
	case parts[2] == "lambda":
		return service{kind: lambda, name: resource}
	case parts[5] == stepfn.KindActivity:
		return service{kind: activity, name: resource}
	}
	typ, name := parts[5], parts[6]
	if sdk, action, ok := strings.Cut(name, ":"); ok && typ == "aws-sdk" { // otherwise the colon belongs to .sync:2
		typ, name = typ+":"+sdk, action
	}
	return service{typ: typ, name: name,
		submits: strings.Contains(name, ".sync") || strings.HasSuffix(name, ".waitForTaskToken")}
}

// scheduled emits the events of a task that is scheduled. All tasks start immediately except those of activities, which
// start when a worker takes them.
func (r *Run) scheduled(f *frame, t *taskState) {
	s := serviceOf(f.state.Resource)
	e := history.Event{Resource: s.name, TimeoutSeconds: t.timeoutSeconds, HeartbeatSeconds: int64(t.heartbeat / time.Second),
		CredentialsARN: roleOf(t.credentials)}
	switch s.kind {
	case lambda:
		e.Type, e.Input = history.LambdaFunctionScheduled, t.input
		r.emit(f, e)
		r.emit(f, history.Event{Type: history.LambdaFunctionStarted})
	case activity:
		e.Type, e.Input = history.ActivityScheduled, t.input
		r.emit(f, e)
	default:
		e.Type, e.ResourceType, e.Region, e.Parameters = history.TaskScheduled, s.typ, r.params.Region, t.input
		r.emit(f, e)
		r.emit(f, history.Event{Type: history.TaskStarted, Resource: s.name, ResourceType: s.typ})
	}
}

// roleOf returns RoleArn of the evaluated credentials, "" if there is none.
func roleOf(credentials []byte) string {
	if len(credentials) == 0 {
		return ""
	}
	o, _ := textData(credentials).value().(*value.Object)
	v, _ := o.Get("RoleArn")
	s, _ := v.(string)
	return s
}

// working returns the line that runs the task with this id; nil if none does.
func (r *Run) working(id string) *frame {
	f := r.frames[frameOf(id)]
	if f == nil || f.phase != working || f.task == nil || f.task.id != id {
		return nil
	}
	return f
}

// frameOf returns the frame in the id of a task or map run. For an invalid id it returns originFrame, which has
// neither.
func frameOf(id string) FrameID {
	number, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return originFrame
	}
	return FrameID(n)
}

// taskStarted ignores all workers but the first: after a crash, the engine can hand out the same token again.
func (r *Run) taskStarted(s TaskStarted) {
	f := r.working(s.Task)
	if f == nil || serviceOf(f.state.Resource).kind != activity || f.task.submitted {
		return
	}
	f.task.submitted = true
	r.touch(f)
	r.beat(f)
	r.emit(f, history.Event{Type: history.ActivityStarted, WorkerName: s.Worker})
}

// taskSubmitted emits TaskSubmitted only for integrations that wait for their work; for others, the call ends the task.
func (r *Run) taskSubmitted(s TaskSubmitted) {
	f := r.working(s.Task)
	if f == nil || f.task.submitted {
		return
	}
	f.task.submitted = true
	r.touch(f)
	if sv := serviceOf(f.state.Resource); sv.submits {
		r.emit(f, history.Event{Type: history.TaskSubmitted, Resource: sv.name, ResourceType: sv.typ, Output: s.Output})
	}
}

// taskHeartbeat restarts the heartbeat interval.
func (r *Run) taskHeartbeat(h TaskHeartbeat) {
	if f := r.working(h.Task); f != nil {
		r.touch(f)
		r.beat(f)
	}
}

// beat restarts the heartbeat interval of the task.
func (r *Run) beat(f *frame) {
	if f.task.heartbeat > 0 {
		f.task.beat = r.steady.Add(f.task.heartbeat)
		r.arm(f)
	}
}

// taskEnded ends a task, and with it the attempt or the state. It keeps the output as the text that it was: the history
// shows exactly what the service answered.
func (r *Run) taskEnded(t TaskEnded) {
	f := r.working(t.Task)
	if f == nil {
		return
	}
	r.touch(f)
	if t.Stop {
		r.decision.Stops = append(r.decision.Stops, t.Task)
	}
	if t.Error != "" || t.Output == nil {
		r.taskFailed(f, t)
		return
	}
	v, err := value.Parse(t.Output)
	if err != nil {
		r.taskFailed(f, TaskEnded{Error: stepfn.StatesRuntime, Cause: "The task's output is not valid JSON: " + err.Error()})
		return
	}
	out := &data{v: v, parsed: true, text: t.Output}
	if out.tooBig() {
		fail := dataLimit(taskSubject(f.state.Resource))
		r.taskFailed(f, TaskEnded{Error: fail.name, Cause: fail.cause})
		return
	}
	r.endTask(f, history.Event{Type: taskEvents[serviceOf(f.state.Resource).kind].succeeded, Output: t.Output})
	if fail := r.endState(f, r.test.result(out)); fail != nil {
		f.task = nil
		r.failState(f, fail)
	}
}

// taskSubject returns the name in the message about a result that is too large: the service, or the ARN of a function
// or activity.
func taskSubject(resource string) string {
	if s := serviceOf(resource); s.kind == integration {
		return s.typ
	}
	return resource
}

// taskEvents are the types of the last event of a task, by the kind of its resource.
var taskEvents = map[resourceKind]struct{ succeeded, failed, timedOut history.Type }{
	integration: {history.TaskSucceeded, history.TaskFailed, history.TaskTimedOut},
	lambda:      {history.LambdaFunctionSucceeded, history.LambdaFunctionFailed, history.LambdaFunctionTimedOut},
	activity:    {history.ActivitySucceeded, history.ActivityFailed, history.ActivityTimedOut},
}

// endTask emits the last event of a task.
func (r *Run) endTask(f *frame, e history.Event) {
	if s := serviceOf(f.state.Resource); s.kind == integration {
		e.Resource, e.ResourceType = s.name, s.typ
	}
	r.emit(f, e)
}

// taskFailed emits the failure before Retry and Catch are considered: every attempt has its own event.
func (r *Run) taskFailed(f *frame, t TaskEnded) {
	fail := &failure{name: clip(t.Error, stepfn.MaxError), cause: clip(t.Cause, stepfn.MaxCause)}
	r.endTask(f, history.Event{Type: taskEvents[serviceOf(f.state.Resource).kind].failed, Error: fail.name, Cause: fail.cause})
	r.failState(f, fail)
}

// taskTimedOut ends a task whose timeout or heartbeat deadline has passed.
func (r *Run) taskTimedOut(f *frame) {
	r.decision.Stops = append(r.decision.Stops, f.task.id)
	fail := &failure{name: stepfn.StatesTimeout} // also for a missing heartbeat (recorded)
	fail.cause = clip(r.reports[f.task.id], stepfn.MaxCause)
	fail.heartbeat = f.task.timeout.IsZero() || f.task.timeout.After(r.steady)
	r.endTask(f, history.Event{
		Type: taskEvents[serviceOf(f.state.Resource).kind].timedOut, Error: fail.name, Cause: fail.cause})
	r.failState(f, fail)
}

// Running lists the tasks that were started and have not ended. After a restart, the engine starts them again.
func (r *Run) Running() []Task {
	var tasks []Task
	for _, id := range r.ids() {
		if f := r.frames[id]; f.phase == working && f.task != nil {
			tasks = append(tasks, r.task(f))
		}
	}
	return tasks
}

// ids returns the ids of all frames in the order of their creation: decisions must not depend on the iteration order of
// a map.
func (r *Run) ids() []FrameID {
	ids := make([]FrameID, 0, len(r.frames))
	for id := range r.frames {
		ids = append(ids, id)
	}
	sortIDs(ids)
	return ids
}

// makeToken returns the token of a task. Its holder can end the task, so that it starts with a hash that includes the run's
// seed, which only the engine knows. A token for a worker contains the activity's ARN, so that the API can answer a worker
// that is too late.
func (r *Run) makeToken(task, resource string) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s", r.params.Seed, r.params.ExecutionARN, task)
	b := fmt.Appendf(nil, "%016x%s %s", h.Sum64(), task, r.params.ExecutionARN)
	if stepfn.KindOf(resource) == stepfn.KindActivity {
		b = append(append(b, ' '), resource...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken extracts the execution and the task from a token. It does not verify the token: TaskOf does.
func ParseToken(token string) (executionARN, task string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 17 {
		return "", "", false
	}
	task, executionARN, ok = strings.Cut(string(b[16:]), " ")
	executionARN, _, _ = strings.Cut(executionARN, " ")
	return executionARN, task, ok
}

// TokenActivity returns the ARN of the activity in a worker's token, "" for the token of a callback.
func TokenActivity(token string) string {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return ""
	}
	parts := strings.SplitN(string(b), " ", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// TaskOf returns the running task that has this token.
func (r *Run) TaskOf(token string) (Task, bool) {
	_, id, ok := ParseToken(token)
	if !ok {
		return Task{}, false
	}
	f := r.working(id)
	if f == nil || f.task.token != token {
		return Task{}, false
	}
	return r.task(f), true
}

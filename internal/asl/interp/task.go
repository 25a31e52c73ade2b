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

// schedule begins a Task's work.
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

// taskID never repeats in a run: entries count also what Retry and Redrive do again.
func (r *Run) taskID(f *frame) string {
	return fmt.Sprintf("%d-%d-%d", f.id, f.entries, f.retried+1)
}

// Former returns the ID of the previous attempt, "" for the first one.
func (t *Task) Former() string {
	var frame, entry int64
	if _, err := fmt.Sscanf(t.ID, "%d-%d-", &frame, &entry); err != nil || t.Attempt <= 1 {
		return ""
	}
	return fmt.Sprintf("%d-%d-%d", frame, entry-1, t.Attempt-1)
}

// checkResource asks before anything is scheduled: an activity that does not exist was recorded without
// ActivityScheduled.
func (r *Run) checkResource(f *frame) *failure {
	if r.resource == nil {
		return nil
	}
	if err := r.resource(f.state.Resource); err != nil {
		return runtimeFailure(f, "%s", err.Error())
	}
	return nil
}

// limits evaluates the timeouts and the credentials, on the input before Parameters.
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
		if serviceOf(s.Resource).kind != activity { // an activity's heart begins to beat when a worker takes it
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

// task is the frame's task as the engine gets it.
func (r *Run) task(f *frame) Task {
	t := f.task
	return Task{ID: t.id, Frame: f.id, State: f.state.Name, Attempt: t.attempt, Event: f.last, Resource: f.state.Resource, Input: t.input,
		Timeout: t.timeout, Heartbeat: t.heartbeat, Token: t.token, Credentials: t.credentials, Submitted: t.submitted}
}

// service is how events name what a Task calls.
type service struct {
	kind      resourceKind
	typ, name string // TaskScheduled's resourceType and resource
	submits   bool   // .sync and .waitForTaskToken show TaskSubmitted
}

type resourceKind byte

const (
	integration resourceKind = iota // arn:aws:states:::service:action
	lambda                          // a function's own ARN
	activity                        // an activity's ARN
)

// serviceOf takes an ARN apart: arn:aws:states:::SERVICE:ACTION, where SERVICE may be aws-sdk:NAME, or a function's
// or activity's own ARN. Anything else names itself.
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
	if sdk, action, ok := strings.Cut(name, ":"); ok && typ == "aws-sdk" { // elsewhere a colon is part of .sync:2
		typ, name = typ+":"+sdk, action
	}
	return service{typ: typ, name: name,
		submits: strings.Contains(name, ".sync") || strings.HasSuffix(name, ".waitForTaskToken")}
}

// scheduled shows that the task's work begins. Only an activity starts later, when a worker takes it.
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

func roleOf(credentials []byte) string {
	if len(credentials) == 0 {
		return ""
	}
	o, _ := textData(credentials).value().(*value.Object)
	v, _ := o.Get("RoleArn")
	s, _ := v.(string)
	return s
}

// working finds the line whose running task this is.
func (r *Run) working(id string) *frame {
	f := r.frames[frameOf(id)]
	if f == nil || f.phase != working || f.task == nil || f.task.id != id {
		return nil
	}
	return f
}

// frameOf is the frame that an id names; originFrame, which has neither task nor map run, when it names none.
func frameOf(id string) FrameID {
	number, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return originFrame
	}
	return FrameID(n)
}

// taskStarted counts the first worker only: a token may be handed out again after a crash of the engine.
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

// taskSubmitted is shown for the integrations that wait for their work; others have ended by then.
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

func (r *Run) taskHeartbeat(h TaskHeartbeat) {
	if f := r.working(h.Task); f != nil {
		r.touch(f)
		r.beat(f)
	}
}

// beat begins the heartbeat's time anew.
func (r *Run) beat(f *frame) {
	if f.task.heartbeat > 0 {
		f.task.beat = r.steady.Add(f.task.heartbeat)
		r.arm(f)
	}
}

// taskEnded takes the output as text, and keeps that text: the history shows what the service answered.
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

// taskSubject is what the message on a too big result names: a service, or a function or activity by its ARN.
func taskSubject(resource string) string {
	if s := serviceOf(resource); s.kind == integration {
		return s.typ
	}
	return resource
}

// taskEvents are the types of the events that a task of each kind ends with.
var taskEvents = map[resourceKind]struct{ succeeded, failed, timedOut history.Type }{
	integration: {history.TaskSucceeded, history.TaskFailed, history.TaskTimedOut},
	lambda:      {history.LambdaFunctionSucceeded, history.LambdaFunctionFailed, history.LambdaFunctionTimedOut},
	activity:    {history.ActivitySucceeded, history.ActivityFailed, history.ActivityTimedOut},
}

func (r *Run) endTask(f *frame, e history.Event) {
	if s := serviceOf(f.state.Resource); s.kind == integration {
		e.Resource, e.ResourceType = s.name, s.typ
	}
	r.emit(f, e)
}

// taskFailed shows the failure before Retry and Catch are asked: every attempt leaves its event.
func (r *Run) taskFailed(f *frame, t TaskEnded) {
	fail := &failure{name: clip(t.Error, stepfn.MaxError), cause: clip(t.Cause, stepfn.MaxCause)}
	r.endTask(f, history.Event{Type: taskEvents[serviceOf(f.state.Resource).kind].failed, Error: fail.name, Cause: fail.cause})
	r.failState(f, fail)
}

// taskTimedOut ends a task that ran, or was silent, for too long.
func (r *Run) taskTimedOut(f *frame) {
	r.decision.Stops = append(r.decision.Stops, f.task.id)
	fail := &failure{name: stepfn.StatesTimeout} // a missing heartbeat too: so it was recorded
	fail.cause = clip(r.reports[f.task.id], stepfn.MaxCause)
	fail.heartbeat = f.task.timeout.IsZero() || f.task.timeout.After(r.steady)
	r.endTask(f, history.Event{
		Type: taskEvents[serviceOf(f.state.Resource).kind].timedOut, Error: fail.name, Cause: fail.cause})
	r.failState(f, fail)
}

// Running lists the tasks that were started and have not ended, for a restart.
func (r *Run) Running() []Task {
	var tasks []Task
	for _, id := range r.ids() {
		if f := r.frames[id]; f.phase == working && f.task != nil {
			tasks = append(tasks, r.task(f))
		}
	}
	return tasks
}

// ids are the frames in the order of their making: whoever walks all frames must not depend on a map's order.
func (r *Run) ids() []FrameID {
	ids := make([]FrameID, 0, len(r.frames))
	for id := range r.frames {
		ids = append(ids, id)
	}
	sortIDs(ids)
	return ids
}

// makeToken is the task's token: who holds it can end the task, so it holds a proof made of the run's seed. One for a
// worker names the activity, for that is how a worker that comes too late is told.
func (r *Run) makeToken(task, resource string) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s", r.params.Seed, r.params.ExecutionARN, task)
	b := fmt.Appendf(nil, "%016x%s %s", h.Sum64(), task, r.params.ExecutionARN)
	if stepfn.KindOf(resource) == stepfn.KindActivity {
		b = append(append(b, ' '), resource...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken finds execution and task in a token. Whether the token is genuine is for TaskOf to say.
func ParseToken(token string) (executionARN, task string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 17 {
		return "", "", false
	}
	task, executionARN, ok = strings.Cut(string(b[16:]), " ")
	executionARN, _, _ = strings.Cut(executionARN, " ")
	return executionARN, task, ok
}

// TokenActivity is the activity whose worker got a token; empty for a callback's.
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

// TaskOf is the running task whose token this is.
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

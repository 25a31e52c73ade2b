package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/value"
)

// nested is the runner of states:startExecution: plain, .sync, .sync:2 and .waitForTaskToken. If the arguments have no name for the child
// execution, the name is derived from the task, so that a resumed task finds the child that it started.
type nested struct{ e *Engine }

// Run starts the child execution, and waits for its end if the resource ends with .sync or .sync:2.
func (n nested) Run(ctx context.Context, req *task.Request) task.Result {
	child, err := n.request(req)
	if err != nil {
		return nestedFailure(err)
	}
	pattern := strings.TrimPrefix(req.Resource, stepfn.StartExecution)
	if pattern == ".sync" || pattern == ".sync:2" {
		return n.wait(ctx, req, child, pattern == ".sync:2")
	}
	if errors.Is(context.Cause(ctx), task.ErrStop) { // a stop from an earlier engine: the task does not own the child
		return task.Result{}
	}
	x, err := n.e.startNested(ctx, req, child)
	if err != nil {
		return nestedFailure(err)
	}
	return task.Result{Output: value.Bytes(startedOutput(&x))}
}

// request reads the task's arguments.
func (n nested) request(req *task.Request) (StartRequest, error) {
	if n.e.lookup == nil {
		return StartRequest{}, errors.New("this engine has no registered state machines")
	}
	args, err := value.ParseObject(req.Input)
	if err != nil {
		return StartRequest{}, fmt.Errorf("the arguments of startExecution: %w", err)
	}
	arn, _ := args.Get("StateMachineArn")
	text, _ := arn.(string)
	r, err := n.e.lookup.Resolve(text)
	if err != nil {
		return StartRequest{}, err
	}
	r.Labels = task.InheritOrigin(r.Labels, req.Labels)
	if name, ok := args.Get("Name"); ok {
		r.Name, _ = name.(string)
	}
	if r.Name == "" {
		r.Name = requestID(req.Execution + "\x00" + req.ID)
	}
	switch in, _ := args.Get("Input"); in := in.(type) {
	case nil:
	case string: // JSON text, as for StartExecution
		r.Input = []byte(in)
	default:
		r.Input = value.Bytes(in)
	}
	if _, err := value.Parse(r.withDefaults().Input); err != nil {
		return StartRequest{}, fmt.Errorf("InvalidExecutionInput: %w", err)
	}
	return r, nil
}

// startNested starts the child. A resumed task also accepts a child that has already ended, because an earlier engine may have started it.
func (e *Engine) startNested(ctx context.Context, req *task.Request, r StartRequest) (Execution, error) {
	by, _ := e.find(req.Execution) // 0 for an Express one
	x, err := e.startFor(ctx, by, r)
	resumed := req.Resumed
	var exists *AlreadyExistsError
	if errors.As(err, &exists) && resumed {
		if x, found := e.Describe(exists.ARN); found == nil && string(x.Input) == string(r.withDefaults().Input) {
			return x, nil
		}
	}
	if err == nil && resumed && r.Type != stepfn.Express { // the child was interrupted with its parent
		err = e.Resume(ctx, x.ARN)
	}
	return x, err
}

// wait starts the child and waits for its end. It stops the child if the task is stopped. parsed is set for .sync:2.
func (n nested) wait(ctx context.Context, req *task.Request, child StartRequest, parsed bool) task.Result {
	if child.Type == stepfn.Express {
		return nestedFailure(errors.New("a .sync task cannot start an Express state machine"))
	}
	arn := n.e.newRunOf(child.withDefaults()).arn
	if errors.Is(context.Cause(ctx), task.ErrStop) { // an earlier engine may have started the child
		n.e.stopNested(arn, req.Execution)
		return task.Result{}
	}
	x, err := n.e.startNested(ctx, req, child)
	if err != nil {
		return nestedFailure(err)
	}
	if err := req.Submitted(value.Bytes(startedOutput(&x))); err != nil {
		return nestedFailure(err)
	}
	for after := x.LastEventID; ; {
		w, err := n.e.Watch(ctx, x.ARN, after)
		if errors.Is(context.Cause(ctx), task.ErrStop) {
			n.e.stopNested(x.ARN, req.Execution)
			return task.Result{}
		}
		if err != nil {
			return nestedFailure(err)
		}
		if w.Closed {
			return n.result(x.ARN, parsed)
		}
		after = w.LastEventID
	}
}

// result returns the task's result when the child has ended.
func (n nested) result(arn string, parsed bool) task.Result {
	x, err := n.e.Describe(arn)
	if err != nil {
		return nestedFailure(err)
	}
	description := value.Bytes(describedOutput(&x, parsed))
	if x.Status != stepfn.Succeeded {
		return task.Fail(stepfn.StatesTaskFailed, string(description))
	}
	return task.Result{Output: description}
}

func (e *Engine) stopNested(arn, parent string) {
	_, err := e.Stop(arn, "", "the parent execution "+parent+" stopped waiting")
	if err != nil && !errors.Is(err, ErrExecutionDoesNotExist) {
		e.logger.Error("could not stop a nested execution", "execution", arn, "problem", err)
	}
}

// nestedFailure converts an error to a failure with the name and text that the service integration of AWS uses.
func nestedFailure(err error) task.Result {
	var exists *AlreadyExistsError
	var unknown *UnknownMachineError
	switch {
	case errors.As(err, &exists):
		return refused("ExecutionAlreadyExists", "Execution Already Exists: '"+exists.ARN+"'", exists.ARN)
	case errors.As(err, &unknown):
		return refused("StateMachineDoesNotExist", "State Machine Does Not Exist: '"+unknown.ARN+"'", unknown.ARN)
	}
	return task.Fail("StepFunctions.StepFunctionsException", err.Error())
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// startedOutput returns the output of a started child. On AWS, it contains the metadata of the HTTP response, which definitions may read
// (SdkHttpMetadata.HttpStatusCode). There is no HTTP call here, so the metadata is what the API would return.
func startedOutput(x *Execution) *value.Object {
	id := requestID(x.ARN)
	length := strconv.Itoa(len(fmt.Sprintf(`{"executionArn":%q,"startDate":%.3f}`, x.ARN, float64(x.Started.UnixMilli())/1000)))
	headers, all := value.NewObject(5), value.NewObject(5)
	for _, h := range [][2]string{
		{"x-amzn-RequestId", id}, {"connection", "keep-alive"}, {"Content-Length", length},
		{"Date", x.Started.UTC().Format(http.TimeFormat)}, {"Content-Type", "application/x-amz-json-1.0"},
	} {
		headers.Set(h[0], h[1])
		all.Set(h[0], []any{h[1]})
	}
	return value.Obj("ExecutionArn", x.ARN,
		"SdkHttpMetadata", value.Obj("AllHttpHeaders", all, "HttpHeaders", headers, "HttpStatusCode", value.Int(http.StatusOK)),
		"SdkResponseMetadata", value.Obj("RequestId", id), "StartDate", stamp(x.Started))
}

// requestID returns an id that is derived from a text, so that it is the same when a task is resumed.
func requestID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hashUUID(sum)
}

// refused formats an error response of the API as the service integration does.
func refused(code, message, of string) task.Result {
	return task.Fail("StepFunctions."+code+"Exception", fmt.Sprintf(
		"%s (Service: AWSStepFunctions; Status Code: 400; Error Code: %s; Request ID: %s; Proxy: null)", message, code, requestID(of)))
}

// describedOutput returns the output of .sync and .sync:2. parsed is set for .sync:2: payloads are JSON values instead of strings.
func describedOutput(x *Execution, parsed bool) *value.Object {
	included := value.Obj("Included", true)
	o := value.Obj("ExecutionArn", x.ARN, "Input", payload(x.Input, parsed), "InputDetails", included, "Name", x.Name)
	if x.Status == stepfn.Succeeded {
		o.Set("Output", payload(x.Output, parsed))
		o.Set("OutputDetails", included)
	} else {
		o.Set("Error", x.Error)
		o.Set("Cause", x.Cause)
	}
	o.Set("StartDate", stamp(x.Started))
	o.Set("StateMachineArn", x.MachineARN)
	o.Set("Status", string(x.Status))
	o.Set("StopDate", stamp(x.Stopped))
	return o
}

func payload(text []byte, parsed bool) any {
	if parsed {
		if v, err := value.Parse(text); err == nil {
			return v
		}
	}
	return string(text)
}

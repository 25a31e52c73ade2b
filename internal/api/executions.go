package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/value"
)

func init() {
	register(
		action{"StartExecution", startMembers, (*Server).startExecution},
		action{"StartSyncExecution", append(startMembers, optional("includedData", included)), (*Server).startSyncExecution},
		action{"StopExecution", structure{required("executionArn", anARN), optional("error", anError), optional("cause", aCause)},
			(*Server).stopExecution},
		action{"RedriveExecution", structure{required("executionArn", anARN), optional("clientToken", aClientToken)},
			(*Server).redriveExecution},
		action{"DescribeExecution", structure{required("executionArn", anARN), optional("includedData", included)},
			(*Server).describeExecution},
		action{"ListExecutions", structure{
			optional("stateMachineArn", anARN), optional("statusFilter", executionStatus), optional("maxResults", aPageSize),
			optional("nextToken", stringShape{min: 1, max: 3096}), optional("mapRunArn", aLongARN),
			optional("redriveFilter", stringShape{enum: []string{"REDRIVEN", "NOT_REDRIVEN"}}),
		}, (*Server).listExecutions},
		action{"GetExecutionHistory", paging.with(
			required("executionArn", anARN), optional("reverseOrder", aBoolean), optional("includeExecutionData", aBoolean),
		), (*Server).getExecutionHistory},
	)
}

// startMembers are the members that StartExecution and StartSyncExecution share.
var startMembers = structure{
	required("stateMachineArn", anARN), optional("name", aName), optional("input", aPayload), optional("traceHeader", aTrace),
}

// executionStatus lists the statuses in the order of AWS's error messages.
var executionStatus = statusShape(stepfn.Succeeded, stepfn.TimedOut, stepfn.PendingRedrive, stepfn.Aborted, stepfn.Failed, stepfn.Running)

func statusShape(all ...stepfn.Status) (s stringShape) {
	for _, status := range all {
		s.enum = append(s.enum, string(status))
	}
	return s
}

// Machines adapts a catalog to the interface through which the engine finds state machines for nested executions.
func Machines(c *catalog.Catalog) engine.Machines { return resolver{c} }

// resolver implements engine.Machines. It reports an unknown state machine as the engine's own error type, so that the task
// that started it fails with AWS's error name.
type resolver struct{ cat *catalog.Catalog }

// Resolve finds a state machine, version or alias by its ARN.
func (r resolver) Resolve(arn string) (engine.StartRequest, error) {
	t, err := r.cat.Resolve(arn)
	if err != nil {
		return engine.StartRequest{}, &engine.UnknownMachineError{ARN: arn}
	}
	return startRequest(t), nil
}

// HasActivity reports whether an activity exists. The engine fails a state whose activity was deleted.
func (r resolver) HasActivity(arn string) bool {
	_, err := r.cat.Activity(arn)
	return err == nil
}

// startRequest copies the settings that the engine stores with the execution, so that a later update of the state machine does
// not change a running execution.
func startRequest(t catalog.Target) engine.StartRequest {
	r := engine.StartRequest{
		MachineARN: t.Machine.ARN, MachineName: t.Machine.Name, Type: t.Machine.Type,
		Definition: []byte(t.Settings.Definition), RoleARN: t.Settings.RoleARN,
		VersionARN: t.VersionARN, AliasARN: t.AliasARN, RevisionID: t.RevisionID,
		Cleanup: t.Machine.Tag(stepfn.CleanupTag),
	}
	if t.FromNetwork() {
		r.Labels = task.WithLabel(nil, task.OriginLabel, task.NetworkDefinition)
	}
	return r
}

// toStart converts the input of StartExecution or StartSyncExecution to a request of the engine. Unless the owner makes the
// call, it labels the execution as started over the network, which limits the resources that its tasks may use.
func (s *Server) toStart(ctx context.Context, in *value.Object) (engine.StartRequest, error) {
	name, named := in.Get("name")
	if n, ok := name.(string); ok && named {
		if err := catalog.CheckName(n); err != nil {
			return engine.StartRequest{}, err
		}
	}
	t, err := s.cat.Resolve(text(in, "stateMachineArn"))
	if err != nil {
		return engine.StartRequest{}, err
	}
	r := startRequest(t)
	if !s.owner(ctx) && !task.FromNetwork(r.Labels) {
		r.Labels = task.WithLabel(r.Labels, task.OriginLabel, task.NetworkInput)
	}
	r.Name, r.TraceHeader = text(in, "name"), text(in, "traceHeader")
	r.Input, err = executionInput(in)
	return r, err
}

// executionInput returns the input's JSON unchanged, because AWS preserves white space and the order of keys. A missing input
// is an empty object.
func executionInput(in *value.Object) ([]byte, error) {
	input := textPtr(in, "input")
	if input == nil {
		return []byte("{}"), nil
	}
	if strings.TrimSpace(*input) == "" {
		return nil, badInput("Invalid execution input.")
	}
	data := []byte(*input)
	if _, err := value.Parse(data); err != nil {
		message, _ := check.SyntaxMessage(*input, err)
		return nil, badInput(message)
	}
	return data, nil
}

// badInput wraps a message of the JSON parser as AWS does.
func badInput(why string) error {
	return refusal("InvalidExecutionInput", "Invalid State Machine Execution Input: '"+why+"'")
}

// startExecution responds after the engine has written the execution to disk. If an execution with the same name and input is
// already running, it returns that one: StartExecution is idempotent for Standard state machines, as on AWS.
func (s *Server) startExecution(ctx context.Context, in *value.Object) (*value.Object, error) {
	r, err := s.toStart(ctx, in)
	if err != nil {
		return nil, err
	}
	x, err := s.eng.Start(ctx, r)
	if err != nil {
		return nil, err
	}
	out := value.NewObject(2)
	out.Set("executionArn", x.ARN)
	out.Set("startDate", history.Seconds(x.Started))
	return out, nil
}

// startSyncExecution responds when the Express execution has ended. If the client disconnects, the execution is stopped.
func (s *Server) startSyncExecution(ctx context.Context, in *value.Object) (*value.Object, error) {
	r, err := s.toStart(ctx, in)
	if err != nil {
		return nil, err
	}
	if r.Type != stepfn.Express {
		return nil, errNotSupported
	}
	x, err := s.eng.StartSync(ctx, r)
	if err != nil {
		return nil, err
	}
	out := value.Obj("executionArn", x.ARN, "stateMachineArn", x.MachineARN, "name", x.Name,
		"startDate", history.Seconds(x.Started), "stopDate", history.Seconds(x.Stopped), "status", string(x.Status))
	payloads(out, in, &x)
	if !out.Has("outputDetails") { // unlike DescribeExecution, also for a failed execution
		out.Set("outputDetails", value.Obj("included", !metadataOnly(in)))
	}
	setText(out, "traceHeader", x.TraceHeader)
	out.Set("billingDetails", billing(x.Stopped.Sub(x.Started)))
	return out, nil
}

// errNotSupported is returned for each action that the state machine's type does not support.
var errNotSupported = refusal("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")

// billing returns what AWS would bill for an Express execution: the duration, rounded up to 100 ms, and the smallest amount of
// memory, 64 MB.
func billing(d time.Duration) *value.Object {
	const step = 100 // milliseconds
	steps := max(1, (d.Milliseconds()+step-1)/step)
	return value.Obj("billedMemoryUsedInMB", value.Int(64), "billedDurationInMilliseconds", value.Int(steps*step))
}

// payloads adds an execution's input, output, error and cause, which the member includedData can leave out.
func payloads(out, in *value.Object, x *engine.Execution) {
	shown := !metadataOnly(in)
	details := value.Obj("included", shown)
	if shown {
		out.Set("input", string(x.Input))
	}
	out.Set("inputDetails", details)
	if x.Status == stepfn.Succeeded {
		if shown {
			out.Set("output", string(x.Output))
		}
		out.Set("outputDetails", details)
	}
	if shown {
		setText(out, "error", x.Error)
		setText(out, "cause", x.Cause)
	}
}

// executionARN returns the member executionArn if it is the ARN of a Standard execution or of a distributed Map's child.
func executionARN(in *value.Object) (string, error) {
	arn := text(in, "executionArn")
	_, err := catalog.ExpectARN(arn, stepfn.KindExecution)
	return arn, err
}

// executionError adds the execution's ARN to the error of an unknown execution, as AWS does. It returns other errors unchanged.
func (s *Server) executionError(arn string, err error) error {
	if errors.Is(err, engine.ErrExecutionDoesNotExist) {
		return refusal("ExecutionDoesNotExist", "Execution Does Not Exist: '"+arn+"'")
	}
	return err
}

// engineFault converts the engine's errors to AWS's codes and messages. It returns nil for an error that has no counterpart.
func engineFault(err error) *fault {
	var exists *engine.AlreadyExistsError
	var stuck *engine.NotRedrivableError
	var unknown *engine.UnknownMachineError
	var late *engine.LateActivityError
	var refused *engine.StartError
	switch {
	case errors.As(err, &exists):
		return refusal("ExecutionAlreadyExists", "Execution Already Exists: '"+exists.ARN+"'")
	case errors.As(err, &stuck):
		return refusal("ExecutionNotRedrivable", "Execution "+stuck.ARN+" invalid for redrive as: "+stuck.Reason)
	case errors.As(err, &unknown):
		return refusal("StateMachineDoesNotExist", "State Machine Does Not Exist: '"+unknown.ARN+"'")
	case errors.Is(err, engine.ErrExecutionDoesNotExist):
		return refusal("ExecutionDoesNotExist", "Execution Does Not Exist")
	case errors.Is(err, engine.ErrInvalidPage):
		return errBadToken
	case errors.Is(err, engine.ErrExpress):
		return errNotSupported
	case errors.Is(err, engine.ErrInvalidToken):
		return errBadToken
	case errors.As(err, &late):
		return refusal("TaskTimedOut", "Task Timed Out: '"+late.Activity+"'")
	case errors.As(err, &refused):
		return refusal("ValidationException", refused.Error())
	case errors.Is(err, engine.ErrTaskTimedOut):
		return refusal("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
	case errors.Is(err, engine.ErrTaskDoesNotExist):
		return refusal("TaskDoesNotExist", "Task Does Not Exist: 'Provided task does not exist'")
	case errors.Is(err, engine.ErrMapRunDoesNotExist):
		return refusal("ResourceNotFound", "Resource not found")
	case errors.Is(err, engine.ErrClosing), errors.Is(err, engine.ErrParked):
		return &fault{"ServiceUnavailable", err.Error(), http.StatusServiceUnavailable}
	case errors.Is(err, store.ErrFull):
		return &fault{"InsufficientStorage", err.Error(), http.StatusServiceUnavailable}
	}
	return nil
}

// stopExecution is idempotent: for an execution that has ended, it returns when it ended.
func (s *Server) stopExecution(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	stopped, err := s.eng.Stop(arn, text(in, "error"), text(in, "cause"))
	if err != nil {
		return nil, s.executionError(arn, err)
	}
	return value.Obj("stopDate", history.Seconds(stopped)), nil
}

// redriveExecution returns the first answer again if the client token is repeated, whatever the execution's status is now.
func (s *Server) redriveExecution(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	date, err := s.eng.RedriveOnce(arn, text(in, "clientToken"))
	if err != nil {
		return nil, s.executionError(arn, err)
	}
	return value.Obj("redriveDate", history.Seconds(date)), nil
}

// describeExecution reads only the engine, not the catalog, because clients poll it.
func (s *Server) describeExecution(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	x, err := s.eng.Describe(arn)
	if err != nil {
		return nil, s.executionError(arn, err)
	}
	out := value.NewObject(20)
	summary(out, &x)
	payloads(out, in, &x)
	setText(out, "traceHeader", x.TraceHeader)
	out.Set("redriveCount", value.Int(int64(x.RedriveCount)))
	setText(out, "redriveStatus", x.RedriveStatus)
	setText(out, "redriveStatusReason", x.RedriveReason)
	return out, nil
}

// summary sets the members that DescribeExecution and ListExecutions share.
func summary(out *value.Object, x *engine.Execution) {
	out.Set("executionArn", x.ARN)
	out.Set("stateMachineArn", x.MachineARN)
	out.Set("name", x.Name)
	out.Set("status", string(x.Status))
	out.Set("startDate", history.Seconds(x.Started))
	if !x.Stopped.IsZero() {
		out.Set("stopDate", history.Seconds(x.Stopped))
	}
	setText(out, "mapRunArn", x.MapRunARN)
	setText(out, "stateMachineVersionArn", x.VersionARN)
	setText(out, "stateMachineAliasArn", x.AliasARN)
	if !x.Redriven.IsZero() {
		out.Set("redriveDate", history.Seconds(x.Redriven))
	}
}

// listExecutions returns the engine's page token, encoded so that it is safe in a URL.
func (s *Server) listExecutions(_ context.Context, in *value.Object) (*value.Object, error) {
	f := engine.ListFilter{
		MachineARN: text(in, "stateMachineArn"), MapRunARN: text(in, "mapRunArn"), Status: stepfn.Status(text(in, "statusFilter")),
		Redrive: text(in, "redriveFilter"), Limit: pageSize(in),
	}
	if err := s.listable(&f); err != nil {
		return nil, err
	}
	if token := text(in, "nextToken"); token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, errBadToken
		}
		f.Token = string(raw)
	}
	page, err := s.eng.List(f)
	if err != nil {
		return nil, err
	}
	items := make([]any, len(page.Executions))
	for i := range page.Executions {
		x := &page.Executions[i]
		o := value.NewObject(12)
		summary(o, x)
		if x.ItemCount > 0 {
			o.Set("itemCount", value.Int(x.ItemCount))
		}
		o.Set("redriveCount", value.Int(int64(x.RedriveCount)))
		items[i] = o
	}
	out := value.Obj("executions", items)
	if page.Next != "" {
		out.Set("nextToken", base64.RawURLEncoding.EncodeToString([]byte(page.Next)))
	}
	return out, nil
}

// listable checks the parameters of ListExecutions: exactly one of state machine and Map run, and a redrive filter only for
// the latter.
func (s *Server) listable(f *engine.ListFilter) error {
	switch {
	case f.MapRunARN != "" && f.MachineARN != "":
		return invalid("Only one of stateMachineArn and mapRunArn can be specified")
	case f.MapRunARN != "":
		_, err := catalog.ExpectARN(f.MapRunARN, stepfn.KindMapRun)
		return err
	case f.MachineARN == "":
		return invalid("Must provide a StateMachine ARN or MapRun ARN")
	case f.Redrive != "":
		return invalid("RedriveFilter cannot be applied to ListExecutions call with StateMachine ARN")
	}
	m, err := s.cat.MachineExists(f.MachineARN)
	if err == nil && m.Type == stepfn.Express {
		return errNotSupported
	}
	return err
}

// getExecutionHistory uses event ids in its page tokens, so that a token stays valid while the execution adds events.
func (s *Server) getExecutionHistory(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	q := engine.HistoryQuery{Reverse: flag(in, "reverseOrder"), Limit: pageSize(in)}
	scope := []string{"history", arn, strconv.FormatBool(q.Reverse)}
	after, err := pageAfter(in, scope...)
	if err != nil {
		return nil, err
	}
	q.After, _ = strconv.ParseInt(after, 10, 64)
	events, err := s.eng.History(arn, q)
	if err != nil {
		return nil, s.executionError(arn, err)
	}
	v, set := in.Get("includeExecutionData")
	data := !set || v != false
	items := make([]any, len(events))
	for i := range events {
		items[i] = history.ToAPI(&events[i], data)
	}
	out := value.Obj("events", items)
	if n := len(events); n == q.Limit {
		x, err := s.eng.Describe(arn)
		if err != nil {
			return nil, s.executionError(arn, err)
		}
		if !lastEvent(&x, events[n-1].ID, q.Reverse) {
			out.Set("nextToken", pageToken(strconv.FormatInt(events[n-1].ID, 10), scope...))
		}
	}
	return out, nil
}

// lastEvent reports whether no event can follow the one with this id. The event's type does not decide this: the history of a
// redriven execution contains an ExecutionFailed event in the middle.
func lastEvent(x *engine.Execution, id int64, reverse bool) bool {
	if reverse {
		return id <= 1
	}
	return x.Closed() && id >= x.LastEventID
}

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
		action{"StartSyncExecution", append(startMembers, may("includedData", included)), (*Server).startSyncExecution},
		action{"StopExecution", structure{must("executionArn", anARN), may("error", anError), may("cause", aCause)},
			(*Server).stopExecution},
		action{"RedriveExecution", structure{must("executionArn", anARN), may("clientToken", aClientToken)},
			(*Server).redriveExecution},
		action{"DescribeExecution", structure{must("executionArn", anARN), may("includedData", included)},
			(*Server).describeExecution},
		action{"ListExecutions", structure{
			may("stateMachineArn", anARN), may("statusFilter", executionStatus), may("maxResults", aPageSize),
			may("nextToken", stringShape{min: 1, max: 3096}), may("mapRunArn", aLongARN),
			may("redriveFilter", stringShape{enum: []string{"REDRIVEN", "NOT_REDRIVEN"}}),
		}, (*Server).listExecutions},
		action{"GetExecutionHistory", paging.with(
			must("executionArn", anARN), may("reverseOrder", aBoolean), may("includeExecutionData", aBoolean),
		), (*Server).getExecutionHistory},
	)
}

// What StartExecution and StartSyncExecution have in common.
var startMembers = structure{
	must("stateMachineArn", anARN), may("name", aName), may("input", aPayload), may("traceHeader", aTrace),
}

// The order is the one in AWS's messages.
var executionStatus = statusShape(stepfn.Succeeded, stepfn.TimedOut, stepfn.PendingRedrive, stepfn.Aborted, stepfn.Failed, stepfn.Running)

func statusShape(all ...stepfn.Status) (s stringShape) {
	for _, status := range all {
		s.enum = append(s.enum, string(status))
	}
	return s
}

// Machines lets the engine start what the catalog holds.
func Machines(c *catalog.Catalog) engine.Machines { return resolver{c} }

// resolver is the catalog as the engine sees it: an unknown machine is an error of the engine's own type, so that a
// task fails with the name that AWS gives it.
type resolver struct{ cat *catalog.Catalog }

// Resolve finds a machine, version or alias.
func (r resolver) Resolve(arn string) (engine.StartRequest, error) {
	t, err := r.cat.Resolve(arn)
	if err != nil {
		return engine.StartRequest{}, &engine.UnknownMachineError{ARN: arn}
	}
	return startRequest(t), nil
}

// HasActivity lets the engine fail a state whose activity was deleted.
func (r resolver) HasActivity(arn string) bool {
	_, err := r.cat.Activity(arn)
	return err == nil
}

// startRequest copies what the engine keeps with the execution: a later update of the machine must not reach it.
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

// toStart turns a request into the engine's.
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

// executionInput is the input's JSON as it was given: AWS keeps white space and order.
func executionInput(in *value.Object) ([]byte, error) {
	given := given(in, "input")
	if given == nil {
		return []byte("{}"), nil
	}
	if strings.TrimSpace(*given) == "" {
		return nil, badInput("Invalid execution input.")
	}
	data := []byte(*given)
	if _, err := value.Parse(data); err != nil {
		message, _ := check.SyntaxMessage(*given, err)
		return nil, badInput(message)
	}
	return data, nil
}

// badInput wraps the JSON parser's sentence as AWS does.
func badInput(why string) error {
	return refusal("InvalidExecutionInput", "Invalid State Machine Execution Input: '"+why+"'")
}

// startExecution answers once the engine has the execution on disk (or found the same one running: the start is then
// repeated without effect, as AWS promises for Standard machines).
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

// startSyncExecution holds the connection until the Express execution ends; a client that goes away ends it.
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
	if !out.Has("outputDetails") { // shown of a failed execution, too, unlike DescribeExecution
		out.Set("outputDetails", value.Obj("included", !metadataOnly(in)))
	}
	setText(out, "traceHeader", x.TraceHeader)
	out.Set("billingDetails", billing(x.Stopped.Sub(x.Started)))
	return out, nil
}

// The sentence stands for every action that a machine's type rules out.
var errNotSupported = refusal("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")

// billing is what AWS would have counted: time in steps of 100 ms, and memory in steps of 64 MB.
func billing(d time.Duration) *value.Object {
	const step = 100 // milliseconds
	steps := max(1, (d.Milliseconds()+step-1)/step)
	return value.Obj("billedMemoryUsedInMB", value.Int(64), "billedDurationInMilliseconds", value.Int(steps*step))
}

// payloads adds what an execution took and gave.
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

// executionARN is the ARN of a Standard execution, or of one that a distributed Map started.
func executionARN(in *value.Object) (string, error) {
	arn := text(in, "executionArn")
	_, err := catalog.ExpectARN(arn, stepfn.KindExecution)
	return arn, err
}

// about puts an engine's error about an execution into AWS's words, which name the execution.
func (s *Server) about(arn string, err error) error {
	if errors.Is(err, engine.ErrExecutionDoesNotExist) {
		return refusal("ExecutionDoesNotExist", "Execution Does Not Exist: '"+arn+"'")
	}
	return err
}

// engineFault puts what the engine refuses into AWS's words; nil for what is no refusal.
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

// stopExecution is idempotent: of an execution that has ended it tells when.
func (s *Server) stopExecution(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	stopped, err := s.eng.Stop(arn, text(in, "error"), text(in, "cause"))
	if err != nil {
		return nil, s.about(arn, err)
	}
	return value.Obj("stopDate", history.Seconds(stopped)), nil
}

// redriveExecution answers a repeated client token with what it answered first, whatever became of the execution.
func (s *Server) redriveExecution(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	date, err := s.eng.RedriveOnce(arn, text(in, "clientToken"))
	if err != nil {
		return nil, s.about(arn, err)
	}
	return value.Obj("redriveDate", history.Seconds(date)), nil
}

// describeExecution is the action that clients poll most: it touches no catalog.
func (s *Server) describeExecution(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	x, err := s.eng.Describe(arn)
	if err != nil {
		return nil, s.about(arn, err)
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

// summary is what both a description and a list show.
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

// listExecutions hands the engine's own page token on, wrapped so that it is safe in a URL.
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

// listable checks what is asked for: one of machine and map run.
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

// getExecutionHistory pages by event id, so that a page token stays good while the execution goes on.
func (s *Server) getExecutionHistory(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	q := engine.HistoryQuery{Reverse: flag(in, "reverseOrder"), Limit: pageSize(in)}
	question := []string{"history", arn, strconv.FormatBool(q.Reverse)}
	after, err := pageAfter(in, question...)
	if err != nil {
		return nil, err
	}
	q.After, _ = strconv.ParseInt(after, 10, 64)
	events, err := s.eng.History(arn, q)
	if err != nil {
		return nil, s.about(arn, err)
	}
	v, said := in.Get("includeExecutionData")
	data := !said || v != false
	items := make([]any, len(events))
	for i := range events {
		items[i] = history.ToAPI(&events[i], data)
	}
	out := value.Obj("events", items)
	if n := len(events); n == q.Limit {
		x, err := s.eng.Describe(arn)
		if err != nil {
			return nil, s.about(arn, err)
		}
		if !lastEvent(&x, events[n-1].ID, q.Reverse) {
			out.Set("nextToken", pageToken(strconv.FormatInt(events[n-1].ID, 10), question...))
		}
	}
	return out, nil
}

// lastEvent says that no event follows on the next page. Its type does not tell: a redriven execution failed before.
func lastEvent(x *engine.Execution, id int64, reverse bool) bool {
	if reverse {
		return id <= 1
	}
	return x.Closed() && id >= x.LastEventID
}

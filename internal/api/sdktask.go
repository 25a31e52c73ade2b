package api

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/value"
)

// SDKPrefix is the prefix of the resources that SDKTasks runs.
const SDKPrefix = stepfn.Integration + "aws-sdk:sfn:"

// SDKTasks is the runner of tasks that call the Step Functions API itself, such as aws-sdk:sfn:sendTaskSuccess. It calls the
// actions of a server directly, without HTTP. The engine needs its runners before the server exists, so SDKTasks is bound to the
// server later (Config.SDK): tasks that the engine resumes before that wait for it.
type SDKTasks struct {
	server *Server
	bound  chan struct{} // closed when server is set
}

// NewSDKTasks returns a runner that is not bound to a server yet.
func NewSDKTasks() *SDKTasks { return &SDKTasks{bound: make(chan struct{})} }

// bind sets the server. It must be called only once.
func (t *SDKTasks) bind(s *Server) {
	t.server = s
	close(t.bound)
}

// Run calls one action. SDK integrations capitalize the names of the API's members. The call counts as coming over the network if
// the execution did (networkKey).
func (t *SDKTasks) Run(ctx context.Context, req *task.Request) task.Result {
	select {
	case <-t.bound:
	case <-ctx.Done():
		return task.Result{}
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(req.Resource, SDKPrefix), ".")
	a := actions[upperFirst(name)]
	if a == nil {
		return task.Fail(stepfn.StatesRuntime, "The resource provided "+req.Resource+" is not recognized")
	}
	in, err := value.ParseObject(req.Input)
	if err != nil {
		return task.Fail("Sfn.ValidationException", err.Error())
	}
	if task.FromNetwork(req.Labels) {
		ctx = context.WithValue(ctx, networkKey{}, true)
	}
	call, _ := toAPI(in).(*value.Object)
	if err := a.input.check(call); err != nil {
		return t.failed(ctx, a, err)
	}
	out, err := a.run(t.server, ctx, call)
	if err != nil {
		return t.failed(ctx, a, err)
	}
	return task.Result{Output: value.Bytes(fromAPI("", out))}
}

// networkKey is the context key of calls that do not count as the owner's although they do not arrive over the network: by a
// task of an execution that came over the network, or by a console for a user who signed in with a key.
type networkKey struct{}

// owner reports whether a call counts as the owner's rather than as coming over the network.
func (s *Server) owner(ctx context.Context) bool {
	return s.cfg.Owner && ctx.Value(networkKey{}) == nil
}

// failed converts an error to a task's failure, with the error name and cause of SDK integrations.
func (t *SDKTasks) failed(ctx context.Context, a *action, err error) task.Result {
	var f *fault
	if f = t.server.fault(ctx, a, err); errors.Is(context.Cause(ctx), task.ErrAbandon) {
		return task.Result{}
	}
	code := strings.TrimSuffix(f.Code, "Exception") + "Exception"
	return task.Fail("Sfn."+code, f.Message+" (Service: Sfn, Status Code: 400, Request ID: "+requestID()+") (SDK Attempt Count: 1)")
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return string(unicode.ToUpper(rune(s[0]))) + s[1:]
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return string(unicode.ToLower(rune(s[0]))) + s[1:]
}

// payloadMembers are the string members of the API that contain JSON. A task may pass the JSON value itself instead.
var payloadMembers = map[string]bool{"input": true, "output": true, "definition": true}

// toAPI converts a task's arguments to an action's input.
func toAPI(v any) any {
	o, ok := v.(*value.Object)
	if !ok {
		return value.Map(v, toAPI)
	}
	out := value.NewObject(o.Len())
	for i := range o.Len() {
		key, item := o.At(i)
		key = lowerFirst(key)
		if _, isText := item.(string); payloadMembers[key] && !isText && item != nil {
			out.Set(key, value.Text(item))
		} else {
			out.Set(key, toAPI(item))
		}
	}
	return out
}

// fromAPI converts an action's answer to a task's result. Times become ISO 8601, as in SDK integrations.
func fromAPI(name string, v any) any {
	switch v := v.(type) {
	case []any:
		return value.Map(v, func(item any) any { return fromAPI("", item) })
	case value.Number:
		if strings.HasSuffix(name, "Date") || name == "timestamp" {
			return time.UnixMilli(int64(v.Float64()*1000 + 0.5)).UTC().Format("2006-01-02T15:04:05.000Z")
		}
	case *value.Object:
		out := value.NewObject(v.Len())
		for i := range v.Len() {
			key, item := v.At(i)
			out.Set(upperFirst(key), fromAPI(key, item))
		}
		return out
	}
	return v
}

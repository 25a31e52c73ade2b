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

// SDKPrefix is what the resources begin with that SDKTasks acts for.
const SDKPrefix = stepfn.Integration + "aws-sdk:sfn:"

// SDKTasks runs Tasks that call the Step Functions API itself, such as aws-sdk:sfn:sendTaskSuccess: it calls the actions of
// the server that it is given to (Config.SDK). The engine needs its runners before there is a server, so tasks that are
// taken up again wait for one.
type SDKTasks struct {
	server *Server
	bound  chan struct{}
}

// NewSDKTasks makes a runner that has no server yet.
func NewSDKTasks() *SDKTasks { return &SDKTasks{bound: make(chan struct{})} }

// bind may be called once.
func (t *SDKTasks) bind(s *Server) {
	t.server = s
	close(t.bound)
}

// Run calls one action. The keys of SDK integrations are the API's with a capital first letter.
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

// networkKey marks the context of an action that a task calls of an execution which came over the network, or a console for
// somebody who signed in with a key.
type networkKey struct{}

// owner reports whether the owner of the state directory calls an action, and no one over the network.
func (s *Server) owner(ctx context.Context) bool {
	return s.cfg.Owner && ctx.Value(networkKey{}) == nil
}

// failed names an error as SDK integrations do.
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

// payloadMembers are texts of the API that hold JSON: a task may give the JSON itself.
var payloadMembers = map[string]bool{"input": true, "output": true, "definition": true}

// toAPI turns a task's arguments into an action's input.
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

// fromAPI turns an action's answer into a task's result: times become ISO 8601, as the SDK integrations show them.
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

package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// task checks what depends on the resource. A resource that is no ARN says nothing about the rest.
func (c *checker) task(s stateAt) {
	v, _ := s.state.Get("Resource")
	resource, ok := v.(string)
	if !ok {
		return
	}
	loc := s.loc + "/Resource"
	if !isARN(resource) {
		c.schema(loc, "Value is not a valid resource ARN")
		return
	}
	if s.scope.express {
		c.expressTask(loc, resource)
	}
	c.heartbeat(s)
	c.credentials(s, resource)
	if service, action, ok := integration(resource); ok {
		c.pattern(loc, resource, service, action)
		c.arguments(s, resource, service, action)
	}
}

func isARN(s string) bool { return strings.HasPrefix(s, "arn:") && strings.Count(s, ":") >= 5 }

// integration is the service and the action of a resource such as arn:aws:states:::sqs:sendMessage.
func integration(resource string) (service, action string, ok bool) {
	parts := strings.SplitN(resource, ":", 7)
	if len(parts) < 7 || parts[2] != "states" || parts[3] != "" || parts[4] != "" {
		return "", "", false
	}
	return parts[5], parts[6], true
}

func isActivity(resource string) bool {
	parts := strings.Split(resource, ":")
	return len(parts) >= 7 && parts[2] == "states" && parts[5] == "activity"
}

// expressTask: Express executions end within minutes and keep no history, so they wait for nothing outside.
func (c *checker) expressTask(loc, resource string) {
	if isActivity(resource) {
		c.schema(loc, "Express state machine does not support Activity ARN")
	}
	switch resource = strings.TrimSuffix(resource, ":2"); {
	case strings.HasSuffix(resource, ".sync"):
		c.schema(loc, "Express state machine does not support '.sync' service integration")
	case strings.HasSuffix(resource, ".waitForTaskToken"): // recorded with a space at its end, unlike the other
		c.schema(loc, "Express state machine does not support '.waitForTaskToken' service integration ")
	}
}

// heartbeat holds what the States Language demands: a heartbeat is more frequent than the timeout.
func (c *checker) heartbeat(s stateAt) {
	timeout, ok1 := s.whole("TimeoutSeconds")
	heartbeat, ok2 := s.whole("HeartbeatSeconds")
	if ok1 && ok2 && heartbeat >= timeout {
		c.schema(s.loc, "HeartbeatSeconds must be smaller than TimeoutSeconds")
	}
}

func (s stateAt) whole(field string) (int64, bool) {
	v, _ := s.state.Get(field)
	n, ok := v.(value.Number)
	if !ok {
		return 0, false
	}
	return n.Int64()
}

// credentials have no meaning for workers that come by themselves.
func (c *checker) credentials(s stateAt, resource string) {
	v, ok := s.state.Get("Credentials")
	o, _ := v.(*value.Object)
	switch {
	case !ok:
	case isActivity(resource):
		c.schema(s.loc, "The field 'Credentials' is not supported for activities")
	case o != nil && !hasField(o, "RoleArn"):
		c.schema(s.loc+"/Credentials", "The field 'RoleArn' is required but was missing")
	}
}

// hasField says whether a payload template has a field, as it is or as a path.
func hasField(o *value.Object, name string) bool { return o.Has(name) || o.Has(name+".$") }

// The services that never run a job to its end, or never wait for a token.
var (
	withoutSync = []string{"lambda", "sns", "sqs", "dynamodb", "events", "apigateway", "aws-sdk", "bedrock-agentcore"}
	withoutWait = []string{
		"athena", "batch", "codebuild", "elasticmapreduce", "emr-containers", "emr-serverless", "glue", "databrew",
		"mediaconvert", "sagemaker", "dynamodb", "bedrock-agentcore",
	}
)

// pattern knows the services that lack a way of waiting; what else a service can do is not known here.
func (c *checker) pattern(loc, resource, service, action string) {
	base := strings.TrimSuffix(action, ":2")
	unknown := strings.HasSuffix(base, ".sync") && slices.Contains(withoutSync, service) ||
		strings.HasSuffix(base, ".waitForTaskToken") && slices.Contains(withoutWait, service) ||
		strings.HasSuffix(action, ".sync:2") && service != "states"
	if unknown {
		c.schema(loc, "The resource provided "+resource+" is not recognized. "+
			"The value is not a valid resource ARN, or the resource is not available in this region.")
	}
}

// requiredArguments are fields that calls cannot do without, where AWS checks them with the definition.
var requiredArguments = map[string][]string{
	"lambda:invoke": {"FunctionName"}, "sqs:sendMessage": {"QueueUrl", "MessageBody"}, "sns:publish": {"Message"},
	"dynamodb:putItem": {"TableName", "Item"}, "dynamodb:getItem": {"TableName", "Key"},
	"states:startExecution": {"StateMachineArn"}, "events:putEvents": {"Entries"}, "ecs:runTask": {"TaskDefinition"},
	"glue:startJobRun": {"JobName"},
}

// arguments checks calls by their names only: values may be computed.
func (c *checker) arguments(s stateAt, resource, service, action string) {
	field := "Parameters"
	if s.lang == jsonata {
		field = "Arguments"
	}
	v, ok := s.state.Get(field)
	if !ok {
		c.schema(s.loc+"/Resource", field+" field is required for resource ARN: "+resource)
		return
	}
	base, _, _ := strings.Cut(action, ".")
	if o, ok := v.(*value.Object); ok {
		for _, name := range requiredArguments[service+":"+base] {
			if !hasField(o, name) {
				c.schema(s.loc+"/"+field, fmt.Sprintf("The field '%s' is required but was missing", name))
			}
		}
	}
}

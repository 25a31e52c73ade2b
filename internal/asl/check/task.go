package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// task checks the fields that depend on the resource. If the resource is not an ARN, they cannot be checked.
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

// integration splits a resource such as arn:aws:states:::sqs:sendMessage into service and action.
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

// expressTask reports resources that wait for external work, which Express executions do not support.
func (c *checker) expressTask(loc, resource string) {
	if isActivity(resource) {
		c.schema(loc, "Express state machine does not support Activity ARN")
	}
	switch resource = strings.TrimSuffix(resource, ":2"); {
	case strings.HasSuffix(resource, ".sync"):
		c.schema(loc, "Express state machine does not support '.sync' service integration")
	case strings.HasSuffix(resource, ".waitForTaskToken"): // unlike the other message, this one ends with a space (recorded)
		c.schema(loc, "Express state machine does not support '.waitForTaskToken' service integration ")
	}
}

// heartbeat requires a heartbeat that is shorter than the timeout, as the States Language does.
func (c *checker) heartbeat(s stateAt) {
	timeout, ok1 := s.integer("TimeoutSeconds")
	heartbeat, ok2 := s.integer("HeartbeatSeconds")
	if ok1 && ok2 && heartbeat >= timeout {
		c.schema(s.loc, "HeartbeatSeconds must be smaller than TimeoutSeconds")
	}
}

func (s stateAt) integer(field string) (int64, bool) {
	v, _ := s.state.Get(field)
	n, ok := v.(value.Number)
	if !ok {
		return 0, false
	}
	return n.Int64()
}

// credentials checks Credentials, which activities do not support: their workers have their own.
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

// hasField reports whether a payload template has a field, with a literal value or a path.
func hasField(o *value.Object, name string) bool { return o.Has(name) || o.Has(name+".$") }

// The services that do not support .sync, and those that do not support .waitForTaskToken.
var (
	withoutSync = []string{"lambda", "sns", "sqs", "dynamodb", "events", "apigateway", "aws-sdk", "bedrock-agentcore"}
	withoutWait = []string{
		"athena", "batch", "codebuild", "elasticmapreduce", "emr-containers", "emr-serverless", "glue", "databrew",
		"mediaconvert", "sagemaker", "dynamodb", "bedrock-agentcore",
	}
)

// pattern reports integration patterns that the service does not support. It does not check the actions of services.
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

// requiredArguments are the arguments that AWS requires when it validates a definition.
var requiredArguments = map[string][]string{
	"lambda:invoke": {"FunctionName"}, "sqs:sendMessage": {"QueueUrl", "MessageBody"}, "sns:publish": {"Message"},
	"dynamodb:putItem": {"TableName", "Item"}, "dynamodb:getItem": {"TableName", "Key"},
	"states:startExecution": {"StateMachineArn"}, "events:putEvents": {"Entries"}, "ecs:runTask": {"TaskDefinition"},
	"glue:startJobRun": {"JobName"},
}

// arguments checks only the names of arguments, because expressions can compute the values.
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

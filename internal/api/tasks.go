package api

import (
	"context"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/value"
)

func init() {
	register(
		action{"CreateActivity", structure{
			required("name", aName), optional("tags", tagList), optional("encryptionConfiguration", encryption),
		}, (*Server).createActivity},
		action{"DescribeActivity", structure{required("activityArn", anARN)}, (*Server).describeActivity},
		action{"DeleteActivity", structure{required("activityArn", anARN)}, (*Server).deleteActivity},
		action{"ListActivities", paging, (*Server).listActivities},
		action{"GetActivityTask", structure{required("activityArn", anARN), optional("workerName", aName)}, (*Server).getActivityTask},
		action{"SendTaskSuccess", structure{required("taskToken", aToken), required("output", aPayload)}, (*Server).sendTaskSuccess},
		action{"SendTaskFailure", structure{required("taskToken", aToken), optional("error", anError), optional("cause", aCause)},
			(*Server).sendTaskFailure},
		action{"SendTaskHeartbeat", structure{required("taskToken", aToken)}, (*Server).sendTaskHeartbeat},
	)
}

// createActivity is idempotent by name.
func (s *Server) createActivity(_ context.Context, in *value.Object) (*value.Object, error) {
	a, err := s.cat.CreateActivity(text(in, "name"), encryptionText(in), tags(in))
	if err != nil {
		return nil, err
	}
	return value.Obj("activityArn", a.ARN, "creationDate", history.Seconds(a.Created)), nil
}

func (s *Server) describeActivity(_ context.Context, in *value.Object) (*value.Object, error) {
	a, err := s.cat.Activity(text(in, "activityArn"))
	if err != nil {
		return nil, err
	}
	return value.Obj("activityArn", a.ARN, "name", a.Name, "creationDate", history.Seconds(a.Created),
		"encryptionConfiguration", parsed(a.Encryption)), nil
}

func (s *Server) deleteActivity(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.cat.DeleteActivity(text(in, "activityArn"))
}

// listActivities sorts by name, as listStateMachines does.
func (s *Server) listActivities(_ context.Context, in *value.Object) (*value.Object, error) {
	after, err := pageAfter(in, "activities")
	if err != nil {
		return nil, err
	}
	page, more := s.cat.Activities(after, pageSize(in))
	items := make([]any, len(page))
	for i, a := range page {
		items[i] = value.Obj("activityArn", a.ARN, "name", a.Name, "creationDate", history.Seconds(a.Created))
	}
	out := value.Obj("activities", items)
	if more {
		out.Set("nextToken", pageToken(page[len(page)-1].Name, "activities"))
	}
	return out, nil
}

// getActivityTask waits for a task, at most one minute. If there is none, the answer has no token, as on AWS.
func (s *Server) getActivityTask(ctx context.Context, in *value.Object) (*value.Object, error) {
	a, err := s.cat.Activity(text(in, "activityArn"))
	if err != nil {
		return nil, err
	}
	t, err := s.eng.GetActivityTask(ctx, a.ARN, text(in, "workerName"))
	if err != nil {
		return nil, err
	}
	out := &value.Object{}
	if t.Token != "" {
		out.Set("taskToken", t.Token)
		out.Set("input", string(t.Input))
	}
	return out, nil
}

// sendTaskSuccess checks, in AWS's order, the syntax of the token, then the output, and then whether a task waits for the token.
func (s *Server) sendTaskSuccess(_ context.Context, in *value.Object) (*value.Object, error) {
	token, output := text(in, "taskToken"), text(in, "output")
	if _, _, ok := interp.ParseToken(token); !ok {
		return nil, errBadToken
	}
	if _, err := value.Parse([]byte(output)); err != nil {
		return nil, refusal("InvalidOutput", "Invalid Output: '"+output+"' is not valid JSON.")
	}
	return empty, s.eng.TaskSuccess(token, []byte(output))
}

func (s *Server) sendTaskFailure(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.eng.TaskFailure(text(in, "taskToken"), text(in, "error"), text(in, "cause"))
}

func (s *Server) sendTaskHeartbeat(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.eng.TaskHeartbeat(text(in, "taskToken"))
}

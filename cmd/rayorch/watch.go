package main

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/view/progress"
)

// catchUp adds all new events to the view. GetExecutionHistory cannot start at an event, so catchUp reads backwards until it finds a known
// one: the cost is proportional to the number of new events.
func (s *session) catchUp(ctx context.Context, arn string, v *progress.View) error {
	if !v.Described() {
		states, err := s.states(ctx, arn)
		if err != nil {
			return err
		}
		v.Describe(states)
	}
	var fresh []types.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(s.sfn, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(arn), ReverseOrder: true, IncludeExecutionData: aws.Bool(true), MaxResults: 200,
	})
	for known := false; pages.HasMorePages() && !known; {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return apiError("read the history", err)
		}
		for _, e := range page.Events {
			if known = e.Id <= v.Last; known {
				break
			}
			fresh = append(fresh, e)
		}
	}
	for i := range slices.Backward(fresh) {
		v.Add(&fresh[i])
	}
	return nil
}

// states reads the annotations of an execution's definition. A caller that is not allowed to read the definition sees plain states.
func (s *session) states(ctx context.Context, arn string) (progress.States, error) {
	m, err := s.sfn.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{
		ExecutionArn: aws.String(arn), IncludedData: types.IncludedDataAllData,
	})
	if isAnswer(err) {
		return progress.ReadStates(nil), nil
	}
	if err != nil {
		return nil, apiError("read the definition", err)
	}
	return progress.ReadStates([]byte(aws.ToString(m.Definition))), nil
}

// awaitEvent returns when the execution has an event after the given one, or after some seconds.
func (s *session) awaitEvent(ctx context.Context, arn string, after int64) error {
	return s.client.Watch(ctx, arn, after)
}

// idle are the open executions that no process drives, by ARN. The value is the reason if the execution is parked, else "".
type idle map[string]string

// of reports whether a process drives an execution; parked is the reason if it is parked.
func (i idle) of(arn string) (driven *bool, parked string) {
	reason, idle := i[arn]
	return aws.Bool(!idle), reason
}

// resting returns the executions that no process drives; known is false if the server does not report it.
func (s *session) resting(ctx context.Context) (arns idle, known bool, err error) {
	return s.client.Interrupted(ctx)
}

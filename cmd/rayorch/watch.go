package main

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/view/progress"
)

// catchUp feeds the view all events that it has not seen. GetExecutionHistory cannot start in the middle, so it reads
// backwards until it meets what is known: the cost is that of what is new.
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

// await returns when the execution has an event after the given one, or after a while in any case.
func (s *session) await(ctx context.Context, arn string, after int64) error {
	return s.client.Watch(ctx, arn, after)
}

// idle are executions that nobody drives, by their ARN, and for parked ones why.
type idle map[string]string

// of reports whether an execution is driven, and why not if it is parked.
func (i idle) of(arn string) (driven *bool, parked string) {
	reason, idle := i[arn]
	return aws.Bool(!idle), reason
}

// resting are the executions that nobody drives; known is false where the server cannot tell.
func (s *session) resting(ctx context.Context) (arns idle, known bool, err error) {
	return s.client.Resting(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
